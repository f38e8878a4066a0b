"""Fine-tuning a decoder beside trl's `SFTTrainer`: the same curve, and how fast.

    OMP_NUM_THREADS=1 python bench/generation/against_trl.py parity [--steps 50]
    python bench/generation/against_trl.py speed [--network small] [--threads 1] [--seconds 30] [--windows 3]
    python bench/generation/against_trl.py speed --device cuda --network half --precision bf16 --batch-size 16

parity: stories260K (../shared/models) on E2E (../shared/data/generation/e2e_clean), float32; both get the same tokens
in the same order, the same AdamW and the same rates. Printed is the largest relative difference between the losses of a
step.

speed: tokens that are no padding, per second. Each competitor trains in a process of its own and stands still while it
is another one's turn. Networks: ``stories``: stories260K; ``small``: 4 layers of width 256, random weights; both on E2E
as stories260K's tokenizer cuts it. ``half``: half a billion random weights, texts of up to --sequence random tokens,
all of them learnt. trl runs in its defaults (random batches, padded), grouped by length, and on a graphics card also
packed. There the peak of the memory and the share of the card's measured matrix rate are printed, too.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import sys
import tempfile
import time
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "training"))

import common
from common import Turn, Window, say

SHARED = Path(__file__).resolve().parents[3] / "shared"
STORIES = SHARED / "models" / "stories260K"
E2E = SHARED / "data" / "generation" / "e2e_clean" / "devel-fixed.no-ol.csv"
_RATE = 1e-3
_PEAKS = Path(tempfile.gettempdir())


def stories_texts(rows: int | None = None) -> list[Any]:
    """Return E2E as stories260K trains on it: token ids, and which are learnt."""
    from nshot.backbones import open_backbone

    with E2E.open(encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))[:rows]
    source: Any = open_backbone(str(STORIES), threads=1)
    return source.conversations([row["mr"] for row in read], [row["ref"] for row in read])


def random_texts(sequence: int, vocabulary: int, n: int = 2_000) -> list[Any]:
    """Return texts of random tokens whose lengths are spread as those of conversations often are."""
    import numpy as np

    from nshot.core import TokenisedText

    generator = np.random.default_rng(0)
    sizes = np.clip(np.exp(generator.normal(math.log(sequence / 3), 0.7, n)).astype(int), 16, sequence)
    return [TokenisedText(tuple(generator.integers(3, vocabulary, size).tolist()), (True,) * size) for size in sizes]


def network(name: str) -> Any:
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

    if name == "stories":
        return AutoModelForCausalLM.from_pretrained(STORIES, dtype=torch.float32).eval()
    torch.manual_seed(0)
    sizes = {
        "small": {"hidden_size": 256, "intermediate_size": 672, "num_hidden_layers": 4, "num_attention_heads": 8},
        "half": {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 26, "num_attention_heads": 16},
    }[name]
    vocabulary = 512 if name == "small" else 32_000
    config = LlamaConfig(**sizes, vocab_size=vocabulary, tie_word_embeddings=True, max_position_embeddings=2048)
    return LlamaForCausalLM(config).eval()


def texts_for(given: argparse.Namespace) -> list[Any]:
    return random_texts(given.sequence, 32_000) if given.network == "half" else stories_texts()


# --- trl --------------------------------------------------------------------------------------------------------------


def trainer(
    module: Any, texts: list[Any], folder: str, *, step: Any, optimizers: Any = (None, None), **more: Any
) -> Any:
    """Return an `SFTTrainer` for texts that are tokenised; `step(inputs, loss)` is told what a step had."""
    import datasets
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast
    from trl import SFTConfig, SFTTrainer

    class Watched(SFTTrainer):
        def training_step(self, model: Any, inputs: Any, *others: Any) -> Any:
            tokens = sum(self.lengths(inputs))
            loss = super().training_step(model, inputs, *others)
            step(tokens, loss)
            return loss

        @staticmethod
        def lengths(inputs: Any) -> list[int]:
            mask = inputs.get("attention_mask")
            return [int(mask.sum()) if mask is not None else inputs["input_ids"].numel()]

    # Nothing is tokenised any more: trl only asks it for the token to pad with.
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"<unk>": 0, "<pad>": 1, "</s>": 2}, unk_token="<unk>")),
        pad_token="<pad>",
        eos_token="</s>",
    )
    rows = datasets.Dataset.from_list(
        [
            {
                "input_ids": list(text.ids),
                "labels": [token if learnt else -100 for token, learnt in zip(text.ids, text.learnt, strict=True)],
                "length": len(text),
            }
            for text in texts
        ]
    )
    settings = SFTConfig(
        output_dir=folder,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        logging_steps=10**9,
        gradient_checkpointing=False,
        dataloader_num_workers=0,
        **more,
    )
    return Watched(module, args=settings, train_dataset=rows, processing_class=tokenizer, optimizers=optimizers)


def train_theirs(turn: Turn, given: argparse.Namespace, strategy: str, packing: bool) -> None:
    from transformers import TrainerCallback

    warnings.filterwarnings("ignore")
    seen = [0]

    class Pace(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            tokens, seen[0] = seen[0], 0
            control.should_training_stop = not turn.step(tokens)

    def step(tokens: int, loss: Any) -> None:
        seen[0] += tokens

    with tempfile.TemporaryDirectory() as folder:
        made = trainer(
            network(given.network),
            texts_for(given),
            folder,
            step=step,
            use_cpu=given.device == "cpu",
            bf16=given.precision == "bf16",
            per_device_train_batch_size=given.batch_size,
            learning_rate=_RATE,
            max_steps=10**6,
            max_length=given.sequence,
            train_sampling_strategy=strategy,
            packing=packing,
        )
        made.add_callback(Pace())
        made.train()
    keep_peak(given, f"trl{'_packed' if packing else ''}_{strategy}")


# --- nshot ------------------------------------------------------------------------------------------------------------


def context(given: argparse.Namespace, **more: Any) -> Any:
    from nshot.core import FitContext

    return FitContext(
        lambda targets, prediction: 0.0,
        device=given.device,
        precision=given.precision,
        threads=given.threads,
        **more,
    )


class _Enough(Exception):
    pass


def train_ours(turn: Turn, given: argparse.Namespace) -> None:
    import contextlib

    from nshot.training import batching, decoders
    from nshot.training.options import LoopOptions

    texts = texts_for(given)
    lengths = [len(text) for text in texts]
    plan = batching.Schedule(given.batch_size, 20_000)
    steps = plan.plan([length - 1 for length in lengths], 0)

    def progress(done: int, total: int, doing: str = "") -> None:
        if not turn.step(sum(lengths[at] for part in steps[done - 1] for at in part)):
            raise _Enough

    with contextlib.suppress(_Enough):
        decoders.train(
            network(given.network),
            texts,
            plan=plan,
            learning_rate=_RATE,
            options=LoopOptions(),
            checkpointing=False,
            chance=100.0,
            context=context(given, progress=progress),
        )
    keep_peak(given, "nshot")


# --- a graphics card --------------------------------------------------------------------------------------------------


def keep_peak(given: argparse.Namespace, name: str) -> None:
    """Leave the peak of the card's memory where the process that prints finds it."""
    if given.device == "cuda":
        import torch

        (_PEAKS / f"against_trl.{os.getppid()}.{name}").write_text(str(torch.cuda.max_memory_allocated()))


def matrix_rate() -> float:
    """Return the floating-point operations per second of a large bf16 matrix product on the card."""
    import torch

    size = 8192
    a = torch.randn(size, size, device="cuda", dtype=torch.bfloat16)
    for _ in range(3):
        a @ a
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(20):
        a @ a
    torch.cuda.synchronize()
    return 20 * 2 * size**3 / (time.perf_counter() - started)


# --- commands ---------------------------------------------------------------------------------------------------------


def parity(given: argparse.Namespace) -> None:
    """Print both curves and the largest relative difference."""
    import torch

    from nshot.training import batching, decoders, loop
    from nshot.training.options import LoopOptions

    warnings.filterwarnings("ignore")
    given.device, given.precision = "cpu", "fp32"
    torch.set_num_threads(given.threads)
    texts = stories_texts(given.batch_size * 40)
    plan = batching.Schedule(given.batch_size, given.steps)
    options = LoopOptions()
    ours: list[float] = []
    decoders.train(
        network("stories"),
        texts,
        plan=plan,
        learning_rate=_RATE,
        options=options,
        checkpointing=False,
        chance=100.0,
        context=context(given, track=lambda step, figures: ours.append(figures["loss"])),
    )
    order = [at for step in plan.plan([len(text) - 1 for text in texts], 0) for part in step for at in part]
    module = network("stories")
    matrices, vectors = loop.matrices_and_vectors(list(module.parameters()))
    optimiser = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": options.weight_decay}, {"params": vectors, "weight_decay": 0.0}],
        lr=_RATE,
    )
    rising = round(options.warmup * given.steps)

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        return 0.5 * (1 + math.cos(math.pi * (step + 1 - rising) / (given.steps + 1 - rising)))

    theirs: list[float] = []
    accumulated = given.accumulate
    with tempfile.TemporaryDirectory() as folder:
        trainer(
            module,
            [texts[at] for at in order],
            folder,
            step=lambda tokens, loss: theirs.append(float(loss)),
            optimizers=(optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, factor)),
            use_cpu=True,
            bf16=False,
            per_device_train_batch_size=given.batch_size // accumulated,
            gradient_accumulation_steps=accumulated,
            max_steps=given.steps,
            max_length=None,
            train_sampling_strategy="sequential",
        ).train()
    # Of an accumulated step each part's loss is over the tokens of the whole step: together they are its mean.
    theirs = [sum(theirs[at : at + accumulated]) for at in range(0, len(theirs), accumulated)]
    say(f"{'step':>5} {'nshot':>9} {'trl':>9}")
    for step in range(0, given.steps, 7):
        say(f"{step + 1:5} {ours[step]:9.5f} {theirs[step]:9.5f}")
    largest = max(abs(a - b) / b for a, b in zip(ours, theirs, strict=True))
    say(f"largest relative difference over {given.steps} steps: {largest:.2e}")


def speed(given: argparse.Namespace) -> None:
    """Print tokens per second, window by window, and their means."""
    competitors: dict[str, Any] = {
        "nshot": (train_ours, (given,)),
        "trl_random": (train_theirs, (given, "random", False)),
        "trl_group_by_length": (train_theirs, (given, "group_by_length", False)),
    }
    if given.device == "cuda":
        competitors["trl_packed_random"] = (train_theirs, (given, "random", True))
    say(f"{given.network}, batches of {given.batch_size}, {given.precision}, {given.threads} threads, {given.device}")
    windows: dict[str, list[Window]] = defaultdict(list)
    for window in common.in_turns(
        competitors,
        windows=given.windows,
        seconds=given.seconds,
        warm_up=given.warm_up,
        threads=given.threads,
        prepared=lambda name, seconds: say(f"{name:24} ready after {seconds:.1f} s"),
    ):
        windows[window.name].append(window)
        say(f"{window.name:24} window {window.number}: {window.rate:9.1f} tokens/s")
    means = {
        name: sum(each.examples for each in found) / sum(each.seconds for each in found)
        for name, found in windows.items()
    }
    say(f"\n{'':24} {'tokens/s':>10} {'lowest':>10} {'highest':>10} {'of nshot':>9}")
    for name, found in windows.items():
        rates = [each.rate for each in found]
        share = means["nshot"] / means[name]
        say(f"{name:24} {means[name]:10.1f} {min(rates):10.1f} {max(rates):10.1f} {share:8.2f}x")
    if given.device == "cuda":
        weights = sum(parameter.numel() for parameter in network(given.network).parameters())
        rate = matrix_rate()
        for name in windows:
            file = _PEAKS / f"against_trl.{os.getpid()}.{name}"
            peak = f"{int(file.read_text()) / 2**30:.1f} GiB" if file.exists() else "unknown"
            say(f"{name:24} peak memory {peak}, {6 * weights * means[name] / rate:.0%} of the matrix rate")


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("what", choices=("parity", "speed"))
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--accumulate", type=int, default=2, help="micro-batches of a step of trl's, for parity")
    parser.add_argument("--network", default="small", choices=("stories", "small", "half"))
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--sequence", type=int, default=1024)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--windows", type=int, default=3)
    parser.add_argument("--warm-up", type=float, default=5)
    given = parser.parse_args()
    if given.precision == "auto":
        given.precision = "fp32"
    {"parity": parity, "speed": speed}[given.what](given)


if __name__ == "__main__":
    main()
