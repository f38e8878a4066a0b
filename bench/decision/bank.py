"""Fill a bank of runs: small samples of public sets as users' data, every run of their studies, and the truth.

    python bench/decision/bank.py prior BANK
    OMP_NUM_THREADS=1 NSHOT_CACHE_DIR=CACHE python bench/decision/bank.py build BANK [--sets trec,sst2] [--sizes 16,64]
        [--methods linear_probe,...] [--decision 10,10,6,4] [--truth 20] [--first-repeat] [--until 90m]

For a set and n, draw number d is n random rows: the user's data. BANK/SET/N/D is that study's folder, with all the runs
that unlimited time would hold (every candidate, size, fold and repeat). BANK/SET/N/truth.jsonl holds what each
candidate scores when it is fitted on all n rows and tested on (up to 4,000 rows of) the rows left over. `regret.py`
replays decisions from it without computing. What is in the bank is not computed again, so that a build which was
stopped goes on. `prior` writes what the package ships of it (src/nshot/study/prior.json). Needs the data beside the
checkout (../shared/data).
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from nshot import metrics
from nshot.backbones import FeatureCache
from nshot.core import DataError, Dataset, Family, Task, TaskKind, silent
from nshot.data.duplicates import near_duplicate_groups, normalised
from nshot.data.recognition import names_say_something
from nshot.study.execute import Clock
from nshot.study.files import StudyFolder
from nshot.study.options import StudyOptions
from nshot.study.plan import contenders, opened
from nshot.study.prior import REFERENCE, Prior, Reached
from nshot.study.study import Study, StudyData
from nshot.study.watch import Unwatched
from nshot.study.worker import Fit, Fitted, Prepare, Setting, Worker

PRIOR = Path(__file__).resolve().parents[2] / "src" / "nshot" / "study" / "prior.json"
TEXT = Path(__file__).resolve().parents[3] / "shared" / "data" / "text"


@dataclass(frozen=True)
class Source:
    """Where the rows of a set stand: train and test are one population here.

    Attributes:
        files: Below `TEXT`.
        text: The columns that make an example.
        label: The column of its label.
        classes: Keep so many of its labels, chosen at random; None: all.
    """

    files: tuple[str, ...]
    text: tuple[str, ...]
    label: str
    classes: int | None = None


SOURCES = {
    "ag_news": Source(("ag_news/rows.csv",), ("text",), "topic"),
    "amazon_counterfactual": Source(
        ("amazon_counterfactual/train.tsv", "amazon_counterfactual/test.tsv"), ("sentence",), "is_counterfactual"
    ),
    "banking77": Source(("banking77/train.csv", "banking77/test.csv"), ("text",), "category"),
    "clinc150": Source(("clinc150/train.csv", "clinc150/test.csv"), ("text",), "intent"),
    "nusax_english": Source(
        ("nusax_sentiment/english/train.csv", "nusax_sentiment/english/test.csv"), ("text",), "label"
    ),
    "sst2": Source(("sst2/train.csv", "sst2/test.csv"), ("text",), "label"),
    "trec": Source(("trec/train.csv", "trec/test.csv"), ("text",), "label"),
    "tweet_emotion": Source(("tweet_emotion/train.jsonl", "tweet_emotion/test.jsonl"), ("text",), "emotion"),
    "pubmedqa": Source(("pubmedqa/train.jsonl", "pubmedqa/test.jsonl"), ("question", "context"), "decision"),
    # Beyond the nine: a language that the encoder hardly knows, and few of many labels.
    "nusax_indonesian": Source(
        ("nusax_sentiment/indonesian/train.csv", "nusax_sentiment/indonesian/test.csv"), ("text",), "label"
    ),
    "banking77_12": Source(("banking77/train.csv", "banking77/test.csv"), ("text",), "category", classes=12),
    "clinc150_8": Source(("clinc150/train.csv", "clinc150/test.csv"), ("text",), "intent", classes=8),
}
SIZES = (16, 64, 256, 1_024)
DECISIONS = (10, 10, 6, 4)
TRUTH_DRAWS = 20
CHEAP = (
    "majority",
    "tfidf_linear",
    "label_similarity",
    "nearest_neighbours",
    "prototypes",
    "linear_probe",
    "primed_probe",
    "cluster_then_label",
)
_MOST_TESTED = 4_000


def _rows(file: Path) -> Iterator[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        if file.suffix == ".jsonl":
            yield from (json.loads(line) for line in lines if line.strip())
        else:
            yield from csv.DictReader(lines, delimiter="\t" if file.suffix == ".tsv" else ",")


@cache
def population(name: str) -> tuple[list[str], list[str]]:
    """Return the texts and labels of a set, of exact duplicates the first."""
    source = SOURCES[name]
    found: dict[str, tuple[str, str]] = {}
    for file in source.files:
        for row in _rows(TEXT / file):
            text = "\n".join(row[column] for column in source.text)
            found.setdefault(normalised(text), (text, str(row[source.label])))
    rows = list(found.values())
    if source.classes is not None:
        listed = sorted({label for _, label in rows})
        kept = set(np.random.default_rng(0).permutation(listed)[: source.classes].tolist())
        rows = [row for row in rows if row[1] in kept]
    return [text for text, _ in rows], [label for _, label in rows]


@dataclass(frozen=True)
class Sample:
    """One user's data, and the rows that tell the truth.

    Attributes:
        task: With the labels that the user's rows have.
        train: The user's n rows.
        rest: Up to 4,000 others with those labels.
    """

    task: Task
    train: Dataset
    rest: Dataset


def sample(name: str, n: int, draw: int, tested: int = _MOST_TESTED) -> Sample:
    """Return one draw of n rows, and at most `tested` of the others."""
    texts, labels = population(name)
    order = np.random.default_rng([crc32(name.encode()), n, draw]).permutation(len(texts)).tolist()
    own = order[:n]
    known = {labels[i] for i in own}
    rest = [i for i in order[n:] if labels[i] in known][:tested]

    def taken(rows: Sequence[int], what: str) -> Dataset:
        return Dataset([texts[i] for i in rows], targets=[labels[i] for i in rows], name=what)

    listed = tuple(sorted(known))
    task = Task(TaskKind.CLASSIFY, listed, names_say_something=names_say_something(listed, {}))
    return Sample(task, taken(own, name), taken(rest, "rest"))


class InProcess:
    """Carries out a study's runs in this process: a thousand small studies need not start a thousand others."""

    def __init__(self, setting: Setting, log: Path) -> None:
        self._worker = Worker(setting, silent)

    def ask(
        self, request: Any, *, seconds: float | None, progress: Callable[[int, int, str], None] | None = None
    ) -> Any:
        """Carry out a request; how long one example alone takes is not measured."""
        if isinstance(request, Prepare):
            return self._worker.prepare(request)
        if isinstance(request, Fit):
            return self._worker.fit(replace(request, latency=False))
        raise TypeError(f"not a request of a bank: {request}")

    def end(self) -> None:
        """Do nothing: there is nothing to end."""


def study_of(
    drawn: Sample,
    folder: Path,
    methods: Sequence[str],
    *,
    clock: Clock,
    worker: Callable[[Setting, Path], Any],
    prior: Prior | None = None,
) -> Study:
    """Return the study that `nshot compare` would make of a sample."""
    groups = near_duplicate_groups(list(drawn.train.examples))
    data = StudyData(drawn.task, drawn.train, None, None, groups)
    (folder / "predictions").mkdir(parents=True, exist_ok=True)
    options = StudyOptions(methods=tuple(methods), threads=1, device="cpu")
    return Study(data, options, StudyFolder(folder), clock, Unwatched(), worker, prior)


def decide(drawn: Sample, folder: Path, methods: Sequence[str], precision: str, *, first_repeat: bool) -> int:
    """Execute the runs of one study into its folder; return their number.

    Args:
        drawn: The user's data.
        folder: The study's.
        methods: Whose runs.
        precision: Number format of the network.
        first_repeat: Only the folds of the first repeat at all rows, and the curve of its first fold.
    """
    study = study_of(drawn, folder, methods, clock=Clock(), worker=InProcess)
    specs = study.every_run(precision)
    if first_repeat:
        whole = study.design.n_train
        specs = [spec for spec in specs if spec.repeat == 0 and (spec.fold == 0 or spec.n_labels == whole)]
    study.run(only=[spec.key for spec in specs])
    return len(specs)


def truth(
    drawn: Sample, draw: int, methods: Sequence[str], scratch: Path, known: Container[str]
) -> Iterator[dict[str, Any]]:
    """Yield what each candidate that is not `known` scores on the rest, fitted on all of the user's rows."""
    options = StudyOptions(methods=tuple(methods), threads=1, device="cpu")
    backbones = opened(options)
    found, _ = contenders(drawn.task, "text", backbones, options)
    scratch.mkdir(parents=True, exist_ok=True)
    n = len(drawn.train)
    setting = Setting(
        task=drawn.task,
        train=drawn.train,
        test=drawn.rest,
        unlabelled=None,
        draws={(0, 0): (np.arange(n), np.arange(len(drawn.rest)))},
        backbones=tuple(backbone.ref for backbone in backbones),
        metric="macro_f1",
        metrics=("macro_f1", "accuracy"),
        cache=FeatureCache().folder,
        precision="auto",
        device="cpu",
        threads=1,
        predictions=scratch,
        models=scratch,
    )
    worker = Worker(setting, silent)
    for item in (item for item in found if item.candidate.method not in known):
        labels = n if item.sizes([n]) == (n,) else 0
        candidate = item.candidate
        request = Fit("truth", candidate.method, candidate.options, candidate.backbone, labels, 0, 0, seed=0)
        fitted: Fitted = worker.fit(request)
        from safetensors.numpy import load_file

        arrays = load_file(scratch.parent / str(fitted.predictions))
        yield {
            "draw": draw,
            "candidate": item.name,
            "method": candidate.method,
            "family": candidate.family.value,
            "n": n,
            "classes": len(drawn.task.labels),
            "tested": len(drawn.rest),
            "seconds": round(fitted.cost.fit_seconds, 4),
            "milliseconds_per_example": round(fitted.cost.milliseconds_per_example, 4),
            **{name: metrics.get(name).aggregate(arrays[f"metric.{name}"]) for name in ("macro_f1", "accuracy")},
        }


def known_truth(bank: Path, name: str, n: int) -> list[dict[str, Any]]:
    """Return the truth that is in the bank."""
    file = bank / name / str(n) / "truth.jsonl"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


@dataclass
class Build:
    """What to fill a bank with.

    Attributes:
        bank: The folder.
        methods: What to run.
        decisions: Number of whole studies by n.
        truths: Number of draws that tell the truth.
        first_repeat: Only the first repeat of each study.
        tested: Number of rows that tell the truth.
        deadline: When to stop, in `time.monotonic` seconds.
        scratch: A folder for files that nobody reads again; one per process.
    """

    bank: Path
    methods: tuple[str, ...]
    decisions: dict[int, int]
    truths: int
    first_repeat: bool
    tested: int
    deadline: float
    scratch: Path

    def fill(self, name: str, n: int) -> None:
        """Fill in one set at one n, the truth of each draw after its study."""
        _, labels = population(name)
        if n < 2 * len(set(labels)) or len(labels) < 2 * n:
            return
        folder = self.bank / name / str(n)
        folder.mkdir(parents=True, exist_ok=True)
        done: dict[int, set[str]] = defaultdict(set)
        for record in known_truth(self.bank, name, n):
            done[record["draw"]].add(record["method"])
        spent = {"study": 0.0, "truth": 0.0}
        runs = 0
        for draw in range(self.truths):
            if time.monotonic() > self.deadline:
                break
            drawn = sample(name, n, draw, self.tested)
            started = time.monotonic()
            if draw < self.decisions.get(n, 0):
                try:
                    runs += decide(drawn, folder / str(draw), self.methods, precision(), first_repeat=self.first_repeat)
                except DataError as error:
                    (folder / f"{draw}.refused").write_text(str(error), encoding="utf-8")
            spent["study"] += time.monotonic() - started
            started = time.monotonic()
            with (folder / "truth.jsonl").open("a", encoding="utf-8") as file:
                for record in truth(drawn, draw, self.methods, self.scratch, done[draw]):
                    file.write(json.dumps(record) + "\n")
                    file.flush()
            spent["truth"] += time.monotonic() - started
        print(
            f"{name} n = {n}: {runs} runs in {spent['study']:.0f} s, truth in {spent['truth']:.0f} s",
            flush=True,
        )


def source_of(name: str) -> str:
    """Return what sets that were cut from the same rows, or rows of the same meaning, have in common."""
    return name.split("_", maxsplit=1)[0]


def reached(bank: Path) -> Prior:
    """Return the mean scores that the bank's truth holds, as what is known beforehand on other data.

    A method that was run on fewer draws than the probe gets the probe's mean plus the mean difference on the common
    draws.
    """
    found, families = [], {}
    for name in SOURCES:
        for n in sorted(int(folder.name) for folder in (bank / name).glob("[0-9]*")):
            # Nothing is to be learnt from rows of one label.
            records = [record for record in known_truth(bank, name, n) if record["classes"] > 1]
            draws: dict[str, dict[int, dict[str, Any]]] = {}
            for record in records:
                draws.setdefault(record["method"], {})[record["draw"]] = record
                families[record["method"]] = Family(record["family"])
            if REFERENCE not in draws:
                continue
            scores: dict[str, dict[str, float]] = {}
            for metric in ("macro_f1", "accuracy"):
                own = {draw: record[metric] for draw, record in draws[REFERENCE].items()}
                level = float(np.mean(list(own.values())))
                scores[metric] = {
                    method: round(level + float(np.mean([each[draw][metric] - own[draw] for draw in each])), 4)
                    for method, each in sorted(draws.items())
                    if set(each) <= set(own)
                }
            classes = float(np.mean([record["classes"] for record in records]))
            found.append(Reached(name, source_of(name), n, round(classes, 1), scores))
    return Prior(tuple(found), families)


@cache
def precision() -> str:
    """Return the number format that is the faster one here."""
    from nshot.backbones import measured

    return measured("cpu", 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("build", "prior"))
    parser.add_argument("bank", type=Path)
    parser.add_argument("--sets", default=",".join(SOURCES))
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--methods", default=",".join(CHEAP))
    parser.add_argument("--decision", default=",".join(map(str, DECISIONS)), help="studies at n = 16, 64, 256, 1,024")
    parser.add_argument("--truth", type=int, default=TRUTH_DRAWS)
    parser.add_argument("--tested", type=int, default=_MOST_TESTED)
    parser.add_argument("--first-repeat", action="store_true")
    parser.add_argument("--until", default="90m")
    given = parser.parse_args()
    if given.what == "prior":
        PRIOR.write_text(json.dumps(reached(given.bank).as_json(), indent=1) + "\n", encoding="utf-8")
        return
    seconds = StudyOptions(budget=given.until).budget
    build = Build(
        bank=given.bank,
        methods=tuple(given.methods.split(",")),
        decisions=dict(zip(SIZES, map(int, given.decision.split(",")), strict=True)),
        truths=given.truth,
        first_repeat=given.first_repeat,
        tested=given.tested,
        deadline=time.monotonic() + seconds,
        scratch=given.bank / ".scratch" / str(time.time_ns()),
    )
    # Small n first: a build that is stopped has told something of every set.
    for n in map(int, given.sizes.split(",")):
        for name in given.sets.split(","):
            build.fill(name, n)
    if time.monotonic() > build.deadline:
        sys.exit("The time is up; the same command goes on.")


if __name__ == "__main__":
    main()
