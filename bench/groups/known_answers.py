"""Does `find_groups` find what is there, and nothing where nothing is?

    python bench/groups/known_answers.py [noise] [blobs] [ag_news] [genes] [--seeds 20]

`noise`: rows of one heap, of eight kinds, and how often groups are found in them (wanted: never). `blobs`: 2 to 8 heaps
whose centres are at least 7 standard deviations apart, and how often their number is found. `ag_news`: four topics, by
all-MiniLM-L6-v2. `genes`: three sets of gene expression, with the number of groups found and with it told. The last two
need the data beside the checkout (../shared/data).
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from nshot.backbones import open_backbone
from nshot.explore.groups import find_groups

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"

KINDS: dict[str, Callable[[np.random.Generator, int, int], np.ndarray]] = {
    "normal": lambda rng, n, d: rng.normal(size=(n, d)),
    "normal, correlated": lambda rng, n, d: rng.normal(size=(n, d)) @ rng.normal(size=(d, d)),
    "uniform": lambda rng, n, d: rng.random((n, d)),
    "uniform, correlated": lambda rng, n, d: rng.random((n, d)) @ rng.normal(size=(d, d)),
    "t3, each column": lambda rng, n, d: rng.standard_t(3, size=(n, d)),
    "t3, correlated": lambda rng, n, d: rng.standard_t(3, size=(n, d)) @ rng.normal(size=(d, d)),
    "t3, each row": lambda rng, n, d: rng.normal(size=(n, d)) * np.sqrt(3 / rng.chisquare(3, size=(n, 1))),
    "lognormal": lambda rng, n, d: np.exp(rng.normal(size=(n, d))),
}


def noise(seeds: int) -> None:
    for name, draw in KINDS.items():
        for n, widths in ((200, (2, 5, 10, 20, 50)), (1_000, (2, 10, 50)), (5_000, (2, 10))):
            for width in widths:
                found = [
                    find_groups(draw(np.random.default_rng([seed, n, width]), n, width), seed=seed).n_groups
                    for seed in range(seeds)
                ]
                print(f"{name:22} {n:5} x {width:2}: groups in {sum(k > 0 for k in found)} of {seeds}", flush=True)


def blobs(seeds: int) -> None:
    for n in (200, 1_000):
        for width in (2, 5, 20):
            right = {k: sum(_blobs(k, n, width, seed) == k for seed in range(seeds)) for k in range(2, 9)}
            print(f"blobs {n:5} x {width:2}: number right of {seeds}: {right}", flush=True)


def _blobs(n_groups: int, n: int, width: int, seed: int) -> int:
    rng = np.random.default_rng([seed, n_groups, n, width])
    apart = ~np.eye(n_groups, dtype=bool)
    nearest = 0.0
    while nearest < 0.6:
        centres = rng.normal(size=(n_groups, width))
        nearest = float(np.sqrt(np.square(centres[:, None] - centres[None]).sum(-1))[apart].min())
    rows = (centres * 7 / nearest)[rng.integers(0, n_groups, n)] + rng.normal(size=(n, width))
    return find_groups(rows, seed=seed).n_groups


def ag_news(seeds: int) -> None:
    with (DATA / "text" / "ag_news" / "rows.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    started = time.perf_counter()
    vectors = open_backbone().embed([row["text"] for row in rows])
    embedded = time.perf_counter() - started
    topics = [row["topic"] for row in rows]
    for seed in range(seeds):
        started = time.perf_counter()
        groups = find_groups(vectors, seed=seed)
        taken, nmi = time.perf_counter() - started, normalized_mutual_info_score(topics, groups.labels)
        print(
            f"AG News, seed {seed}: {groups.n_groups} groups by {groups.algorithm}, NMI {nmi:.3f}; "
            f"embedding {embedded:.0f} s, search {taken:.0f} s",
            flush=True,
        )


def genes(seeds: int) -> None:
    for path in sorted((DATA / "tabular" / "gene_expression").glob("*.npz")):
        with np.load(path) as file:
            values, truth = file["X"].astype(np.float64), file["y"]
        values = (values - values.mean(axis=0)) / np.where(values.std(axis=0) > 0, values.std(axis=0), 1.0)
        for told in (None, len(np.unique(truth))):
            groups = find_groups(values, n_groups=told)
            ari = adjusted_rand_score(truth, groups.labels)
            print(f"{path.stem}, told {told}: {groups.n_groups} groups, ARI {ari:.3f}. {groups.reason}", flush=True)


PARTS = {"noise": noise, "blobs": blobs, "ag_news": ag_news, "genes": genes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", default=list(PARTS))
    parser.add_argument("--seeds", type=int, default=20)
    given = parser.parse_args()
    for part in given.parts:
        PARTS[part](given.seeds)


if __name__ == "__main__":
    main()
