"""Speed and accuracy of nshot's fine-tuning beside the `Trainer` of transformers: same model, texts and batch size.

    python bench/training/against_trainer.py speed [--seconds 60] [--windows 3] [--threads 2]
    python bench/training/against_trainer.py accuracy [--full] [--keep FILE.jsonl]

speed: examples per second on Banking77. Every competitor trains in a process of its own and stands still while it is
another one's turn; windows of --seconds are taken in turns. Tokenising, loading and whatever else a method does once
are outside the windows and have a column of their own ("ready": wall seconds up to the first step, imports included).
The last two columns are ratios to `Trainer` in its defaults (fp32, random batches) and at its best (bf16, grouped by
length). With --threads 1 seconds are those of the processor and not of the clock, which other programs disturb less.

accuracy: both see the same number of examples of the same rows, drawn with the same seeds; the difference is paired
over seeds and test rows. `Trainer` gets the best of --rates, chosen on training rows that are not trained on, with
seeds that are not used afterwards; nshot's method has its defaults. Batches of `Trainer` are drawn at random: grouped
by length, the same examples of a small set would meet every time.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import common
from common import Condition, Data, Kept, Turn, Window, say

if TYPE_CHECKING:
    from trainer import Recipe

    from nshot.core import Dataset

_FIRST_OTHER_SEED = 1000
"""Seeds from here on choose the learning rate of `Trainer`."""
_JUDGES = 1000
"""The most training rows that a learning rate is chosen by."""
_FASTEST = 4000
"""Examples per second that nothing here exceeds: so many are planned, so that no plan ends before its last window."""
_TOLERATED = -0.01

_OURS = {
    "full_finetune": ("full_finetune", {}),
    "lora": ("lora", {}),
    "top_layers": ("top_layers", {}),
    "full_finetune_fp32": ("full_finetune", {}),
    "full_finetune_tables": ("full_finetune", {"train_embeddings": True}),
}
_THEIRS = ("trainer", "trainer_best")
_USUAL = "trainer,trainer_best,full_finetune,lora,top_layers"
_DRAWN = "banking77:10x5,sst2:10x5,tweet_emotion:10x5"
_FULL = "banking77:allx2,sst2:allx2,tweet_emotion:allx2"


def train_theirs(turn: Turn, recipe: Recipe, rows: int | None, seed: int, steps: int) -> None:
    """Train with `Trainer` until the last window is over."""
    import trainer
    from transformers import TrainerCallback

    class Pace(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            control.should_training_stop = not turn.step(recipe.batch_size)

    data, train = some_rows(rows, seed)
    with tempfile.TemporaryDirectory() as folder:
        made = trainer.prepared(recipe, data, train, folder, steps=steps, seed=seed, callbacks=[Pace()], drop_last=True)
        made.train()


def train_ours(
    turn: Turn, method: str, options: dict[str, Any], rows: int | None, seed: int, settings: argparse.Namespace
) -> None:
    """Train a method of nshot until the last window is over."""
    data, train = some_rows(rows, seed)

    def on_step(total: int) -> bool:
        return turn.step(options["batch_size"])

    common.take_steps(method, data, train, settings=settings, options=options, on_step=on_step, seed=seed)


def some_rows(rows: int | None, seed: int) -> tuple[Data, Dataset]:
    data = common.read("banking77")
    train, _ = common.drawn(data, None, seed)
    return data, train.take(range(min(rows or len(train), len(train))))


def speed(given: argparse.Namespace) -> None:
    """Print examples per second, window by window, and their means."""
    from trainer import Recipe

    from nshot import methods

    size = given.batch_size
    n = min(given.rows or len(common.read("banking77").train), len(common.read("banking77").train))
    planned = round(_FASTEST * (given.warm_up + given.windows * (given.seconds + 5)))
    competitors: dict[str, Any] = {}
    for name in common.listed(given.only):
        if name in _THEIRS:
            best = {"precision": "bf16", "grouped": True} if name == "trainer_best" else {}
            recipe = Recipe(batch_size=size, network=given.network, **best)
            competitors[name] = train_theirs, (recipe, given.rows, given.seed, planned // size)
            continue
        method, more = _OURS[name]
        if method not in methods.names():
            say(f"{name}: there is no such method")
            continue
        precision = "fp32" if name.endswith("fp32") else given.precision
        settings = argparse.Namespace(threads=given.threads, precision=precision)
        chosen = {**more, "batch_size": size, "epochs": -(-planned // n)}
        competitors[name] = train_ours, (method, chosen, given.rows, given.seed, settings)
    say(
        f"Banking77, {n:,} rows, batches of {size}, {given.threads} threads, "
        f"{given.windows} windows of {given.seconds:g} s each"
    )
    ready: dict[str, float] = {}
    windows: dict[str, list[Window]] = defaultdict(list)

    def prepared(name: str, seconds: float) -> None:
        ready[name] = seconds
        say(f"{name:24} ready after {seconds:.1f} s")

    for window in common.in_turns(
        competitors,
        windows=given.windows,
        seconds=given.seconds,
        warm_up=given.warm_up,
        threads=given.threads,
        prepared=prepared,
    ):
        windows[window.name].append(window)
        say(f"{window.name:24} window {window.number}: {window.rate:7.1f} examples/s")
    say(f"\n{'':24} {'ready':>7} {'examples/s':>11} {'lowest':>8} {'highest':>8} {'to defaults':>12} {'to best':>8}")
    means = {
        name: sum(each.examples for each in found) / sum(each.seconds for each in found)
        for name, found in windows.items()
    }
    for name, found in windows.items():
        rates = [each.rate for each in found]
        ratios = [f"{means[name] / means[rival]:.2f}x" if rival in means else "-" for rival in _THEIRS]
        say(
            f"{name:24} {ready[name]:6.1f}s {means[name]:11.1f} {min(rates):8.1f} {max(rates):8.1f} "
            f"{ratios[0]:>12} {ratios[1]:>8}"
        )


def best_rate(given: argparse.Namespace, kept: Kept, data: Data, condition: Condition, recipe: Recipe) -> float:
    """Return the learning rate that is best on training rows which are not trained on, with other seeds."""
    import trainer

    rates = [float(rate) for rate in common.listed(given.rates)]
    if len(rates) == 1:
        return rates[0]
    scores: dict[float, list[float]] = defaultdict(list)
    for rate in rates:
        for seed in range(_FIRST_OTHER_SEED, _FIRST_OTHER_SEED + given.rate_seeds):
            train, left = common.drawn(data, condition.per_class, seed)
            if not len(left):
                cut = min(_JUDGES, len(train) // 10)
                train, left = train.take(range(cut, len(train))), train.take(range(cut))
            judges = left.take(range(min(_JUDGES, len(left))))
            steps = steps_of(given, len(train))
            tried = replace(recipe, rate=rate)
            answers = kept.get(
                f"rate {condition.name} {condition.rows} {tried} {steps} {seed}",
                partial(trainer.fit, tried, data, train, steps=steps, seed=seed, test=judges),
            )
            scores[rate].append(common.score(replace(data, test=judges), answers.labels))
        say(f"    Trainer at {rate:g}: {common.mean(scores[rate]):.4f} on {len(judges)} other training rows")
    return max(rates, key=lambda rate: common.mean(scores[rate]))


def steps_of(given: argparse.Namespace, n: int) -> int:
    from nshot import methods

    return -(-methods.build(given.method, options(given)).planned_examples(n) // min(given.batch_size, n))


def options(given: argparse.Namespace) -> dict[str, Any]:
    return {"batch_size": given.batch_size, **({} if given.epochs is None else {"epochs": given.epochs})}


def accuracy(given: argparse.Namespace) -> None:
    """Print the scores of both seed by seed, and their paired difference."""
    import torch
    import trainer

    torch.set_num_threads(given.threads)
    kept = Kept(given.keep)
    texts = given.sets or (f"{_DRAWN},{_FULL}" if given.full else _DRAWN)
    summary = []
    for condition in [Condition.parse(text) for text in common.listed(texts)]:
        data = common.read(condition.name)
        n = len(common.drawn(data, condition.per_class, 0)[0])
        steps = steps_of(given, n)
        say(f"\n{condition.name}, {condition.rows} ({n:,} rows), {steps} steps of {min(given.batch_size, n)}")
        recipe = trainer.Recipe(
            precision=given.trainer_precision,
            network=given.network,
            warmup=given.warmup,
            batch_size=min(given.batch_size, n),
        )
        recipe = replace(recipe, rate=best_rate(given, kept, data, condition, recipe))
        say(f"    Trainer: {recipe}")
        ours: dict[int, Any] = {}
        theirs: dict[int, Any] = {}
        for seed in range(condition.seeds):
            train, _ = common.drawn(data, condition.per_class, seed)
            at = f"{condition.name} {condition.rows} {seed}"
            found = kept.get(
                f"{given.method} {options(given)} {common.precision(given.precision, given.threads)} {at}",
                partial(common.fit, given.method, data, train, seed=seed, settings=given, options=options(given)),
            )
            other = kept.get(
                f"{recipe} {steps} {at}",
                partial(trainer.fit, recipe, data, train, steps=steps, seed=seed),
            )
            ours[seed], theirs[seed] = found.labels, other.labels
            say(
                f"    seed {seed}: {given.method} {common.score(data, found.labels):.4f} in {found.seconds:.0f} s, "
                f"Trainer {common.score(data, other.labels):.4f} in {other.seconds:.0f} s"
            )
        for metric in ("accuracy", "macro_f1"):
            difference = common.difference(data, ours, theirs, n_labels=n, metric=metric)
            means = [common.mean([common.score(data, y, metric) for y in each.values()]) for each in (ours, theirs)]
            sure = difference.interval is not None and difference.interval.low > _TOLERATED
            summary.append(
                f"{condition.name:16} {condition.rows:13} {metric:9} {means[0]:13.4f} {means[1]:8.4f}  "
                f"{common.in_points(difference):28} {'yes' if sure else 'no'}"
            )
            say("    " + summary[-1])
    say(f"\n{'':40} {given.method:>13} {'Trainer':>8}  {'difference in points':28} lower bound above -1?")
    for line in summary:
        say(line)


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("part", choices=("speed", "accuracy"))
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--network", default="sequence-classification", help="of Trainer; or mean-pooling")
    of_speed = parser.add_argument_group("speed")
    of_speed.add_argument("--seconds", type=float, default=60.0, help="length of a window")
    of_speed.add_argument("--windows", type=int, default=3, help="of each competitor")
    of_speed.add_argument("--warm-up", type=float, default=10.0, help="seconds of a first window that does not count")
    of_speed.add_argument("--rows", type=int, default=None, help="of Banking77 (default: all)")
    of_speed.add_argument("--seed", type=int, default=0)
    of_speed.add_argument("--only", default=_USUAL, help=f"of {', '.join((*_THEIRS, *_OURS))}")
    of_accuracy = parser.add_argument_group("accuracy")
    of_accuracy.add_argument("--sets", default=None, help=f"SET:ROWSxSEEDS, ... (default: {_DRAWN})")
    of_accuracy.add_argument("--full", action="store_true", help=f"also {_FULL}")
    of_accuracy.add_argument("--method", default="full_finetune")
    of_accuracy.add_argument("--epochs", type=float, default=None, help="of both (default: the method's own)")
    of_accuracy.add_argument("--rates", default="5e-5,2e-4,5e-4,1e-3", help="of Trainer; one: it is not chosen")
    of_accuracy.add_argument("--rate-seeds", type=int, default=1, help="seeds that each rate is tried with")
    of_accuracy.add_argument("--warmup", type=float, default=0.1, help="share of Trainer's steps")
    of_accuracy.add_argument("--trainer-precision", default="fp32", choices=("fp32", "bf16"))
    of_accuracy.add_argument("--keep", type=Path, default=None, help="file of answers; a second run goes on from it")
    given = parser.parse_args()
    (speed if given.part == "speed" else accuracy)(given)


if __name__ == "__main__":
    main()
