"""What the benches of training share: public sets, subsets, fits of nshot's methods, scores, differences, turns.

Sets lie in ../shared/data beside the checkout and are used as their authors published them (25 test texts of Banking77
stand in its training rows, for all competitors alike). Importing this loads nothing heavy.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import multiprocessing
import os
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nshot.core import Dataset, FitContext, Prediction, Task, TaskKind

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from nshot.evaluation.comparison import Difference

TEXT = Path(__file__).resolve().parents[3] / "shared" / "data" / "text"
MODEL = "all-MiniLM-L6-v2"
_SECONDS_TO_END = 30
"""A process that has had its last turn may take so long to end."""


# --- data -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Source:
    """Where a set lies; without a test file, a quarter of the rows (drawn once) is the test."""

    train: str
    test: str | None
    text: str
    label: str


SETS = {
    "banking77": Source("banking77/train.csv", "banking77/test.csv", "text", "category"),
    "clinc150": Source("clinc150/train.csv", "clinc150/test.csv", "text", "intent"),
    "sst2": Source("sst2/train.csv", "sst2/test.csv", "text", "label"),
    "trec": Source("trec/train.csv", "trec/test.csv", "text", "label"),
    "ag_news": Source("ag_news/rows.csv", None, "text", "topic"),
    "amazon_counterfactual": Source(
        "amazon_counterfactual/train.tsv", "amazon_counterfactual/test.tsv", "sentence", "is_counterfactual"
    ),
    "tweet_emotion": Source("tweet_emotion/train.jsonl", "tweet_emotion/test.jsonl", "text", "emotion"),
    "nusax_english": Source("nusax_sentiment/english/train.csv", "nusax_sentiment/english/test.csv", "text", "label"),
    "nusax_buginese": Source(
        "nusax_sentiment/buginese/train.csv", "nusax_sentiment/buginese/test.csv", "text", "label"
    ),
}


@dataclass(frozen=True)
class Data:
    """A set: what may be trained on, and what answers are judged by."""

    name: str
    train: Dataset
    test: Dataset
    task: Task


def read_rows(path: Path, text: str, label: str) -> list[tuple[str, str]]:
    """Return (text, label) of every row of a csv, tsv or jsonl file."""
    with path.open(encoding="utf-8", newline="") as file:
        if path.suffix == ".jsonl":
            rows = [json.loads(line) for line in file if line.strip()]
        else:
            rows = list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ","))
    return [(row[text], row[label]) for row in rows]


def read(name: str) -> Data:
    source = SETS[name]
    train = read_rows(TEXT / source.train, source.text, source.label)
    if source.test:
        test = read_rows(TEXT / source.test, source.text, source.label)
    else:
        random.Random(0).shuffle(train)
        cut = len(train) // 4
        train, test = train[cut:], train[:cut]
    return Data(
        name, dataset(train, name), dataset(test, name), Task(TaskKind.CLASSIFY, tuple(sorted({y for _, y in train})))
    )


def dataset(rows: Sequence[tuple[str, str]], name: str) -> Dataset:
    return Dataset([text for text, _ in rows], targets=[label for _, label in rows], name=name)


def drawn(data: Data, per_class: int | None, seed: int) -> tuple[Dataset, Dataset]:
    """Return `per_class` random training rows of every class (None: all) in random order, and the rows left over."""
    order = list(range(len(data.train)))
    random.Random(seed).shuffle(order)
    if per_class is None:
        return data.train.take(order), data.train.take([])
    taken: dict[str, int] = defaultdict(int)
    kept: list[int] = []
    left: list[int] = []
    for at in order:
        label = data.train.labelled_targets()[at]
        (kept if taken[label] < per_class else left).append(at)
        taken[label] += 1
    return data.train.take(kept), data.train.take(left)


@dataclass(frozen=True)
class Condition:
    """A set, how many rows are trained on, and how many seeds are run."""

    name: str
    per_class: int | None
    seeds: int

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Return the condition of ``SET:ROWSxSEEDS``, such as ``banking77:10x5`` (per class) or ``sst2:allx2``."""
        name, _, numbers = text.partition(":")
        rows, _, seeds = numbers.partition("x")
        if name not in SETS or not seeds.isdigit() or not (rows == "all" or rows.isdigit()):
            raise argparse.ArgumentTypeError(f"expected SET:ROWSxSEEDS with a set of {', '.join(SETS)}; got {text}")
        return cls(name, None if rows == "all" else int(rows), int(seeds))

    @property
    def rows(self) -> str:
        """Return how many rows are trained on, in words."""
        return "all rows" if self.per_class is None else f"{self.per_class} per class"


# --- fits -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answers:
    """What a fitted competitor says to the test rows, the wall seconds that its fit took, and json-able facts."""

    labels: Sequence[str]
    seconds: float
    facts: Mapping[str, Any] = field(default_factory=dict)


@cache
def backbone(threads: int) -> Any:
    """Return the embedded model, opened and warm: its weights are loaded, and the libraries with them."""
    from nshot.backbones import open_backbone

    opened = open_backbone(MODEL, threads=threads)
    opened.embed(["warm"])
    return opened


def precision(wanted: str, threads: int) -> str:
    from nshot.backbones import measured

    return measured("cpu", threads) if wanted == "auto" else wanted


def fit(
    method: str,
    data: Data,
    train: Dataset,
    *,
    seed: int,
    settings: argparse.Namespace,
    options: Mapping[str, Any] | None = None,
    pool_rows: int = 0,
) -> Answers:
    """Fit a method of nshot on `train` and let it answer the test rows; nothing is cached between fits.

    Args:
        method: Its public name.
        data: The set.
        train: The rows that it may learn from.
        seed: The only source of chance.
        settings: With ``threads`` and ``precision``.
        options: The method's own.
        pool_rows: How many unlabelled training rows it is handed at most.
    """
    from nshot import methods, metrics

    macro = metrics.get("macro_f1")
    opened = backbone(settings.threads)
    context = FitContext(
        objective=lambda targets, answers: macro.score(targets, answers, data.task),
        seed=seed,
        threads=settings.threads,
        precision=precision(settings.precision, settings.threads),
    )
    pool = data.train.without_targets().take(range(min(pool_rows, len(data.train))))
    started = time.perf_counter()
    predictor = methods.build(method, options or {}).fit(data.task, train, pool, opened, context)
    seconds = time.perf_counter() - started
    return Answers(list(predictor.predict(data.test.examples).labels), seconds)


class _Enough(Exception):
    """No further step is wanted."""


def take_steps(
    method: str,
    data: Data,
    rows: Dataset,
    *,
    settings: argparse.Namespace,
    options: Mapping[str, Any],
    on_step: Callable[[int], bool],
    seed: int = 0,
) -> None:
    """Fit a method of nshot on `rows` without a pool, and leave it as soon as `on_step` says no.

    Args:
        method: Its public name.
        data: The set, for its task.
        rows: What is trained on.
        settings: With ``threads`` and ``precision``.
        options: The method's own.
        on_step: Told after each training step how many the plan has; returns whether to go on.
        seed: The only source of chance.
    """
    from nshot import methods

    def progress(done: int, total: int, doing: str = "") -> None:
        if done and doing.startswith("training") and not on_step(total):
            raise _Enough

    context = FitContext(
        objective=lambda targets, answers: 0.0,
        seed=seed,
        threads=settings.threads,
        precision=precision(settings.precision, settings.threads),
        progress=progress,
    )
    pool = data.train.without_targets().take([])
    with contextlib.suppress(_Enough):
        methods.build(method, options).fit(data.task, rows, pool, backbone(settings.threads), context)


def clock(threads: int) -> Callable[[], float]:
    """Return the clock to judge by, in seconds: with one thread that of the processor, which others disturb less."""
    return time.process_time if threads == 1 else time.perf_counter


class Kept:
    """Answers on file, so that a bench which was stopped goes on where it was."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.found: dict[str, Answers] = {}
        if path and path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                row = json.loads(line)
                self.found[row["key"]] = Answers(row["labels"], row["seconds"], row["facts"])

    def get(self, key: str, work: Callable[[], Answers]) -> Answers:
        """Return the answers kept under `key`, or those of `work`, which are kept then."""
        if key not in self.found:
            self.found[key] = answers = work()
            if self.path:
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"key": key, **asdict(answers)}) + "\n")
        return self.found[key]


# --- scores -----------------------------------------------------------------------------------------------------------


def score(data: Data, labels: Sequence[str], metric: str = "accuracy") -> float:
    from nshot import metrics

    return metrics.get(metric).score(data.test.labelled_targets(), Prediction(labels=labels), data.task)


def difference(
    data: Data,
    ours: Mapping[int, Sequence[str]],
    theirs: Mapping[int, Sequence[str]],
    *,
    n_labels: int,
    metric: str = "accuracy",
) -> Difference:
    """Return ours minus theirs, paired over seeds and test rows, with its 95 % interval.

    Up to half of the training rows it speaks for fresh draws of as many labels, above that for these rows; there the
    repeats are seeds.

    Args:
        data: The set.
        ours: Answers to all test rows, by seed.
        theirs: The same of the other competitor; only seeds that both have count.
        n_labels: Rows that each fit was given.
        metric: What is compared.
    """
    import numpy as np

    from nshot import metrics
    from nshot.evaluation.comparison import paired_difference
    from nshot.evaluation.intervals import Block

    judge = metrics.get(metric)
    rho = n_labels / len(data.train)

    def blocks(answers: Mapping[int, Sequence[str]]) -> list[Block]:
        return [
            Block(
                repeat=seed,
                fold=0,
                rows=np.arange(len(labels)),
                statistics=judge.statistics(data.test.labelled_targets(), Prediction(labels=labels), data.task),
            )
            for seed, labels in answers.items()
        ]

    target = "a fresh draw" if rho < 0.5 else "this pool"
    return paired_difference(blocks(ours), blocks(theirs), judge, rho=rho, target=target)


def in_points(found: Difference) -> str:
    """Return a difference as text, in points."""
    if found.interval is None:
        return f"{100 * found.mean:+6.2f} (no interval)"
    marked = f", {found.marked}" if found.marked else ""
    return f"{100 * found.mean:+6.2f} [{100 * found.interval.low:+.2f}, {100 * found.interval.high:+.2f}]{marked}"


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


# --- flags ------------------------------------------------------------------------------------------------------------


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the flags that all benches of training have."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--threads", type=int, default=os.cpu_count(), help="processor threads (default: all)")
    made.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16"), help="of nshot's training")
    return made


def listed(text: str) -> list[str]:
    return [part for part in text.split(",") if part]


def say(*parts: object) -> None:
    """Print at once, so that a long run can be watched."""
    print(*parts, flush=True)


# --- windows in turns -------------------------------------------------------------------------------------------------


class Turn:
    """What a competitor holds in its own process: it counts steps, and waits while it is another one's turn."""

    def __init__(self, connection: Connection, clock: Callable[[], float]) -> None:
        """Count by `clock`; windows end by the wall clock."""
        self.connection, self.clock = connection, clock
        self.created = time.perf_counter()
        self.end = 0.0
        self.running = self.going = False
        self.examples = 0
        self.started = 0.0

    def step(self, examples: int) -> bool:
        """Count a finished step of so many examples; return whether to go on.

        The first step only says that everything is ready; it counts as preparation.
        """
        if not self.running:
            self.running = True
            self.connection.send(time.perf_counter() - self.created)
            return self._wait()
        self.examples += examples
        if time.perf_counter() < self.end:
            return True
        self.connection.send((self.examples, self.clock() - self.started))
        return self._wait()

    def _wait(self) -> bool:
        seconds = self.connection.recv()
        if seconds is None:
            return False
        self.examples, self.started = 0, self.clock()
        self.end = time.perf_counter() + seconds
        return True


def _compete(connection: Connection, work: Callable[..., None], arguments: tuple[Any, ...], threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    work(Turn(connection, clock(threads)), *arguments)


@dataclass(frozen=True)
class Window:
    """What one competitor did in one of its turns."""

    name: str
    number: int
    examples: int
    seconds: float

    @property
    def rate(self) -> float:
        """Return examples per second."""
        return self.examples / self.seconds


def in_turns(
    competitors: Mapping[str, tuple[Callable[..., None], tuple[Any, ...]]],
    *,
    windows: int,
    seconds: float,
    warm_up: float,
    threads: int,
    prepared: Callable[[str, float], None],
) -> Iterator[Window]:
    """Let competitors train side by side, one at a time, and say how fast each was in each of its windows.

    Every competitor has a process of its own that trains on and on and stands still between its turns, so that whatever
    disturbs the machine disturbs all, and a window never begins with work that is done once. Seconds are those of
    `clock`.

    Args:
        competitors: ``(work, arguments)`` by name; ``work(turn, *arguments)`` trains until ``turn.step`` says no.
        windows: Turns of each.
        seconds: Length of a turn.
        warm_up: Length of a first turn that is not counted.
        threads: Processor threads of each.
        prepared: Told the name and the wall seconds up to the end of the first step.
    """
    spawning = multiprocessing.get_context("spawn")
    lines: dict[str, Connection] = {}
    processes = []
    try:
        for name, (work, arguments) in competitors.items():
            here, there = spawning.Pipe()
            process = spawning.Process(target=_compete, args=(there, work, arguments, threads))
            process.start()
            there.close()
            processes.append(process)
            prepared(name, _received(here, name))
            lines[name] = here
        for number in range(windows + 1):
            for name, line in lines.items():
                line.send(seconds if number else warm_up)
                examples, taken = _received(line, name)
                if number:
                    yield Window(name, number, examples, taken)
        for line in lines.values():
            line.send(None)
        for process in processes:
            process.join(timeout=_SECONDS_TO_END)
    finally:
        for process in processes:
            process.kill()


def _received(line: Connection, name: str) -> Any:
    try:
        return line.recv()
    except EOFError:
        raise SystemExit(f"{name} ended before its turn was over; what it said is above.") from None
