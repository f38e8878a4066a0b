"""Whether transformers, which knows nothing of nshot, answers like the fitted model when it opens the saved folder.

It opens the folder by its Auto classes, puts the prompts by the folder's own chat template, and writes by its own
``generate``: a template, an added token, a tied weight or an end of answers that was lost on the way shows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nshot.bundle.agreement import SHORT, most_difference, refusal, unlike, unlikely
from nshot.core import SYSTEM, Computes, Conversation, Example, ModelError, TrainsToWrite, as_conversation
from nshot.training.writing import ModelWriter

_NAME = "transformers"
_SHOWN = 200


@dataclass(frozen=True)
class GgufReading:
    """A file of GGUF that transformers opens instead of a folder.

    Attributes:
        file: Its name.
        tokenizer: The folder with the tokenizer that it was made of: what transformers makes of the one in the file
            leaves out the blank behind a special token, which llama.cpp puts there.
        most_difference: As `agreement.most_difference`: numbers in few bits give somewhat other probabilities.
    """

    file: str
    tokenizer: Path
    most_difference: float


def compare(
    folder: Path,
    writer: ModelWriter,
    examples: Sequence[Example],
    answers: Sequence[str],
    gguf: GgufReading | None = None,
) -> tuple[int, float]:
    """Return how many answers are the same, and the largest difference of an answer's log-probability.

    Args:
        folder: A model, or an adapter whose base can be found.
        writer: The fitted model.
        examples: n examples.
        answers: The first words of its answers, written as `SHORT` says.
        gguf: The file in the folder to open, where it is one of GGUF.

    Returns:
        The number of equal texts, and nats per token.

    Raises:
        ModelError: transformers cannot open it, or it answers otherwise; the text says to what.
    """
    import numpy as np

    tokenizer, network = _opened(folder, writer, gguf)
    most = most_difference(writer.model) if gguf is None else gguf.most_difference
    turns = [as_conversation(example, writer.before) for example in examples]
    expected = writer.model.likelihoods(examples, answers, before=writer.before)
    same, largest = 0, 0.0
    for example, asked, answer, (likelihood, tokens) in zip(examples, turns, answers, expected, strict=True):
        prompt = _prompt(tokenizer, asked)
        ids, learnt = _as_trained(writer, asked, answer)
        if ids[: learnt.index(True)] != prompt:
            ours, theirs = tokenizer.decode(ids[: learnt.index(True)]), tokenizer.decode(prompt)
            raise ModelError(
                f"{refusal(_NAME)} The prompt was {ours[-200:]!r}, and its template makes {theirs[-200:]!r}."
            )
        difference = abs(_log_probability(network, ids, learnt) - float(likelihood)) / max(float(tokens), 1.0)
        if not difference <= most:
            raise unlikely(_NAME, example, difference)
        text, margins = _written(network, tokenizer, prompt)
        if text == answer.strip():
            same += 1
        elif not _margin_where_they_part(tokenizer, margins, answer) <= most:
            raise unlike(_NAME, example, answer, text)
        largest = max(largest, difference)
    return same, float(np.round(largest, 9))


def _opened(folder: Path, writer: ModelWriter, gguf: GgufReading | None) -> tuple[Any, Any]:
    """Return tokenizer and network as transformers opens them."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = writer.model
    device, precision = (model.device, model.precision) if isinstance(model, Computes) else ("cpu", "fp32")
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    try:
        with _quiet():
            named = {} if gguf is None else {"gguf_file": gguf.file}
            tokenizer = AutoTokenizer.from_pretrained(folder if gguf is None else gguf.tokenizer)
            network = AutoModelForCausalLM.from_pretrained(folder, dtype=kind, **named)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, json.JSONDecodeError) as error:
        raise ModelError(f"{refusal(_NAME)} It cannot open it: {error}") from error
    return tokenizer, network.eval().to(device)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the progress bars of transformers off the screen; what it warns of is ours to tell."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    had_bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if had_bars:
            logging.enable_progress_bar()


def _prompt(tokenizer: Any, asked: Conversation) -> list[int] | None:
    """Return the tokens of a prompt; None where the template has no place for what the system message says."""
    from jinja2 import TemplateError

    record = asked.as_json()
    try:
        text = tokenizer.apply_chat_template(
            record["messages"],
            tools=record.get("tools"),
            add_generation_prompt=True,
            tokenize=False,
            # As nshot asks: the answer, without thinking aloud before it.
            enable_thinking=False,
        )
    except TemplateError:
        return None
    told = [message.content for message in asked.messages if message.role == SYSTEM]
    if any(content.strip() not in text for content in told):
        return None
    return [int(token) for token in tokenizer(text, add_special_tokens=False)["input_ids"]]


def _as_trained(writer: ModelWriter, asked: Conversation, answer: str) -> tuple[list[int], list[bool]]:
    """Return the tokens of a conversation with its answer, and which are the answer's."""
    if not isinstance(writer.model, TrainsToWrite):
        raise TypeError(f"{type(writer.model).__name__} does not say how it reads a conversation")
    found = writer.model.conversations([asked], [answer])[0]
    return list(found.ids), list(found.learnt)


def _log_probability(network: Any, ids: list[int], learnt: list[bool]) -> float:
    """Return the log-probability of the tokens of the answer, in nats."""
    import torch

    tokens = torch.tensor([ids], device=network.device)
    with torch.inference_mode():
        logits = network(input_ids=tokens).logits[0, :-1].float()
    each = torch.log_softmax(logits, dim=-1).gather(1, tokens[0, 1:, None])[:, 0]
    return float(each[torch.tensor(learnt[1:], device=each.device)].double().sum())


def _written(network: Any, tokenizer: Any, prompt: list[int]) -> tuple[str, list[tuple[int, float]]]:
    """Return the text that transformers writes, and each of its tokens with the margin by which it was chosen."""
    import torch

    tokens = torch.tensor([prompt], device=network.device)
    with torch.inference_mode(), _quiet():
        found = network.generate(
            input_ids=tokens,
            attention_mask=torch.ones_like(tokens),
            max_new_tokens=SHORT.max_new_tokens,
            do_sample=False,
            return_dict_in_generate=True,
            output_logits=True,
        )
    new = found.sequences[0, len(prompt) :].tolist()
    best = [step[0].float().topk(2).values for step in found.logits]
    text = tokenizer.decode(new, skip_special_tokens=True)
    return text.strip(), [(token, float(top[0] - top[1])) for token, top in zip(new, best, strict=False)]


def _margin_where_they_part(tokenizer: Any, chosen: list[tuple[int, float]], answer: str) -> float:
    """Return by how much the first token was preferred with which the text is no longer the beginning of `answer`."""
    tokens = [token for token, _ in chosen]
    for at, (_, margin) in enumerate(chosen):
        if not answer.strip().startswith(tokenizer.decode(tokens[: at + 1], skip_special_tokens=True).strip()):
            return margin
    # It ended earlier: the last token is the one that ends it.
    return chosen[-1][1] if chosen else float("inf")
