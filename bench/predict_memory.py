"""How much memory `nshot predict` takes as its input grows, and how soon the first answer comes.

    python bench/predict_memory.py MODEL [--rows 10000,100000]

The slope between the two sizes says what a million rows would take.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WORDS = ("card", "payment", "refund", "late", "parcel", "broken", "order", "account", "money", "cancel", "help", "lost")


def peak_bytes(command: list[str]) -> tuple[int, float]:
    """Return the highest resident memory of a process and its seconds."""
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command} ended with {status}")
    return usage.ru_maxrss * 1024, time.monotonic() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rows", default="10000,100000")
    given = parser.parse_args()
    nshot = [sys.executable, "-m", "nshot.cli", "predict", str(given.model)]
    with tempfile.TemporaryDirectory() as scratch:
        one = Path(scratch) / "one.txt"
        one.write_text("where is my parcel\n")
        print(f"first answer after {min(peak_bytes([*nshot, str(one)])[1] for _ in range(3)):.2f} s")
        measured = []
        for rows in (int(n) for n in given.rows.split(",")):
            table = Path(scratch) / f"{rows}.csv"
            chance = random.Random(0)
            with table.open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(["message"])
                writer.writerows([" ".join(chance.choices(WORDS, k=10)) + f" {i}"] for i in range(rows))
            memory, seconds = peak_bytes([*nshot, str(table), "--out", str(Path(scratch) / "answers.csv")])
            measured.append((rows, memory))
            print(f"{rows:,} rows: {memory / 2**20:,.0f} MiB at most, {seconds:.0f} s, {rows / seconds:,.0f} rows/s")
        (few, low), (many, high) = measured[0], measured[-1]
        slope = (high - low) / (many - few)
        print(f"a million rows would take {(high + slope * (1_000_000 - many)) / 2**20:,.0f} MiB")


if __name__ == "__main__":
    main()
