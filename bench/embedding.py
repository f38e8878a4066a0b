"""Texts embedded per second: nshot against sentence-transformers, in turns, tokenisation included.

    python bench/embedding.py [--texts 2000] [--windows 5] [--threads 2]

Prints the best window of each, the ratios, and how close our vectors are to those of sentence-transformers in fp32.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

DATA = Path(__file__).resolve().parents[2] / "shared/data/text/banking77/train.csv"
Embed = Callable[[list[str]], np.ndarray]


def read_texts(path: Path, wanted: int) -> list[str]:
    """Return every k-th text of the file, so that all labels and lengths are in."""
    with path.open(encoding="utf-8", newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    return texts[:: max(1, len(texts) // wanted)][:wanted] if wanted else texts


def contenders(threads: int) -> dict[str, Embed]:
    """Return what is measured; the first is the one that others are compared to."""
    import torch
    from sentence_transformers import SentenceTransformer

    from nshot.backbones import DEFAULT, open_backbone
    from nshot.backbones.locate import locate
    from nshot.core import BackboneRef

    torch.set_num_threads(threads)
    folder = str(locate(BackboneRef(DEFAULT)).folder)
    plain = SentenceTransformer(folder, device="cpu")
    bf16 = SentenceTransformer(folder, device="cpu", model_kwargs={"dtype": torch.bfloat16})
    return {
        "sentence-transformers": lambda texts: plain.encode(texts, show_progress_bar=False),
        "sentence-transformers, bf16": lambda texts: bf16.encode(texts, show_progress_bar=False),
        "nshot, fp32": open_backbone(precision="fp32", device="cpu", threads=threads).embed,
        "nshot": open_backbone(device="cpu", threads=threads).embed,
    }


def unit(vectors: np.ndarray) -> np.ndarray:
    """Return the vectors at length 1: in bf16 some peers leave them a little off."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=0, help="how many of the 10,003 texts; 0 for all")
    parser.add_argument("--windows", type=int, default=3, help="measurements of each, in turns")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    if not DATA.is_file():
        sys.exit(f"{DATA} is missing: this benchmark needs the shared data sets.")
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)

    texts = read_texts(DATA, arguments.texts)
    embeds = contenders(arguments.threads)
    wall = dict.fromkeys(embeds, float("inf"))
    processor = dict.fromkeys(embeds, float("inf"))
    vectors: dict[str, np.ndarray] = {}
    for embed in embeds.values():
        embed(texts[:64])
    for _ in range(arguments.windows):
        for name, embed in embeds.items():
            start, start_cpu = time.perf_counter(), time.process_time()
            vectors[name] = embed(texts)
            wall[name] = min(wall[name], time.perf_counter() - start)
            processor[name] = min(processor[name], time.process_time() - start_cpu)

    reference = next(iter(embeds))
    print(f"{len(texts)} texts, {arguments.threads} threads, best of {arguments.windows} windows each, in turns")
    print(f"{'':30}{'texts/s':>9}{'ratio':>8}{'per cpu-s':>11}{'ratio':>8}{'cosine: mean':>14}{'least':>9}")
    for name in embeds:
        cosines = (unit(vectors[name]) * unit(vectors[reference])).sum(axis=1)
        rate, cpu_rate = len(texts) / wall[name], len(texts) / processor[name]
        print(
            f"{name:30}{rate:9.0f}{wall[reference] / wall[name]:8.2f}{cpu_rate:11.0f}"
            f"{processor[reference] / processor[name]:8.2f}{cosines.mean():14.6f}{cosines.min():9.6f}"
        )


if __name__ == "__main__":
    main()
