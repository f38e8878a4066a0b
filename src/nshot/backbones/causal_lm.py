"""Decoders: language models of transformers that write answers, say how likely given ones are, and train.

Importing this file loads neither torch nor transformers; opening reads settings only. Tokenizer and weights are loaded
when they are first used.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from nshot.backbones.chat_format import ChatFormat, Prompts
from nshot.backbones.decoder_settings import DecoderSettings, read_decoder_settings
from nshot.backbones.local_model import LocalModel
from nshot.backbones.locate import Located
from nshot.backbones.precision import measured
from nshot.backbones.prompt_cache import PromptCache
from nshot.core import (
    Ability,
    BackboneRef,
    Decoding,
    Example,
    ExampleError,
    Message,
    Progress,
    TokenisedText,
    Written,
    silent,
)

if TYPE_CHECKING:
    import numpy as np
    import torch
    import transformers

    from nshot.backbones.decoding import Answer
    from nshot.backbones.reading import Beginning, Network

_NARROW = 128
"""Up to this length of a token's vector bf16 was slower than fp32; from 256 on it took 0.5 to 0.75 times as long."""
_BROKEN = "\ufffd"
"""What stands for the bytes of a character that is not complete yet."""


class CausalLM(LocalModel):
    """A decoder.

    Conversations are written in the model's own chat template, or in `chat_format.PLAIN_TEMPLATE` where it has none.
    Answers end at every token that the model's files name as an end, and at the one that its template ends an answer
    with. Of its generation settings nothing else is used: `Decoding` says how an answer is written.
    """

    modalities = frozenset({"text", "conversation"})
    abilities = frozenset({Ability.GENERATES, Ability.SCORES, Ability.TRAINS})

    def __init__(
        self,
        located: Located,
        *,
        precision: str = "auto",
        device: str = "auto",
        threads: int | None = None,
        trust_remote_code: bool = False,
        progress: Progress = silent,
    ) -> None:
        """Read the settings of the model; weights and tokenizer are loaded when they are first used.

        Args:
            located: Where the model is.
            precision: ``fp32``, ``bf16`` or ``auto`` (the faster one, see `precision.measured`).
            device: A torch device name, or ``auto``: a GPU where there is one.
            threads: Processor threads, or None for all that this process may use.
            trust_remote_code: Whether code that comes with the model may be run.
            progress: Told how many of the answers are written.

        Raises:
            ModelError: The folder holds no decoder that nshot can read.
        """
        super().__init__(
            located,
            precision=precision,
            device=device,
            threads=threads,
            trust_remote_code=trust_remote_code,
            progress=progress,
        )
        self._settings = read_decoder_settings(located.folder)
        self._beginnings = PromptCache()

    @property
    def settings(self) -> DecoderSettings:
        """Return what its files say."""
        return self._settings

    @property
    def longest(self) -> int | None:
        """Return the most tokens that it takes in, answer included; None where nobody says."""
        return self._settings.longest

    @cached_property
    def precision(self) -> str:
        """Return the number format that computes: ``fp32`` or ``bf16``, of which a narrow network gains nothing."""
        if self._asked_precision != "auto":
            return self._asked_precision
        width = self._settings.width
        return "fp32" if width is not None and width <= _NARROW else measured(self.device, self._threads)

    @cached_property
    def format(self) -> ChatFormat:
        """Return tokenizer and chat template.

        Raises:
            ModelError: The tokenizer cannot be read.
        """
        return ChatFormat(self._settings, trust_remote_code=self._trust_remote_code)

    @property
    def has_own_format(self) -> bool:
        """Whether conversations are put into a format that came with the model, not into `PLAIN_TEMPLATE`."""
        return self.format.own_template is None

    def prompt_tokens(self, examples: Sequence[Example], *, before: Sequence[Message] = ()) -> list[int]:
        """Return how many tokens each example has with what stands before it and around it.

        Raises:
            DataError: An example is neither a text nor a conversation, or the chat template refuses it.
        """
        prompts = self.format.prompts(examples, before)
        return [prompts.size(row) for row in range(len(examples))]

    def decoded(self, ids: Sequence[int]) -> str:
        """Return the text of tokens, special ones included."""
        return self.format.decoded(ids)

    def generate(
        self, examples: Sequence[Example], decoding: Decoding, *, before: Sequence[Message] = ()
    ) -> list[Written]:
        """Return one answer per example; none depends on the others, also where it is drawn.

        Raises:
            DataError: An example leaves no room for an answer, is no text, or is refused by the chat template.
        """
        prompts = self.format.prompts(examples, before)
        answers = self._empty_answers(prompts, decoding)
        done = 0
        with self.computing():
            for finished in self._writing(prompts, answers, decoding):
                if finished:
                    done += len(finished)
                    self._progress(done, len(examples), "writing")
        return [
            Written(self._text(prompts, row, answer, decoding), answer.ended or answer.halted, answer.tokens)
            for row, answer in enumerate(answers)
        ]

    def stream(
        self, example: Example, decoding: Decoding, *, before: Sequence[Message] = ()
    ) -> Generator[str, None, Written]:
        """Yield the answer in pieces; a piece is held back while a later token can change it. Return it whole.

        Raises:
            DataError: As `generate`.
        """
        prompts = self.format.prompts([example], before)
        answers = self._empty_answers(prompts, decoding)
        said = ""
        for _ in self._writing(prompts, answers, decoding):
            if not (answers[0].ended or answers[0].halted):
                text = self._held_back(self._text(prompts, 0, answers[0], decoding), decoding)
                if len(text) > len(said):
                    yield text[len(said) :]
                    said = text
        text = self._text(prompts, 0, answers[0], decoding)
        if len(text) > len(said):
            yield text[len(said) :]
        return Written(text, answers[0].ended or answers[0].halted, answers[0].tokens)

    def score(
        self, examples: Sequence[Example], continuations: Sequence[str], *, before: Sequence[Message] = ()
    ) -> np.ndarray:
        """Return the log-probability of each continuation as the beginning of an answer, float32, shape (n, k).

        An example is read once, however many continuations there are; what these begin with in common is too.

        Raises:
            DataError: An example is too long, is no text, or is refused by the chat template.
        """
        import numpy as np

        prompts = self.format.prompts(examples, before)
        width = len(continuations)

        def paths(row: int) -> list[tuple[list[int], int]]:
            return self.format.continued(prompts, row, continuations)

        sums, _ = self._sums(prompts, paths, width)
        return np.asarray(sums, dtype=np.float32).reshape(len(examples), width)

    def likelihoods(
        self, examples: Sequence[Example], answers: Sequence[str], *, before: Sequence[Message] = ()
    ) -> np.ndarray:
        """Return log-probability (nats) and number of tokens of each answer with its end, float64, shape (n, 2).

        Raises:
            DataError: An example with its answer is too long, is no text, or is refused by the chat template.
        """
        import numpy as np

        prompts = self.format.prompts(examples, before)
        whole = self.format.answered(prompts, answers)
        sums, counts = self._sums(prompts, lambda row: [whole[row]], 1)
        return np.array([sums, counts], dtype=np.float64).T.reshape(len(examples), 2)

    def causal_module(self) -> torch.nn.Module:
        """Return a fresh copy of the network, float32, on the processor, training mode off."""
        import torch

        module: torch.nn.Module = self._pretrained(torch.float32)
        return module

    def random_causal_module(self, seed: int) -> torch.nn.Module:
        """Return the same architecture with weights drawn from `seed`."""
        from nshot.backbones.causal_networks import untrained

        module: torch.nn.Module = untrained(self._settings.folder, seed, trust_remote_code=self._trust_remote_code)
        return module

    def conversations(
        self, examples: Sequence[Example], answers: Sequence[str], *, every_answer: bool = False
    ) -> list[TokenisedText]:
        """Return each example with its answer in the model's chat format; see `TrainsToWrite.conversations`.

        None is cut: whoever trains compares ``len`` with `longest`.

        Raises:
            DataError: An example is neither a text nor a conversation, or the chat template refuses it.
            ModelError: The model has no token that ends an answer.
        """
        return self.format.conversations(examples, answers, every_answer=every_answer)

    def plain_texts(self, texts: Sequence[str]) -> list[TokenisedText]:
        """Return texts as they are, each with the token that ends it; everything is learnt. None is cut.

        Raises:
            ModelError: The model has no token that ends a text.
        """
        return self.format.plain_texts(texts)

    def rewritten(self, weights: Mapping[str, np.ndarray]) -> CausalLM:
        """Return a decoder with these weights (names as in `causal_module`); it shares the tokenizer.

        Where two names are one weight (a tied output layer), either is enough.

        Raises:
            ModelError: When it is first used: a name or a shape is not one of this network.
        """
        return _Rewritten(self, weights)

    def files_for_saving(self) -> dict[str, bytes]:
        """Return everything but the weights that makes an ordinary Hugging Face folder, by file name.

        ``config.json`` says float32, as weights of `causal_module` are; ``generation_config.json`` names every token at
        which this decoder ends an answer; the tokenizer's files hold the chat template that conversations were written
        by, also where the model had none.
        """
        config = {name: value for name, value in self._settings.config.items() if name not in ("dtype", "torch_dtype")}
        config["dtype"] = "float32"
        generation = {**self._settings.generation, "eos_token_id": sorted(self.format.end_ids)}
        return {
            "config.json": _json(config),
            "generation_config.json": _json(generation),
            **self.format.files(),
        }

    def _pretrained(self, kind: torch.dtype) -> transformers.PreTrainedModel:
        from nshot.backbones.causal_networks import pretrained

        self._located.sha256()  # refuses other weights than the recorded ones
        return pretrained(self._settings.folder, kind, trust_remote_code=self._trust_remote_code)

    @cached_property
    def _network(self) -> Network:
        import torch

        from nshot.backbones.reading import Network

        kind = {"fp32": torch.float32, "bf16": torch.bfloat16}[self.precision]
        return Network(self._pretrained(kind).requires_grad_(False), self.device)

    @cached_property
    def _packs(self) -> bool:
        import torch

        from nshot.backbones.reading import packs

        with torch.inference_mode(), self.computing():
            return packs(self._network)

    def _beginning(self, ids: tuple[int, ...]) -> Beginning:
        import torch

        from nshot.backbones.reading import NOTHING

        def read() -> Beginning:
            with torch.inference_mode(), self.computing():
                return self._network.beginning(ids)

        return self._beginnings.get(ids, read) if ids else NOTHING

    def _empty_answers(self, prompts: Prompts, decoding: Decoding) -> list[Answer]:
        from nshot.backbones.decoding import Answer, draws

        halts = self._stops(decoding)
        answers = []
        for row, rest in enumerate(prompts.rests):
            size = prompts.size(row)
            if self.longest is not None and size >= self.longest:
                raise ExampleError(
                    row,
                    f" has {size:,} tokens, and {self._name} takes {self.longest:,}, answer included. Shorten it, or "
                    "show fewer examples before it.",
                )
            limit = min(decoding.max_new_tokens, self.longest - size) if self.longest else decoding.max_new_tokens
            drawn = draws(decoding, [*prompts.before(row), *rest], limit)
            answers.append(Answer(rest, limit, self.format.end_ids, drawn, halts))
        return answers

    def _stops(self, decoding: Decoding) -> Callable[[Sequence[int]], bool] | None:
        """Return what says whether a stop text stands at the end of an answer's tokens."""
        stops = tuple(text for text in decoding.stop if text)
        if not stops:
            return None
        # A token has at least one byte, and one more on either side may hold a part of the stop text.
        most = max(len(text.encode("utf-8", "replace")) for text in stops) + 2
        return lambda ids: any(text in self.format.decoded(ids[-most:]) for text in stops)

    def _writing(self, prompts: Prompts, answers: Sequence[Answer], decoding: Decoding) -> Iterator[list[Answer]]:
        """Write all answers, those behind the shared beginning and the others."""
        from nshot.backbones.decoding import write, write_alone
        from nshot.backbones.reading import NOTHING

        if not answers:
            return
        if not self._packs:
            for row, answer in enumerate(answers):
                yield write_alone(self._network, [*prompts.before(row), *answer.prompt], answer, decoding)
            return
        behind = [answer for answer, whole in zip(answers, prompts.whole, strict=True) if not whole]
        whole = [answer for answer, whole in zip(answers, prompts.whole, strict=True) if whole]
        if behind:
            yield from write(self._network, self._beginning(prompts.shared), behind, decoding)
        if whole:
            yield from write(self._network, NOTHING, whole, decoding)

    def _text(self, prompts: Prompts, row: int, answer: Answer, decoding: Decoding) -> str:
        text = self.format.text(answer.ids, prompts.rests[row], ended=answer.ended)
        cuts = [at for stop in decoding.stop if stop and (at := text.find(stop)) >= 0]
        return text[: min(cuts)] if cuts else text

    def _held_back(self, text: str, decoding: Decoding) -> str:
        """Return the part of an unfinished answer that no later token changes."""
        text = text.rstrip(_BROKEN)
        frame = self.format.frame
        if text and frame.lead.startswith(text):
            return ""
        beginnings = [ending[:size] for ending in (*decoding.stop, frame.tail) for size in range(1, len(ending) + 1)]
        return text[: len(text) - max((len(part) for part in beginnings if text.endswith(part)), default=0)]

    def _sums(
        self, prompts: Prompts, paths: Callable[[int], list[tuple[list[int], int]]], width: int
    ) -> tuple[list[float], list[int]]:
        """Return for every path behind every prompt its log-probability, and how many tokens that counts.

        Args:
            prompts: n prompts.
            paths: For a prompt: tokens with what follows it, and how many of them are the prompt's.
            width: Paths of a prompt.
        """
        import torch

        from nshot.backbones.reading import Tree

        sums = [0.0] * (len(prompts.rests) * width)
        counts = [0] * len(sums)
        trees: dict[tuple[int, ...], Tree] = {}

        def read(tree: Tree) -> None:
            with torch.inference_mode(), self.computing():
                for cell, value in tree.log_probabilities().items():
                    sums[cell] = value

        for row in range(len(prompts.rests) if width else 0):
            own, before = paths(row), prompts.before(row)
            self._refuse_too_long(row, len(before) + max(len(ids) for ids, _ in own))
            for column, (ids, first) in enumerate(own):
                counts[row * width + column] = len(ids) - first
                if not self._packs:
                    sums[row * width + column] = self._sum_alone([*before, *ids], len(before) + first)
            if self._packs:
                if before not in trees:
                    trees[before] = Tree(self._network, self._beginning(before))
                trees[before].add(own, row * width)
                if trees[before].is_full:
                    read(trees[before])
            self._progress(row + 1, len(prompts.rests), "scoring")
        for tree in trees.values():
            read(tree)
        return sums, counts

    def _sum_alone(self, ids: Sequence[int], first: int) -> float:
        import torch

        from nshot.backbones.reading import log_probability_alone

        with torch.inference_mode(), self.computing():
            return log_probability_alone(self._network, ids, first)

    @property
    def _name(self) -> str:
        return BackboneRef(self._located.id).name

    def _refuse_too_long(self, row: int, size: int) -> None:
        if self.longest is not None and size > self.longest:
            raise ExampleError(
                row,
                f" has {size:,} tokens with its answer, and {self._name} takes {self.longest:,}. Shorten it, or show "
                "fewer examples before it.",
            )


class _Rewritten(CausalLM):
    """A decoder whose weights were trained further."""

    def __init__(self, original: CausalLM, weights: Mapping[str, np.ndarray]) -> None:
        super().__init__(
            original._located,
            precision=original._asked_precision,
            device=original._asked_device,
            threads=original._threads,
            trust_remote_code=original._trust_remote_code,
            progress=original._progress,
        )
        self._original = original
        self._weights = dict(weights)

    @cached_property
    def format(self) -> ChatFormat:
        """Return tokenizer and chat template of the model that was trained."""
        return self._original.format

    def _pretrained(self, kind: torch.dtype) -> transformers.PreTrainedModel:
        from nshot.backbones.networks import changed

        model = super()._pretrained(kind)
        changed(model, self._weights)
        return model


def _json(record: Mapping[str, Any]) -> bytes:
    return (json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode()
