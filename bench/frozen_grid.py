"""How long does the grid of methods on frozen features take, and what does it score?

    OMP_NUM_THREADS=2 python bench/frozen_grid.py [--repeats 5] [--threads 2]

Banking77 (../shared/data/text/banking77), the embedded model: six methods at six numbers of labels, selection
included, predicting all 3,080 test rows each; once from nothing (embedding included) and once with the feature cache.
The rows of a repeat are one random order: one row of every class, then natural proportions; ``per class`` takes the
same number of each class instead, as papers do.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from nshot import methods, metrics
from nshot.backbones import FeatureCache, open_backbone
from nshot.core import Dataset, FitContext, Task, TaskKind

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data" / "text" / "banking77"
GRID = (
    "label_similarity",
    "nearest_neighbours",
    "prototypes",
    "linear_probe",
    "primed_probe",
    "cluster_then_label",
)
NUMBERS = (77, 154, 308, 770, 1_540, 2_560)
ACCURACY, MACRO_F1 = metrics.get("accuracy"), metrics.get("macro_f1")


def read(name):
    with (FOLDER / name).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return Dataset([row["text"] for row in rows], targets=[row["category"] for row in rows], name=name)


def natural_order(codes, seed):
    """Return all rows in random order, one of every class first."""
    order = np.random.default_rng(seed).permutation(len(codes))
    first = np.sort(np.unique(codes[order], return_index=True)[1])
    return np.concatenate([order[first], np.delete(order, first)])


def per_class(codes, count, seed):
    """Return `count` random rows of every class."""
    order = np.random.default_rng(seed).permutation(len(codes))
    return np.concatenate([order[codes[order] == code][:count] for code in np.unique(codes)])


def run(name, task, train, pool, test, backbone, seed):
    """Return accuracy, macro F1, and the seconds of fit and prediction."""
    context = FitContext(objective=lambda targets, answers: MACRO_F1.score(targets, answers, task), seed=seed)
    start = time.perf_counter()
    answers = methods.build(name).fit(task, train, pool, backbone, context).predict(test.examples)
    seconds = time.perf_counter() - start
    return ACCURACY.score(test.targets, answers, task), MACRO_F1.score(test.targets, answers, task), seconds


def grid(task, train, test, codes, backbone, repeats):
    """Return the seconds of the whole grid and, by method and number of labels, its figures."""
    pool = train.without_targets()
    figures = defaultdict(list)
    start = time.perf_counter()
    for seed in range(repeats):
        order = natural_order(codes, seed)
        for n in NUMBERS:
            for name in GRID:
                figures[name, n].append(run(name, task, train.take(order[:n]), pool, test, backbone, seed))
    return time.perf_counter() - start, figures


def show(figures):
    print(f"{'method':20s}" + "".join(f"{n:>22,d}" for n in NUMBERS))
    for name in GRID:
        cells = [np.mean(figures[name, n], axis=0) for n in NUMBERS]
        print(f"{name:20s}" + "".join(f"   {a:.3f} {f:.3f} {s:6.3f}s" for a, f, s in cells))
    print("each cell: accuracy, macro F1, seconds of one fit and prediction\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    train, test = read("train.csv"), read("test.csv")
    task = Task(TaskKind.CLASSIFY, tuple(sorted(set(train.targets))))
    codes = np.array([task.index()[target] for target in train.targets])
    with tempfile.TemporaryDirectory() as folder:
        for title, limit in (("from nothing", 60), ("with the cache", 40)):
            backbone = open_backbone(cache=FeatureCache(Path(folder)), threads=options.threads)
            processor = time.process_time()
            seconds, figures = grid(task, train, test, codes, backbone, options.repeats)
            processor = time.process_time() - processor
            # On a machine that others use too, the processor time says more than the wall.
            print(
                f"{title}: {seconds:.1f} s, {processor:.1f} s of processor time "
                f"(wanted: under {limit} s for 5 repeats)",
                flush=True,
            )
        show(figures)
        pool = train.without_targets()
        for name, count in (("linear_probe", 1), ("primed_probe", 1), ("linear_probe", 10), ("primed_probe", 10)):
            drawn = [
                run(name, task, train.take(per_class(codes, count, seed)), pool, test, backbone, seed)
                for seed in range(options.repeats)
            ]
            scores = [accuracy for accuracy, _, _ in drawn]
            print(f"{name}, {count} per class: accuracy {np.mean(scores):.4f} ({min(scores):.4f} to {max(scores):.4f})")


if __name__ == "__main__":
    main()
