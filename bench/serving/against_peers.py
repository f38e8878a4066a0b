"""Requests per second and their times: nshot against what people build today, in turns; server and load on a core each.

    python bench/serving/against_peers.py [--rounds 3] [--seconds 3] [--folder DIR]

All servers are up at once and are asked in turns, so that a disturbance hits all of them. Prints the medians, the
processor time per request (which others on the machine hardly change), the ratios, and the highest rate at which
99 of 100 requests to nshot
are answered within 100 ms.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from common import DATA, HERE, busy, fitted, load, measured, nshot, started, texts, training_rows

CLIENTS = (1, 16, 64)
MOST_MS = 100.0


def held_rate(generator: Any, server: Any, asked: list[str], highest: float, seconds: float) -> tuple[float, float]:
    """Return the highest rate of a ladder down from `highest` with p99 below 100 ms, and that p99 in ms."""
    for share in (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2):
        found = measured(generator, server, asked, rate=share * highest, seconds=seconds)
        print(
            f"    {share * highest:7.0f}/s  p50 {found['p50_ms']:6.1f} ms  p99 {found['p99_ms']:6.1f} ms  "
            f"{found['errors']} errors"
        )
        if found["p99_ms"] < MOST_MS and not found["errors"]:
            return share * highest, found["p99_ms"]
    return 0.0, 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--folder", type=Path, help="where the fitted model is kept for the next time")
    asked = parser.parse_args()
    sent = texts(DATA / "test.csv", 1000)
    with ExitStack() as stack:
        folder = asked.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        train = training_rows(folder)
        model = fitted(folder, train)
        peers = str(HERE / "peers.py")
        wanted = {
            "nshot": nshot(8801, model),
            "nshot fp32": nshot(8802, model, "--precision", "fp32"),
            "pipeline": (8803, [peers, "pipeline", "8803", str(train)], "/predict", "text"),
            "sentence-transformers": (8804, [peers, "sentence-transformers", "8804", str(train)], "/predict", "text"),
        }
        servers = {name: stack.enter_context(started(*arguments)) for name, arguments in wanted.items()}
        generator = stack.enter_context(load())
        for server in servers.values():
            measured(generator, server, sent, clients=4, seconds=1)
        found: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
        print(busy())
        for _ in range(asked.rounds):
            for clients in CLIENTS:
                for name, server in servers.items():
                    found[name, clients].append(
                        measured(generator, server, sent, clients=clients, seconds=asked.seconds)
                    )
        for clients in CLIENTS:
            print(f"{clients} clients")
            for name in servers:
                show(name, found[name, clients], found["nshot", clients])
        print("rate at which p99 stays below 100 ms")
        best = max(each["per_second"] for each in found["nshot", 64])
        print(held_rate(generator, servers["nshot"], sent, best, 4.0))
        print(busy())
    sys.stdout.flush()


def show(name: str, rounds: list[dict[str, Any]], ours: list[dict[str, Any]]) -> None:
    """Print a line; ratios are of medians over the rounds, in each of which all took their turn."""

    def middle(figure: str, found: list[dict[str, Any]] = rounds) -> float:
        return statistics.median(each[figure] for each in found)

    rate, cpu = middle("per_second"), middle("cpu_ms")
    print(
        f"  {name:22} {rate:6.0f}/s  p50 {middle('p50_ms'):6.1f} ms  p99 {middle('p99_ms'):7.1f} ms"
        f"  processor {cpu:5.2f} ms each  errors {sum(each['errors'] for each in rounds)}"
        f"  nshot: {middle('per_second', ours) / rate:.1f} x the rate, 1/{cpu / middle('cpu_ms', ours):.1f} of the time"
    )


if __name__ == "__main__":
    main()
