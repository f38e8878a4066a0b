"""What 8 bits cost and gain: models of texts exported as ONNX with ``--int8``, beside themselves in float32.

    python bench/export/int8.py [--labels 500] [--rows 600]

Three data sets, two methods (a probe on frozen features, and the whole network trained). The rows that are scored are
the first of the data's own test set in a random order, the same for both; the difference is paired, with its interval.
float32 is the exported graph too, so that speed and size differ by nothing but the bits. Speed is processor time of one
thread, which other programs on the machine do not change much.

Needs the data beside the checkout (../shared/data).
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from nshot import api
from nshot.bundle.onnx_reading import OnnxModel
from nshot.core import Task

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "text"
SETS = {
    "banking77": ("banking77/train.csv", "banking77/test.csv"),
    "sst2": ("sst2/train.csv", "sst2/test.csv"),
    "tweet_emotion": ("tweet_emotion/train.jsonl", "tweet_emotion/test.jsonl"),
}
METHODS = ("linear_probe", "full_finetune")


def main() -> None:
    """Print a row of a Markdown table for each set and method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=int, default=500)
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--methods", default=",".join(METHODS))
    arguments = parser.parse_args()
    print("| data | method | float32 | int8 | difference | same answers | MiB | ms a text | texts/s |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in arguments.sets.split(","):
        train, test = SETS[name]
        with tempfile.TemporaryDirectory() as folder:
            here = Path(folder)
            _sample(SHARED / train, here / "train.csv", arguments.labels)
            _sample(SHARED / test, here / "test.csv", arguments.rows)
            for method in arguments.methods.split(","):
                print(_row(name, method, here), flush=True)


def _row(name: str, method: str, here: Path) -> str:
    model = here / method
    fitted = api.fit(here / "train.csv", method=method, out=model, threads=1)
    found = {}
    for kind in ("float32", "int8"):
        options = {"to": "onnx", "int8": kind == "int8", "data": here / "test.csv", "tolerance": 100.0, "threads": 1}
        found[kind] = api.export(model, here / f"{method}-{kind}", **options).record
    score = found["int8"]["score"]
    read = found["int8"]["read_back"]
    low, high = score["difference_interval"]
    sizes = " / ".join(f"{found[kind]['bytes'] / 2**20:.0f}" for kind in found)
    seconds = [_seconds(here / f"{method}-{kind}", fitted.task, here / "test.csv") for kind in found]
    alone, together = (" / ".join(f"{each[at]:.1f}" for each in seconds) for at in (0, 1))
    return (
        f"| {name} | {method} | {_scored(score['model_score'], score['model_interval'])} "
        f"| {_scored(score['score'], score['interval'])} | {score['difference']:+.3f} [{low:+.3f}, {high:+.3f}] "
        f"| {read['same']} of {read['examples']} | {sizes} | {alone} | {together} |"
    )


def _scored(score: float, interval: list[float]) -> str:
    return f"{score:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]"


def _seconds(folder: Path, task: Task, test: Path) -> tuple[float, float]:
    """Return the milliseconds of one text alone, the median, and the texts a second of many together."""
    graph = OnnxModel(folder, task, threads=1)
    with test.open(encoding="utf-8", newline="") as lines:
        texts = [row["text"] for row in csv.DictReader(lines)]
    each = [_timed(graph, [text]) for text in texts[:100]]
    return 1e3 * statistics.median(each), len(texts) / _timed(graph, texts)


def _timed(graph: OnnxModel, texts: list[str]) -> float:
    began = time.process_time()
    graph.predict(texts)
    return time.process_time() - began


def _sample(source: Path, target: Path, count: int) -> None:
    """Write the first rows of a random order as csv, text and label."""
    with source.open(encoding="utf-8", newline="") as lines:
        read = csv.DictReader(lines) if source.suffix == ".csv" else map(json.loads, lines)
        rows = [list(row.values()) for row in read]
    chosen = np.random.default_rng(0).permutation(len(rows))[:count]
    with target.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(["text", "label"])
        writer.writerows(rows[at] for at in chosen)


if __name__ == "__main__":
    main()
