"""Minutes at a steady rate: no error, and memory that does not grow.

    python bench/serving/soak.py --rate 200 [--minutes 30] [--folder DIR]

The first minute is not counted: memory is taken for good while the first batches of each size are computed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from common import DATA, busy, fitted, load, measured, nshot, resident_bytes, started, texts, training_rows

_MIB = 2**20
MOST_GROWTH = 0.02


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, required=True, help="requests per second, such as 80 %% of what is held")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--window", type=float, default=10.0, help="seconds between two looks at the memory")
    parser.add_argument("--folder", type=Path, help="where the fitted model is kept for the next time")
    asked = parser.parse_args()
    sent = texts(DATA / "test.csv", 3000)
    memory: list[int] = []
    errors = requests = 0
    with ExitStack() as stack:
        folder = asked.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        server = stack.enter_context(started(*nshot(8811, fitted(folder, training_rows(folder)))))
        generator = stack.enter_context(load())
        measured(generator, server, sent, rate=asked.rate, seconds=min(60.0, 15 * asked.minutes))
        print(busy())
        for _ in range(max(2, round(60 * asked.minutes / asked.window))):
            found = measured(generator, server, sent, rate=asked.rate, seconds=asked.window)
            memory.append(resident_bytes(server.process.pid))
            errors += found["errors"]
            requests += found["requests"]
            print(
                f"{requests:8,} requests  {errors} errors  p99 {found['p99_ms']:6.1f} ms  {memory[-1] / _MIB:7.1f} MiB"
            )
        print(busy())
    half = len(memory) // 2
    growth = max(memory[half:]) / max(memory[:half]) - 1
    print(f"largest memory of the second half against the first: {growth:+.2%}")
    sys.exit(bool(errors) or growth > MOST_GROWTH)


if __name__ == "__main__":
    main()
