"""What fine-tuning reaches: all rows of Banking77, SST-2 beside `Trainer`, and eight rows per class beside a probe.

    python bench/training/accuracy.py full [--method full_finetune] [--seeds 5]
    python bench/training/accuracy.py sst2 [--seeds 2] [--trainer-epochs 5]
    python bench/training/accuracy.py few  [--seeds 3] [--sets trec,sst2] [--methods lora]

full: test accuracy and macro F1 of a method on all 10,003 rows of Banking77, seed by seed (wanted: 0.925).

sst2: the method in its defaults beside `Trainer` at convergence on all 6,920 rows (mean pooling and a linear head, as
this encoder was trained; --trainer-epochs passes, a linear decay to zero), same seeds, with the paired difference
(wanted: within a point). The learning rate of `Trainer` is the best of --rates on the set's own dev file.

few: eight rows per class of nine sets: every method that trains the network minus `linear_probe`, in points of
accuracy and of macro F1, with a 95 % interval paired over draws and test rows. A method whose whole interval is below 0
is marked: a report has to say so.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path

import common
from common import SETS, Answers, Data, Kept, say

from nshot.core import Dataset, NshotError, TaskKind

METRICS = ("accuracy", "macro_f1")
_PROBE = "linear_probe"
_CHOOSING_SEED = 1000


def seeds_of(given: argparse.Namespace, usual: int) -> range:
    return range(usual if given.seeds is None else given.seeds)


def ours(given: argparse.Namespace, kept: Kept, data: Data, per_class: int | None, seed: int, method: str) -> Answers:
    """Return the answers of a method fitted on the draw of this seed."""
    train, _ = common.drawn(data, per_class, seed)
    options = {} if given.epochs is None or method == _PROBE else {"epochs": given.epochs}
    key = f"{method} {options} {common.precision(given.precision, given.threads)} {data.name} {per_class} {seed}"
    more = {"options": options, "pool_rows": given.pool_rows}
    return kept.get(key, partial(common.fit, method, data, train, seed=seed, settings=given, **more))


def full(given: argparse.Namespace, kept: Kept) -> None:
    data = common.read("banking77")
    scores: dict[str, list[float]] = {metric: [] for metric in METRICS}
    for seed in seeds_of(given, 5):
        answers = ours(given, kept, data, given.per_class, seed, given.method)
        for metric in METRICS:
            scores[metric].append(common.score(data, answers.labels, metric))
        say(
            f"seed {seed}: accuracy {scores['accuracy'][-1]:.4f}, macro F1 {scores['macro_f1'][-1]:.4f}, "
            f"{answers.seconds:.0f} s"
        )
    for metric, found in scores.items():
        say(f"{given.method}, {metric}: {common.mean(found):.4f} ({min(found):.4f} to {max(found):.4f})")


def sst2(given: argparse.Namespace, kept: Kept) -> None:
    import trainer

    data = common.read("sst2")
    dev = common.dataset(common.read_rows(common.TEXT / "sst2" / "dev.csv", "text", "label"), "dev")
    n = len(common.drawn(data, given.per_class, 0)[0])
    recipe = trainer.Recipe(network=given.network, precision=given.trainer_precision, warmup=0.1)
    steps = max(1, round(given.trainer_epochs * n / recipe.batch_size))

    def theirs(recipe: trainer.Recipe, seed: int, test: Dataset | None = None) -> Answers:
        train, _ = common.drawn(data, given.per_class, seed)
        key = f"{recipe} {steps} sst2 {given.per_class} {seed} {'dev' if test else 'test'}"
        return kept.get(key, partial(trainer.fit, recipe, data, train, steps=steps, seed=seed, test=test))

    rates = [replace(recipe, rate=float(rate)) for rate in common.listed(given.rates)]
    if len(rates) > 1:
        on_dev = [common.score(replace(data, test=dev), theirs(each, _CHOOSING_SEED, dev).labels) for each in rates]
        for each, found in zip(rates, on_dev, strict=True):
            say(f"Trainer at {each.rate:g}: {found:.4f} on dev")
        rates = [rates[on_dev.index(max(on_dev))]]
    say(f"Trainer: {rates[0]}, {steps} steps")
    answers: dict[str, dict[int, Answers]] = {given.method: {}, "Trainer": {}}
    for seed in seeds_of(given, 2):
        answers[given.method][seed] = ours(given, kept, data, given.per_class, seed, given.method)
        answers["Trainer"][seed] = theirs(rates[0], seed)
        for name, runs in answers.items():
            say(f"seed {seed}: {name:16} {common.score(data, runs[seed].labels):.4f} in {runs[seed].seconds:.0f} s")
    labels = [{seed: each.labels for seed, each in runs.items()} for runs in answers.values()]
    for metric in METRICS:
        means = [common.mean([common.score(data, y, metric) for y in each.values()]) for each in labels]
        found = common.difference(data, *labels, n_labels=n, metric=metric)
        say(f"{metric}: {given.method} {means[0]:.4f}, Trainer {means[1]:.4f}, in points {common.in_points(found)}")


def few(given: argparse.Namespace, kept: Kept) -> None:
    from nshot import methods

    per_class = given.per_class or 8
    wanted = common.listed(given.methods) or [
        name
        for name in methods.names()
        if methods.get(name).trains_network and TaskKind.CLASSIFY in methods.get(name).needs.tasks
    ]
    below = []
    say(f"{'set':22} {'method':20} {'probe':>7} {'method':>7}  {'accuracy, in points':26} macro F1, in points")
    for name in common.listed(given.sets):
        data = common.read(name)
        n = len(common.drawn(data, per_class, 0)[0])
        probe = {seed: ours(given, kept, data, per_class, seed, _PROBE).labels for seed in seeds_of(given, 3)}
        for method in wanted:
            reason = methods.build(method).supports(data.task, common.backbone(given.threads))
            if reason:
                say(f"{name:22} {method:20} {reason}")
                continue
            try:
                found = {seed: ours(given, kept, data, per_class, seed, method).labels for seed in seeds_of(given, 3)}
            except NshotError as error:
                say(f"{name:22} {method:20} {error}")
                continue
            differences = [common.difference(data, found, probe, n_labels=n, metric=metric) for metric in METRICS]
            means = [common.mean([common.score(data, y) for y in each.values()]) for each in (probe, found)]
            marked = any(each.interval is not None and each.interval.high < 0 for each in differences)
            below += [f"{method} on {name}"] if marked else []
            shown = [common.in_points(each) for each in differences]
            say(
                f"{name:22} {method:20} {means[0]:7.4f} {means[1]:7.4f}  {shown[0]:26} {shown[1]}"
                f"{'  BELOW' if marked else ''}"
            )
    say(f"below {_PROBE} by more than the interval: {', '.join(below) or 'none'}")


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("part", choices=("full", "sst2", "few"))
    parser.add_argument("--method", default="full_finetune")
    parser.add_argument("--seeds", type=int, default=None, help="default: 5, 2 and 3")
    parser.add_argument("--per-class", type=int, default=None, help="rows per class (default: all; few: 8)")
    parser.add_argument("--epochs", type=float, default=None, help="of nshot's methods (default: their own)")
    parser.add_argument("--keep", type=Path, default=None, help="file of answers; a second run goes on from it")
    parser.add_argument("--pool-rows", type=int, default=2000, help="unlabelled rows for methods that use them")
    beside = parser.add_argument_group("sst2")
    beside.add_argument("--rates", default="1e-4,2e-4", help="of Trainer; one: it is not chosen")
    beside.add_argument("--trainer-epochs", type=float, default=5.0)
    beside.add_argument("--trainer-precision", default="bf16", choices=("fp32", "bf16"))
    beside.add_argument("--network", default="mean-pooling", help="of Trainer; or sequence-classification")
    of_few = parser.add_argument_group("few")
    of_few.add_argument("--sets", default=",".join(SETS))
    of_few.add_argument("--methods", default="", help="default: all that train the network")
    given = parser.parse_args()
    import torch

    torch.set_num_threads(given.threads)
    {"full": full, "sst2": sst2, "few": few}[given.part](given, Kept(given.keep))


if __name__ == "__main__":
    main()
