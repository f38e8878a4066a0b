"""What do methods score where a row may have several labels, or none?

    OMP_NUM_THREADS=1 python bench/tag/several_labels.py [--repeats 5] [--trained-repeats 1] [--sizes 256,1024]

Sentences of 50 contracts with nine kinds of unfair clauses (../shared/data/text/unfair_tos; whole contracts are held
out, names written out), and films with 19 genres, told from title and people's tags (../shared/data/recommendation/
movielens_small). A quarter of the rows is held out once; each repeat draws other labels from the rest. Intervals are
those of a fresh draw of labels, or of this pool where more than half of it is drawn; of one repeat, and without labels,
they cover the test rows (or contracts) only. ``half`` gives a label from a probability of one half on, in place of the
limits that the method chose.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from nshot import methods, metrics
from nshot.backbones import open_backbone
from nshot.core import BackboneRef, Dataset, FitContext, Prediction, Task, TaskKind
from nshot.evaluation import several_labels
from nshot.evaluation.intervals import Block, estimate

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
KINDS = {
    "a": "arbitration",
    "ch": "unilateral change of the contract",
    "cr": "content removal",
    "j": "jurisdiction",
    "law": "choice of law",
    "ltd": "limitation of liability",
    "pinc": "privacy included",
    "ter": "unilateral termination",
    "use": "contract by using",
}
FROZEN = ("majority", "label_similarity", "tfidf_linear", "nearest_neighbours", "linear_probe")
TRAINED = ("full_finetune",)
DECIDING = metrics.get("macro_tag_f1")
MOST_TEST_ROWS = 2_000


def clauses():
    with (DATA / "text/unfair_tos/sentences.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    targets = [tuple(sorted(KINDS[kind] for kind in row["unfair"].split())) for row in rows]
    return Dataset([row["sentence"] for row in rows], targets=targets, groups=[row["contract"] for row in rows])


def films():
    folder = DATA / "recommendation/movielens_small"
    said = defaultdict(set)
    with (folder / "tags.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            said[row["movieId"]].add(row["tag"].lower())
    with (folder / "movies.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["movieId"] in said and row["genres"][0] != "("]
    texts = [f"{row['title']}: {', '.join(sorted(said[row['movieId']]))}" for row in rows]
    return Dataset(texts, targets=[tuple(sorted(row["genres"].split("|"))) for row in rows])


def measure(name, data, sizes, repeats, trained_repeats, backbone):
    targets = list(data.labelled_targets())
    labels = tuple(sorted({label for row in targets for label in row}))
    task = Task(TaskKind.TAG, labels, metric=DECIDING.name)
    marks = several_labels.marks(targets)
    keys = range(len(targets)) if data.groups is None else data.groups
    groups = np.unique([str(key) for key in keys], return_inverse=True)[1]
    rest, held = several_labels.k_folds(marks, groups, np.arange(len(targets)), 4, seed=0)[0]
    test_rows = np.sort(np.random.default_rng(0).permutation(held)[:MOST_TEST_ROWS])
    test, true = data.take(test_rows), [targets[row] for row in test_rows]
    pool = data.take(rest).without_targets()
    print(f"{name}: {len(targets):,} rows, {len(labels)} labels, {len(true):,} test rows, {len(rest):,} to draw from")

    def block(repeat, answers):
        statistics = DECIDING.statistics(true, answers, task)
        return Block(repeat, 0, np.arange(len(true)), statistics, groups[test_rows])

    for method in (*FROZEN, *TRAINED):
        zero_shot = methods.get(method).needs.fewest_labels == 0
        for n in (0,) if zero_shot else sizes:
            blocks, halves, seconds = [], [], []
            for repeat in range(1 if zero_shot else trained_repeats if method in TRAINED else repeats):
                order = several_labels.order(marks, rest, (repeat,))[:n]
                context = FitContext(lambda t, p: DECIDING.score(t, p, task), seed=repeat)
                began = time.perf_counter()
                needed = backbone if methods.get(method).needs.abilities is not None else None
                fitted = methods.build(method).fit(task, data.take(order), pool, needed, context)
                seconds.append(time.perf_counter() - began)
                answers = fitted.predict(test.examples)
                blocks.append(block(repeat, answers))
                given = [tuple(labels[k] for k in np.flatnonzero(row >= 0.5)) for row in answers.probabilities]
                halves.append(DECIDING.score(true, Prediction(labels=given), task))
            rho = n / len(rest)
            found = estimate(blocks, DECIDING, rho=rho, target="a fresh draw" if rho < 0.5 else "this pool")
            ends = f"[{found.interval.low:.3f}, {found.interval.high:.3f}]" if found.interval else "(no interval)"
            print(
                f"  {method:20} n = {n:5,}  macro F1 {found.score:.3f} {ends}  half {np.mean(halves):.3f}"
                f"  {len(blocks)} draw(s)  fit {np.mean(seconds):.1f} s",
                flush=True,
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--trained-repeats", type=int, default=1)
    parser.add_argument("--sizes", default="256,1024")
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    backbone = open_backbone(BackboneRef("sentence-transformers/all-MiniLM-L6-v2"))
    for name, data in (("genres of films", films()), ("unfair clauses", clauses())):
        measure(name, data, sizes, options.repeats, options.trained_repeats, backbone)


if __name__ == "__main__":
    main()
