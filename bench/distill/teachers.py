"""What a student keeps of its teacher, who learnt from few labels, when it learns on rows without labels.

    python bench/distill/teachers.py [--sets trec,sst2] [--rows 1000,5000] [--work FOLDER]

The teacher is `full_finetune` on a few labelled rows of each class. Students learn, of other training rows whose labels
nobody looks at, the teacher's probabilities (`nshot distill`) or its answers alone (`nshot fit` on them); the control
is the student's method fitted on the few labels. All are scored on the data's own test set, and the paired difference
to the teacher stands beside the score. Times are processor seconds of one thread, which other programs change little:
one text alone (median of 100), and one of 500 together. Teachers are kept in --work, so that a bench that was stopped
need not fit them again.

Needs the data beside the checkout (../shared/data).
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from nshot import api

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "text"
SETS = {
    "trec": ("trec/train.csv", "trec/test.csv", 20),
    "sst2": ("sst2/train.csv", "sst2/test.csv", 50),
    "tweet_emotion": ("tweet_emotion/train.jsonl", "tweet_emotion/test.jsonl", 50),
    "banking77": ("banking77/train.csv", "banking77/test.csv", 10),
}
"""Training rows, test rows, and how many rows of each class the teacher is given."""
STUDENTS = {"tfidf_linear": (), "linear_probe": (), "full_finetune": ("layers=3",)}
HEAD = ("data", "model", "learnt from", "macro F1", "to the teacher", "ms alone", "ms of many", "fit s")
Rows = Sequence[tuple[str, str]]


def main() -> None:
    """Print a row of a Markdown table for each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--rows", default="1000,5000")
    parser.add_argument("--work", type=Path)
    arguments = parser.parse_args()
    print("| " + " | ".join(HEAD) + " |")
    print("|---" * len(HEAD) + "|")
    with nullcontext(arguments.work) if arguments.work else tempfile.TemporaryDirectory() as work:
        for name in arguments.sets.split(","):
            here = Path(work) / name
            here.mkdir(parents=True, exist_ok=True)
            _one_set(name, here, [int(n) for n in arguments.rows.split(",")])


def _one_set(name: str, here: Path, sizes: Sequence[int]) -> None:
    train, test, per_class = SETS[name]
    few, rest = _drawn(_read(SHARED / train), per_class)
    _write(here / "few.csv", few)
    _write(here / "test.csv", _read(SHARED / test))
    if not (here / "teacher" / "manifest.json").exists():
        api.fit(here / "few.csv", method="full_finetune", out=here / "teacher", threads=1, label="label")
    teacher = api.load(here / "teacher", threads=1)
    _tell(name, "teacher: full_finetune", f"{len(few)} labels", teacher, None, here, 0.0)
    for method, options in STUDENTS.items():
        began = time.process_time()
        control = api.fit(here / "few.csv", method=method, set=options, threads=1, label="label")
        _tell(name, _named(method, options), f"{len(few)} labels", control, teacher, here, time.process_time() - began)
    for n in sorted({min(n, len(rest)) for n in sizes}):
        texts = [text for text, _ in rest[:n]]
        _write(here / "answered.csv", list(zip(texts, teacher.predict(texts), strict=True)))
        for method, options in STUDENTS.items():
            asked = {"into": method, "set": options, "held_out": 50, "threads": 1, "text": "text"}
            began = time.process_time()
            soft = api.distill(teacher, _texts(texts, here), **asked).model
            _tell(name, _named(method, options), f"{n} probabilities", soft, teacher, here, time.process_time() - began)
            began = time.process_time()
            hard = api.fit(here / "answered.csv", method=method, set=options, threads=1, label="label")
            _tell(name, _named(method, options), f"{n} answers", hard, teacher, here, time.process_time() - began)


def _tell(
    data: str, name: str, learnt: str, model: api.Model, teacher: api.Model | None, here: Path, seconds: float
) -> None:
    found = (
        api.evaluate(model, here / "test.csv", threads=1, label="label", metric="macro_f1")
        if teacher is None
        else api.evaluate(teacher, here / "test.csv", model, threads=1, label="label", metric="macro_f1")
    )
    score = found.metrics["macro_f1"]
    apart = found.difference["macro_f1"] if found.difference else None
    alone, many = _milliseconds(model, [text for text, _ in _read(here / "test.csv")])
    cells = (
        data,
        name,
        learnt,
        "{:.3f} [{:.3f}, {:.3f}]".format(score["score"], *score["interval"]),
        "" if apart is None else "{:+.3f} [{:+.3f}, {:+.3f}]".format(apart["mean"], *apart["interval"]),
        f"{alone:.2f}",
        f"{many:.3f}",
        f"{seconds:.0f}",
    )
    print("| " + " | ".join(cells) + " |", flush=True)


def _milliseconds(model: api.Model, texts: Sequence[str]) -> tuple[float, float]:
    model.predict(texts[:8])
    alone = statistics.median(_seconds(model, [text]) for text in texts[:100])
    some = texts[:500]
    return 1e3 * alone, 1e3 * _seconds(model, some) / len(some)


def _seconds(model: api.Model, texts: Sequence[str]) -> float:
    began = time.process_time()
    model.predict(texts)
    return time.process_time() - began


def _named(method: str, options: Sequence[str]) -> str:
    return f"{method} {' '.join(options)}".strip()


def _texts(texts: Sequence[str], here: Path) -> Path:
    """Return a file with one column."""
    path = here / "texts.csv"
    with path.open("w", encoding="utf-8", newline="") as lines:
        csv.writer(lines).writerows([["text"], *([text] for text in texts)])
    return path


def _read(path: Path) -> Rows:
    with path.open(encoding="utf-8", newline="") as lines:
        read = map(json.loads, lines) if path.suffix == ".jsonl" else csv.DictReader(lines)
        return [tuple(row.values())[:2] for row in read]


def _drawn(rows: Rows, per_class: int) -> tuple[Rows, Rows]:
    """Return so many rows of each class in random order, and all others."""
    shuffled = random.Random(0).sample(rows, len(rows))
    taken: Counter[str] = Counter()
    few, rest = [], []
    for text, label in shuffled:
        taken[label] += 1
        (few if taken[label] <= per_class else rest).append((text, label))
    return few, rest


def _write(path: Path, rows: Rows) -> None:
    with path.open("w", encoding="utf-8", newline="") as lines:
        csv.writer(lines).writerows([("text", "label"), *rows])


if __name__ == "__main__":
    main()
