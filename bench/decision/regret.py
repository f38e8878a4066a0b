"""What a decision costs: replay the studies of a bank, and set what is picked against the truth.

    OMP_NUM_THREADS=1 python bench/decision/regret.py replay BANK [--sets trec] [--sizes 16] [--trained] [--budgets]
    python bench/decision/regret.py tables BANK

The real planner, statistics and pick rule decide; only the runs are answered from the bank, and the time they took
passes on a clock of its own. REGRET is the score of the best candidate in hindsight minus that of the pick, in points
of macro F1, the truth being a candidate's mean over the bank's draws. The prior is judged without the data sets that
share rows with the one at hand. `replay` adds one line per decision to BANK/decisions.jsonl; what is there is not
replayed again.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from bank import CHEAP, SIZES, SOURCES, known_truth, precision, reached, sample, source_of, study_of

from nshot.core import NshotError, Run
from nshot.study.execute import Clock
from nshot.study.ledger import Ledger
from nshot.study.prior import Prior
from nshot.study.process import OutOfTimeError
from nshot.study.study import Study
from nshot.study.worker import Fit, Fitted, Prepare, Prepared, WouldTakeLongerError

TRAINED = ("contrastive", "top_layers", "full_finetune")
SHARES = (0.15, 0.4)
"""Budgets, as shares of the time that all runs of a study took."""
_KEPT_BACK = 4.0
"""Seconds of a budget that a study keeps for its report."""
_SHARE_TO_JUDGE = 0.1
"""Share of a training after which it is known to take too long."""


class NotRecordedError(NshotError):
    """The bank does not hold this run."""


class VirtualTime:
    """A clock that the recorded runs move."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.seconds


class Recorded:
    """Answers a study's requests from a bank, and lets the time pass that they took.

    Args:
        entry: The study's folder in the bank.
        time: Moved on by every answer.
    """

    def __init__(self, entry: Path, time: VirtualTime) -> None:
        self._entry = entry
        self._time = time
        # By what was run, not by key: a method's new version does not make the bank useless for judging decisions.
        self._runs: dict[tuple[str, int, int, int], Run] = {
            (run.candidate.split(":")[0], run.n_labels, run.repeat, run.fold): run
            for run in Ledger(entry / "runs.jsonl")
        }

    def ask(
        self, request: Any, *, seconds: float | None, progress: Callable[[int, int, str], None] | None = None
    ) -> Any:
        """Answer a request."""
        if isinstance(request, Prepare):
            # The features are taken to be there: what they cost is the same for every way of spending the rest.
            return Prepared({}, precision(), "cpu")
        if not isinstance(request, Fit):
            raise NotRecordedError(f"The bank holds no answer to {type(request).__name__}.")
        run = self._runs.get((request.method, request.n_labels, request.repeat, request.fold))
        if run is None or run.cost is None:
            raise NotRecordedError(f"The bank holds no such run of {request.method}.")
        if run.seconds > request.within:
            self._time.seconds += _SHARE_TO_JUDGE * run.seconds
            raise WouldTakeLongerError(0.0, run.seconds)
        if seconds is not None and run.seconds > seconds:
            self._time.seconds += seconds
            raise OutOfTimeError("It would have taken longer than the time that was left.")
        self._time.seconds += run.seconds
        return Fitted(run.cost, str((self._entry / str(run.predictions)).resolve()), run.settings)

    def end(self) -> None:
        """Do nothing: there is nothing to end."""


@dataclass(frozen=True)
class Entry:
    """One user's data in the bank.

    Attributes:
        bank: The bank's folder.
        name: The set.
        n: Number of rows.
        draw: Which draw.
        trained: With the candidates that train a network.
    """

    bank: Path
    name: str
    n: int
    draw: int
    trained: bool

    @property
    def folder(self) -> Path:
        """The study with all its runs."""
        return self.bank / self.name / str(self.n) / str(self.draw)

    @property
    def seconds(self) -> float:
        """How long all its runs took together."""
        methods = self.methods
        return sum(run.seconds for run in Ledger(self.folder / "runs.jsonl") if run.candidate.split(":")[0] in methods)

    @property
    def methods(self) -> tuple[str, ...]:
        """What is compared."""
        return (*CHEAP, *TRAINED) if self.trained else CHEAP

    def study(self, folder: Path, budget: float, prior: Prior) -> tuple[Study, VirtualTime]:
        """Return the study that will be answered from the bank, and the time that it lives in."""
        time = VirtualTime()
        clock = Clock(budget, now=time)
        drawn = sample(self.name, self.n, self.draw)
        study = study_of(
            drawn,
            folder,
            self.methods,
            clock=clock,
            worker=lambda setting, log: Recorded(self.folder, time),
            prior=prior,
        )
        return study, time


def entries(bank: Path, names: Sequence[str], sizes: Sequence[int], *, trained: bool) -> Iterator[Entry]:
    """Yield what the bank holds."""
    for n in sizes:
        for name in names:
            for folder in sorted((bank / name / str(n)).glob("[0-9]*")):
                if folder.is_dir():
                    entry = Entry(bank, name, n, int(folder.name), trained)
                    own = {run.candidate.split(":")[0] for run in Ledger(folder / "runs.jsonl")}
                    if "cluster_then_label" in own and (not trained or "full_finetune" in own):
                        yield entry


def uniform(study: Study, seconds: dict[tuple[str, int, int, int], float], budget: float) -> list[str]:
    """Return the runs that equal numbers for all candidates, in the order of the plan, fit into a budget."""
    own = defaultdict(list)
    for spec in study.every_run(precision()):
        took = seconds.get((spec.candidate.method, spec.n_labels, spec.repeat, spec.fold))
        if took is not None:
            own[spec.candidate.name].append((spec.key, took))
    keys, left = [], budget
    full: set[str] = set()
    for turn in zip_longest(*([(name, *run) for run in runs] for name, runs in own.items())):
        for name, key, took in (item for item in turn if item is not None):
            if took > left:
                full.add(name)
            elif name not in full:
                left -= took
                keys.append(key)
    return keys


def decided(entry: Entry, strategy: str, prior: Prior) -> dict[str, Any]:
    """Replay one decision and return what was said."""
    share = float(strategy.partition("@")[2] or math.inf)
    budget = _KEPT_BACK + share * entry.seconds if math.isfinite(share) else math.inf
    with tempfile.TemporaryDirectory() as scratch:
        if strategy.startswith("uniform"):
            study, _ = entry.study(Path(scratch), math.inf, prior)
            seconds = {
                (run.candidate.split(":")[0], run.n_labels, run.repeat, run.fold): run.seconds
                for run in Ledger(entry.folder / "runs.jsonl")
            }
            result = study.run(only=uniform(study, seconds, budget - _KEPT_BACK))
        else:
            study, _ = entry.study(Path(scratch), budget, prior)
            result = study.run()
    record = result.verdict.record
    rows = [
        {
            "method": row["method"],
            "score": row["score"],
            "interval": row["interval"],
            "n_labels": row["n_labels"],
            "distinguishable": row["distinguishable"],
            "versus_best": row["versus_best"],
            "versus_pick": row["versus_pick"],
            "seconds": row["fit_seconds"],
        }
        for row in record["leaderboard"]
    ]
    pick = record["pick"]
    return {
        "set": entry.name,
        "n": entry.n,
        "draw": entry.draw,
        "trained": entry.trained,
        "strategy": strategy,
        "pick": pick["method"],
        "score": pick["score"],
        "interval": pick["interval"],
        "score_as_measured": pick["score_as_measured"],
        "detectable": record["smallest_detectable_difference"],
        "because": record["because"],
        "rows": rows,
        "runs": len(result.timeline),
        "seconds": round(sum(item["seconds"] or 0.0 for item in result.timeline), 2),
    }


def strategies(*, budgets: bool) -> list[str]:
    """Return how an entry is decided: with all its runs, or with budgets that hold a part of them."""
    if budgets:
        return [f"{kind}@{share}" for share in SHARES for kind in ("nshot", "uniform")]
    return ["nshot", "without prior"]


def replay(bank: Path, chosen: Iterator[Entry], *, budgets: bool) -> None:
    """Decide what was not decided yet."""
    file = bank / "decisions.jsonl"
    done = {(item["set"], item["n"], item["draw"], item["trained"], item["strategy"]) for item in known(file)}
    everything = reached(bank)
    for entry in chosen:
        for strategy in strategies(budgets=budgets):
            if (entry.name, entry.n, entry.draw, entry.trained, strategy) in done:
                continue
            without = strategy == "without prior"
            prior = Prior((), {}) if without else everything.without(source_of(entry.name))
            record = decided(entry, strategy, prior)
            with file.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(record) + "\n")
        print(f"{entry.name} n = {entry.n} draw {entry.draw}", flush=True)


def known(file: Path) -> list[dict[str, Any]]:
    """Return the decisions in a file."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


# --- tables ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Truth:
    """What the candidates really score on one set at one n.

    Attributes:
        mean: By method: the mean over the draws.
        of_draw: By method and draw.
        curve: By method: numbers of labels and the means there.
    """

    mean: dict[str, float]
    of_draw: dict[str, dict[int, float]]
    curve: dict[str, tuple[list[int], list[float]]]

    def at(self, method: str, n_labels: int) -> float | None:
        """Return the mean of fits on `n_labels`, interpolated in log n; None outside of what was measured."""
        numbers, means = self.curve.get(method, ([], []))
        if n_labels == 0:
            return self.mean.get(method)
        if not numbers or not numbers[0] <= n_labels <= numbers[-1]:
            return None
        return float(np.interp(math.log(n_labels), np.log(numbers), means))


def truths(bank: Path) -> dict[tuple[str, int], Truth]:
    """Return the truth by set and n, for what has at least two draws."""
    means = {(item.dataset, item.n_labels): item.scores["macro_f1"] for item in reached(bank).reached}
    curves: dict[str, dict[str, tuple[list[int], list[float]]]] = defaultdict(lambda: defaultdict(lambda: ([], [])))
    for (name, n), mean in sorted(means.items()):
        for method, score in mean.items():
            curves[name][method][0].append(n)
            curves[name][method][1].append(score)
    found = {}
    for (name, n), mean in means.items():
        of_draw: dict[str, dict[int, float]] = defaultdict(dict)
        for record in known_truth(bank, name, n):
            of_draw[record["method"]][record["draw"]] = record["macro_f1"]
        found[name, n] = Truth(dict(mean), dict(of_draw), dict(curves[name]))
    return found


def regret(truth: Truth, pick: str, methods: Sequence[str]) -> float:
    """Return by how many points the pick falls short of the best in hindsight."""
    return 100 * (max(truth.mean[name] for name in methods if name in truth.mean) - truth.mean[pick])


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "- | - | -"
    return f"{np.mean(values):.2f} | {np.quantile(values, 0.9):.2f} | {max(values):.1f}"


RANGES = (("16-64", (16, 64)), ("256-1,024", (256, 1_024)))


def one_run(bank: Path, record: dict[str, Any]) -> str:
    """Return who wins when each candidate is run once, on the first fold."""
    from safetensors.numpy import load_file

    from nshot import metrics

    folder = bank / record["set"] / str(record["n"]) / str(record["draw"])
    macro_f1 = metrics.get("macro_f1")
    most = max(run.n_labels for run in Ledger(folder / "runs.jsonl"))
    scores = {}
    wanted = {row["method"] for row in record["rows"]}
    for run in Ledger(folder / "runs.jsonl"):
        method = run.candidate.split(":")[0]
        if run.repeat == run.fold == 0 and run.n_labels in (0, most) and method in wanted and run.predictions:
            scores[method] = macro_f1.aggregate(load_file(folder / run.predictions)["metric.macro_f1"])
    return max(scores, key=lambda method: (scores[method], method))


def tables(bank: Path) -> None:
    """Print everything as Markdown."""
    truth = truths(bank)
    decisions = known(bank / "decisions.jsonl")
    for trained in (False, True):
        own = [item for item in decisions if item["trained"] == trained]
        if own:
            print("\n## With candidates that train a network\n" if trained else "\n## Candidates on frozen features\n")
            _regret_table(bank, own, truth)
            _by_set(own, truth)
            _claims(own, truth)
            _coverage(own, truth)
            _budgets(own, truth)


def _regret_table(bank: Path, decisions: list[dict[str, Any]], truth: dict[tuple[str, int], Truth]) -> None:
    print("Regret in points of macro F1: mean | 90th percentile | largest\n")
    whole = [item for item in decisions if "@" not in item["strategy"]]
    print("| strategy | " + " | ".join(f"n = {label}: mean | p90 | largest" for label, _ in RANGES) + " |")
    print("|---" * (1 + 3 * len(RANGES)) + "|")
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for item in whole:
        at = truth[item["set"], item["n"]]
        methods = [row["method"] for row in item["rows"]]
        label = next(label for label, sizes in RANGES if item["n"] in sizes)
        values[item["strategy"]][label].append(regret(at, item["pick"], methods))
        if item["strategy"] != "nshot":
            continue
        for fixed in ("full_finetune", "label_similarity", "linear_probe", "primed_probe", "prototypes"):
            if fixed in methods and fixed in at.mean:
                values[f"always {fixed}"][label].append(regret(at, fixed, methods))
                values[f"nshot where {fixed} can be run"][label].append(regret(at, item["pick"], methods))
        values["best of one hold-out run each"][label].append(regret(at, one_run(bank, item), methods))
        measured = max(item["rows"], key=lambda row: row["score"])["method"]
        values["highest measured score"][label].append(regret(at, measured, methods))
    for strategy, by_range in values.items():
        counts = ", ".join(str(len(by_range[label])) for label, _ in RANGES)
        print(f"| {strategy} ({counts}) | " + " | ".join(_spread(by_range[label]) for label, _ in RANGES) + " |")
    print()


def _by_set(decisions: list[dict[str, Any]], truth: dict[tuple[str, int], Truth]) -> None:
    sizes = [n for n in SIZES if any(item["n"] == n for item in decisions)]
    print("Mean regret of nshot (in brackets: without the prior) and the best in hindsight\n")
    print("| set | " + " | ".join(f"n = {n:,}" for n in sizes) + " |")
    print("|---" * (1 + len(sizes)) + "|")
    for name in SOURCES:
        cells = []
        for n in sizes:
            found = defaultdict(list)
            for item in decisions:
                if (item["set"], item["n"]) == (name, n) and "@" not in item["strategy"]:
                    methods = [row["method"] for row in item["rows"]]
                    found[item["strategy"]].append(regret(truth[name, n], item["pick"], methods))
            if not found["nshot"]:
                cells.append("-")
                continue
            mean = truth[name, n].mean
            best = max((method for method in mean if method in CHEAP or decisions[0]["trained"]), key=mean.__getitem__)
            without = f" ({np.mean(found['without prior']):.1f})" if found["without prior"] else ""
            cells.append(f"{np.mean(found['nshot']):.1f}{without} {best} {100 * mean[best]:.0f}")
        if any(cell != "-" for cell in cells):
            print(f"| {name} | " + " | ".join(cells) + " |")
    print()


def _claims(decisions: list[dict[str, Any]], truth: dict[tuple[str, int], Truth]) -> None:
    print("Claims: pairs called different, and how many of them the wrong way round\n")
    print(
        "| n | not the best: called | wrong | of the truly > detectable: called | pair with the pick: called | wrong |"
    )
    print("|---|---|---|---|---|---|")
    for label, sizes in RANGES:
        called = wrong = pairs = pairs_wrong = large = large_called = 0
        for item in decisions:
            if item["strategy"] != "nshot" or item["n"] not in sizes:
                continue
            mean = truth[item["set"], item["n"]].mean
            best = next((row["method"] for row in item["rows"] if _is_best(row)), None)
            for row in item["rows"]:
                method = row["method"]
                if best is not None and row["versus_best"] is not None and method != best:
                    called += row["distinguishable"]
                    wrong += row["distinguishable"] and mean[method] >= max(mean[x["method"]] for x in item["rows"])
                other = row["versus_pick"]
                if other is None or other["interval"] is None:
                    continue
                low, high = other["interval"]
                truly = mean[method] - mean[item["pick"]]
                if low > 0 or high < 0:
                    pairs += 1
                    pairs_wrong += (low > 0 and truly <= 0) or (high < 0 and truly >= 0)
                if other["smallest_detectable"] is not None and abs(truly) > other["smallest_detectable"]:
                    large += 1
                    large_called += low > 0 or high < 0
        share = f"{large_called} of {large}"
        print(f"| {label} | {called:,} | {wrong} | {share} | {pairs:,} | {pairs_wrong} |")
    print()


def _is_best(row: dict[str, Any]) -> bool:
    return row["versus_best"] is not None and row["versus_best"]["mean"] == 0


def _coverage(decisions: list[dict[str, Any]], truth: dict[tuple[str, int], Truth]) -> None:
    print("Coverage of printed 95 % intervals: of the mean of fits on as many labels as the measured fits had")
    print("(interpolated in log n), and of the mean of fits on all the user's labels\n")
    print("| n | of | intervals | inside | truth above | truth below | all labels: inside | mean width |")
    print("|---|---|---|---|---|---|---|---|")
    for label, sizes in RANGES:
        for who in ("the pick", "every candidate"):
            places: list[tuple[float, float, float, float]] = []
            for item in decisions:
                if item["strategy"] != "nshot" or item["n"] not in sizes:
                    continue
                at = truth[item["set"], item["n"]]
                for row in item["rows"]:
                    interval = item["interval"] if who == "the pick" else row["interval"]
                    if interval is None or (who == "the pick" and row["method"] != item["pick"]):
                        continue
                    real = at.at(row["method"], row["n_labels"])
                    if real is not None:
                        places.append((*interval, real, at.mean[row["method"]]))
            if places:
                low, high, real, whole = np.array(places).T
                inside, above, below = (low <= real) & (real <= high), real > high, real < low
                shares = [inside, above, below, (low <= whole) & (whole <= high)]
                cells = " | ".join(f"{100 * share.mean():.1f} %" for share in shares)
                print(f"| {label} | {who} | {len(places):,} | {cells} | {100 * (high - low).mean():.1f} points |")
    print()


def _budgets(decisions: list[dict[str, Any]], truth: dict[tuple[str, int], Truth]) -> None:
    print("A budget that holds a part of the runs: the planner, and equal numbers of runs for all\n")
    print(
        "| n | of the time | decisions | planner: runs | mean | p90 | largest | uniform: runs | mean | p90 | largest |"
    )
    print("|---" * 11 + "|")
    for label, sizes in RANGES:
        for share in SHARES:
            values, runs = defaultdict(list), defaultdict(list)
            for item in decisions:
                kind, _, part = item["strategy"].partition("@")
                if part == str(share) and item["n"] in sizes:
                    at = truth[item["set"], item["n"]]
                    methods = (*CHEAP, *TRAINED) if item["trained"] else CHEAP
                    values[kind].append(regret(at, item["pick"], methods))
                    runs[kind].append(item["runs"])
            if values["nshot"]:
                cells = " | ".join(
                    f"{np.mean(runs[kind]):.0f} | {_spread(values[kind])}" for kind in ("nshot", "uniform")
                )
                print(f"| {label} | {share:.0%} | {len(values['nshot'])} | {cells} |")
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("replay", "tables"))
    parser.add_argument("bank", type=Path)
    parser.add_argument("--sets", default=",".join(SOURCES))
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--trained", action="store_true", help="with the candidates that train a network")
    parser.add_argument("--budgets", action="store_true", help="with budgets that hold a part of the runs")
    parser.add_argument("--draws", type=int, default=10, help="how many of the draws")
    given = parser.parse_args()
    if given.what == "tables":
        tables(given.bank)
        return
    sizes = [int(n) for n in given.sizes.split(",")]
    chosen = entries(given.bank, given.sets.split(","), sizes, trained=given.trained)
    replay(given.bank, (entry for entry in chosen if entry.draw < given.draws), budgets=given.budgets)


if __name__ == "__main__":
    main()
