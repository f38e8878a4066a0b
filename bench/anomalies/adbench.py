"""Detectors beside pyod's own on twelve sets of ADBench, and what labelled anomalies add.

    python bench/anomalies/adbench.py detectors [--seeds 3]     AUROC of each detector, of pyod's, and as published
    python bench/anomalies/adbench.py labels [--seeds 3]        average precision by number of labelled anomalies

Both on the same split (60 % to learn from, stratified; labels are never shown to a detector) and the same columns,
brought to mean 0 and spread 1 over the training rows. `detectors` also has ours on the columns as nshot's own backbone
of rows scales them. pyod's autoencoder is the slow one: --without autoencoder.

Needs pyod, and the data beside the checkout (../shared/data).
"""

from __future__ import annotations

import argparse
import csv
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nshot import methods
from nshot.backbones import open_backbone
from nshot.backbones.rows import NumberRows
from nshot.core import Backbone, BackboneRef, Dataset, FitContext, Learns, Prediction, Task, TaskKind
from nshot.metrics import get

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
TASK = Task(TaskKind.DETECT, metric="auroc", unit="labelled anomalies")
PUBLISHED = {
    "isolation_forest": "IForest",
    "nearest_distance": "KNN",
    "local_outlier_factor": "LOF",
    "hbos": "HBOS",
    "gaussian_distance": "MCD",
    "pca_residual": "PCA",
}
DETECTORS: dict[str, dict[str, Any]] = {
    "isolation_forest": {},
    "nearest_distance": {},
    "local_outlier_factor": {},
    "ecod": {},
    "hbos": {},
    "gaussian_distance": {},
    # What pyod calls PCA orders rows as their distance from the middle does.
    "pca_residual": {"share": 0.0},
    "autoencoder": {},
}
WITH_LABELS = ("labelled_distance", "outlier_probe", "linear_probe")
NUMBERS = (1, 3, 5, 10, 20)


@dataclass(frozen=True)
class Split:
    """The rows of one set to learn from and to be tested on: columns of spread 1, and which rows are anomalies."""

    name: str
    seed: int
    train: np.ndarray
    test: np.ndarray
    known: np.ndarray
    truth: np.ndarray


def splits(seeds: int, most: int) -> Iterator[Split]:
    from sklearn.model_selection import train_test_split

    for file in sorted((SHARED / "tabular" / "adbench").glob("*.npz")):
        with np.load(file) as held:
            columns, marks = held["X"].astype(np.float32), held["y"].astype(bool)
        for seed in range(seeds):
            a, b = train_test_split(np.arange(len(columns)), test_size=0.4, random_state=seed, stratify=marks)
            a, b = a[:most], b[:most]  # in random order
            spread = columns[a].std(axis=0)
            scaled = (columns - columns[a].mean(axis=0)) / np.where(spread > 0, spread, 1.0)
            yield Split(file.stem.partition("_")[2], seed, scaled[a], scaled[b], marks[a], marks[b])


def fitted(name: str, options: dict[str, Any], train: Dataset, pool: Dataset, backbone: Backbone, seed: int) -> Any:
    judge = get("auroc")
    context = FitContext(lambda targets, prediction: judge.score(targets, prediction, TASK), seed=seed)
    return methods.build(name, options).fit(TASK, train, pool, backbone, context)


def pyods(seed: int) -> dict[str, Callable[[], Any]]:
    from pyod.models.auto_encoder import AutoEncoder
    from pyod.models.ecod import ECOD
    from pyod.models.hbos import HBOS
    from pyod.models.iforest import IForest
    from pyod.models.knn import KNN
    from pyod.models.lof import LOF
    from pyod.models.mcd import MCD
    from pyod.models.pca import PCA

    return {
        "isolation_forest": lambda: IForest(random_state=seed),
        "nearest_distance": KNN,
        "local_outlier_factor": LOF,
        "ecod": ECOD,
        "hbos": HBOS,
        "gaussian_distance": lambda: MCD(random_state=seed),
        "pca_residual": PCA,
        "autoencoder": lambda: AutoEncoder(random_state=seed, verbose=0),
    }


def score(metric: str, truth: np.ndarray, scores: np.ndarray) -> float:
    return get(metric).score(truth, Prediction(scores=np.nan_to_num(scores)), TASK)


def detectors(seeds: int, most: int, without: set[str]) -> None:
    published = _published()
    found: dict[str, dict[str, list[tuple[float, float, float]]]] = defaultdict(lambda: defaultdict(list))
    seconds: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for split in splits(seeds, most):
        width = split.train.shape[1]
        plain = NumberRows(width)
        pool, tested = Dataset(split.train, "row"), Dataset(split.test, "row")
        rows = [Dataset([_as_row(row) for row in part], "row") for part in (split.train, split.test)]
        table = open_backbone(BackboneRef("table"))
        learnt = table.learnt_from(rows[0].examples) if isinstance(table, Learns) else table
        theirs = pyods(split.seed)
        for name, options in DETECTORS.items():
            if name in without:
                continue
            started = time.process_time()
            ours = fitted(name, options, pool.take([]), pool, plain, split.seed).predict(tested.examples)
            middle = time.process_time()
            other = theirs[name]()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                other.fit(split.train.astype(np.float64))
                its = other.decision_function(split.test.astype(np.float64))
            ended = time.process_time()
            seconds[name][0] += middle - started
            seconds[name][1] += ended - middle
            on_table = fitted(name, {}, rows[0].take([]), rows[0], learnt, split.seed).predict(rows[1].examples)
            found[name][split.name].append(
                tuple(score("auroc", split.truth, one) for one in (ours.scores, its, on_table.scores))
            )
        print(f"# {split.name} {split.seed}", flush=True)
    for name, by_set in found.items():
        print(f"\n{name}: ours / pyod / ours on the table backbone (published)")
        for set_name, values in by_set.items():
            mean = np.mean(values, axis=0)
            column = published.get(set_name.lower(), {}).get(PUBLISHED.get(name, ""), "")
            print(f"  {set_name:14s} {mean[0]:.3f} / {mean[1]:.3f} / {mean[2]:.3f}  {column}")
        means = np.mean([np.mean(values, axis=0) for values in by_set.values()], axis=0)
        apart = max(abs(np.mean(v, axis=0)[0] - np.mean(v, axis=0)[1]) for v in by_set.values())
        print(f"  mean {means[0]:.3f} / {means[1]:.3f} / {means[2]:.3f}; farthest apart {apart:.3f}; ", end="")
        print(f"processor seconds {seconds[name][0]:.1f} / {seconds[name][1]:.1f}")


def labels(seeds: int, most: int) -> None:
    found: dict[tuple[str, int], dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    names: list[str] = []
    for split in splits(seeds, most):
        if split.name not in names:
            names.append(split.name)
        backbone = NumberRows(split.train.shape[1])
        # Far-out values are cut as nshot's own backbone of rows does, for all alike.
        train, test = (np.clip(part, -8, 8) for part in (split.train, split.test))
        order = np.random.default_rng(split.seed).permutation(np.flatnonzero(split.known))
        every = Dataset(train, "row", targets=split.known)

        def record(name: str, n: int, predictor: Any, split: Split = split, test: np.ndarray = test) -> None:
            scores = predictor.predict(test).scores
            both = score("average_precision", split.truth, scores), score("auroc", split.truth, scores)
            found[name, n][split.name].append(both)

        for name in ("isolation_forest", "gaussian_distance", "nearest_distance", "ecod"):
            record(name, 0, fitted(name, {}, every.take([]), every.without_targets(), backbone, split.seed))
        for n in (n for n in NUMBERS if n <= len(order)):
            left = np.setdiff1d(np.arange(len(train)), order[:n])
            for name in WITH_LABELS:
                pool = every.take(left).without_targets()
                record(name, n, fitted(name, {}, every.take(order[:n]), pool, backbone, split.seed))
        print(f"# {split.name} {split.seed}", flush=True)
    # Options were chosen on every other set, in the order of the files' names.
    for half, sets in (("chosen on", names[::2]), ("not looked at", names[1::2])):
        print(f"\n{half}: {', '.join(sets)}\naverage precision, AUROC by labelled anomalies")
        for name in dict.fromkeys(name for name, _ in found):
            cells = []
            for n in (0, *NUMBERS):
                values = [np.mean(found[name, n][one], axis=0) for one in sets if one in found.get((name, n), {})]
                cells.append(
                    f"{n}: {np.mean(values, axis=0)[0]:.3f} {np.mean(values, axis=0)[1]:.3f}" if values else ""
                )
            print(f"  {name:18s} " + "   ".join(filter(None, cells)))


def _as_row(values: np.ndarray) -> dict[str, float]:
    return {f"x{number}": float(value) for number, value in enumerate(values, start=1)}


def _published() -> dict[str, dict[str, str]]:
    with (SHARED / "reference" / "pyod" / "roc.csv").open(encoding="utf-8") as file:
        return {row["Data"].lower(): row for row in csv.DictReader(file)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["detectors", "labels"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1_000_000, help="most rows to learn from, and to test on")
    parser.add_argument("--without", action="append", default=[])
    given = parser.parse_args()
    if given.what == "labels":
        labels(given.seeds, given.rows)
    else:
        detectors(given.seeds, given.rows, set(given.without))


if __name__ == "__main__":
    main()
