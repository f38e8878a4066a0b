"""The record of a comparison as the reports read it.

A record comes from a file as often as from the program itself, and an interrupted study leaves parts of it out.
So every key may be absent, None or not a number, and is then its default; text is made safe to show once, here:
no control characters, no lone surrogates, no names or texts of any length.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from nshot import metrics
from nshot.core import TaskKind

LONGEST_NAME = 120
LONGEST_SENTENCE = 2_000
LONGEST_TEXT = 600
LONGEST_PASSAGE = 20_000

# Terminal control codes, bidirectional overrides (they can make a label read as another) and halves of characters.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
_DIRECTIONS = re.compile("[\u200e\u200f]")
_PICTURE = re.compile("data:image/png;base64,[A-Za-z0-9+/=]{1,200000}")
_BLANK_LINES = re.compile("\n{3,}")


def printable(value: Any, longest: int) -> str:
    """Return `value` as one line that can be shown anywhere, cut to `longest` characters."""
    words = str(value)
    cut = words[: longest * 2]  # before the slow part: a text may have megabytes
    line = " ".join(_UNPRINTABLE.sub("\ufffd", cut).split())
    return line if len(line) <= longest and len(words) == len(cut) else line[: longest - 1].rstrip() + "…"


def passage(value: Any) -> str:
    """Return `value` as a text of several lines that can be shown anywhere, cut to `LONGEST_PASSAGE` characters.

    Marks of direction are dropped: whatever shows a passage finds its direction by its letters.
    """
    words = str(value)
    cut = _DIRECTIONS.sub("", words[:LONGEST_PASSAGE])
    lines = [_UNPRINTABLE.sub("\ufffd", line).rstrip() for line in cut.splitlines()]
    text = _BLANK_LINES.sub("\n\n", "\n".join(lines).strip("\n"))
    return text if len(words) <= LONGEST_PASSAGE else text.rstrip() + "…"


def _name(value: Any) -> str:
    return printable(value, LONGEST_NAME)


def _sentence(value: Any) -> str:
    return printable(value, LONGEST_SENTENCE)


def _text(value: Any) -> str:
    return printable(value, LONGEST_TEXT)


def _picture(value: Any) -> str:
    """Return a picture that is part of the page; nothing else may be asked for."""
    words = str(value)
    return words if _PICTURE.fullmatch(words) else ""


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def _both_ends(value: Any) -> Any:
    if value is None or len(value) != 2 or any(_missing(end) for end in value):
        return None
    return value


Name = Annotated[str, BeforeValidator(_name)]
Sentence = Annotated[str, BeforeValidator(_sentence)]
Text = Annotated[str, BeforeValidator(_text)]
Passage = Annotated[str, BeforeValidator(passage)]
Picture = Annotated[str, BeforeValidator(_picture)]
Ends = Annotated[tuple[float, float] | None, BeforeValidator(_both_ends)]


class Part(BaseModel):
    """A part of the record: what is missing is the default, what is unknown is ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _only_what_is_there(cls, values: Any) -> Any:
        if isinstance(values, Mapping):
            return {key: value for key, value in values.items() if not _missing(value)}
        return values


class Figure(Part):
    """A number and what it may be."""

    value: float | None = None
    interval: Ends = None


class AlarmThreshold(Part):
    """The anomaly score above which an alarm is raised, and what is to be expected of it."""

    threshold: float | None = None
    cost_per_1000_rows: Figure = Figure()
    recall: Figure = Figure()
    false_alarm_rate: Figure = Figure()
    alarms_per_1000_rows: Figure = Figure()
    cost_per_1000_rows_without_alarms: float | None = None
    anomaly_share: float | None = None
    cost_of_miss: float | None = None
    cost_of_false_alarm: float | None = None


class Pick(Part):
    """The candidate to take."""

    candidate: Name
    method: Name = ""
    family: Name = ""
    backbone: Name = ""
    n_labels: int | None = None
    target: Name = ""
    score: float | None = None
    interval: Ends = None
    score_as_measured: float | None = None
    threshold: AlarmThreshold | None = None


class Scored(Part):
    """A score and what it may be."""

    score: float | None = None
    interval: Ends = None


class Difference(Part):
    """A paired difference and what it may be."""

    mean: float | None = None
    interval: Ends = None


class PerMonth(Part):
    """What a month costs and what it may be."""

    money: float | None = None
    interval: Ends = None


class Prices(Part):
    """What the user pays."""

    per_hour: float | None = None
    per_label: float | None = None
    per_mistake: float | None = None
    predictions_per_month: int | None = None
    set_up_months: int | None = None


class Entry(Part):
    """A candidate at its largest measured number of labels."""

    candidate: Name = ""
    method: Name = ""
    family: Name = ""
    backbone: Name = ""
    n_labels: int | None = None
    repeats: int | None = None
    target: Name = ""
    score: float | None = None
    interval: Ends = None
    scores: dict[Name, Scored] = {}
    versus_best: Difference | None = None
    distinguishable: bool | None = None
    status: Name = "complete"
    fit_seconds: float | None = None
    milliseconds_per_example: float | None = None
    peak_memory_bytes: float | None = None
    artefact_bytes: float | None = None
    money: float | None = None
    milliseconds_alone: float | None = None
    milliseconds_alone_p95: float | None = None
    examples_per_second: float | None = None
    best_batch: int | None = None
    shipped_bytes: float | None = None
    tokens_per_example: float | None = None
    money_per_month: PerMonth = PerMonth()


class BreakEven(Part):
    """From how many predictions a month the dearer set-up pays."""

    before: Name = Field("", alias="from")
    after: Name = Field("", alias="to")
    predictions_per_month: float | None = None
    interval: Ends = None
    outcome: Name = ""


class Crossover(Part):
    """Where one candidate overtakes another."""

    before: Name = Field("", alias="from")
    after: Name = Field("", alias="to")
    n_labels: float | None = None
    interval: Ends = None


class Gain(Part):
    """What more labels are expected to add."""

    n_labels: float | None = None
    gain: float | None = None
    interval: Ends = None
    candidate: Name = Field(default="", alias="with")
    money: float | None = None


class TakenIn(Part):
    """How well a candidate answers labels that arrived later, or that were there from the start."""

    candidate: Name = ""
    needs: Name = ""
    examples_per_label: int | None = None
    seen: Scored = Scored()
    new: Scored = Scored()
    harmonic_mean: Scored = Scored()
    versus_best: Difference | None = None
    seconds_to_take_in: float | None = None
    fit_seconds: float | None = None
    draws: int | None = None


class NewLabels(Part):
    """What happens when labels arrive later."""

    held_out: tuple[tuple[Name, ...], ...] = ()
    n_labels_held_out: int | None = None
    n_labels_seen: int | None = None
    rows_per_new_label: float | None = None
    rows: tuple[TakenIn, ...] = ()
    from_the_start: tuple[TakenIn, ...] = ()
    because: tuple[Sentence, ...] = ()


class Finding(Part):
    """A check that has something to say."""

    code: Name = ""
    title: Name = ""
    severity: Name = "note"
    explanation: Sentence = ""
    advice: Sentence = ""
    rows: tuple[int, ...] = ()
    count: int = 0


class Skipped(Part):
    """What was not run, and why."""

    candidate: Name = ""
    n_labels: int | None = None
    reason: Sentence = ""


class Verdict(Part):
    """What the comparison supports."""

    task: Name = "classify"
    metric: Name = ""
    point: float = 0.01
    n_labels: int | None = None
    n_test: int | None = None
    model_n_labels: int | None = None
    pick: Pick | None = None
    because: tuple[Sentence, ...] = ()
    leaderboard: tuple[Entry, ...] = ()
    crossovers: tuple[Crossover, ...] = ()
    more_labels: tuple[Gain, ...] = ()
    smallest_detectable_difference: float | None = None
    smallest_detectable_test_rows: int | None = None
    new_labels: NewLabels | None = None
    prices: Prices | None = None
    break_even: tuple[BreakEven, ...] = ()
    checks: tuple[Finding, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[Sentence, ...] = ()
    seconds: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _an_empty_pick_is_none(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and not (values.get("pick") or {}).get("candidate"):
            return {key: value for key, value in values.items() if key != "pick"}
        return values


class LabelCount(Part):
    """A label of the data and how often it occurs."""

    label: Name = ""
    count: int = 0
    description: Sentence = ""


class Target(Part):
    """The numbers that are to be predicted."""

    low: float | None = None
    median: float | None = None
    high: float | None = None


class Data(Part):
    """What was compared on; `columns` of rows, `target` of numbers, `anomalies` counts the labelled ones."""

    name: Name = "data"
    modality: Name = ""
    rows: int | None = None
    columns: tuple[Name, ...] = ()
    target: Target | None = None
    anomalies: int | None = None
    text: Name = ""
    label: Name = ""
    n_train: int | None = None
    n_test: int | None = None
    recognised: Sentence = ""
    labels: tuple[LabelCount, ...] = ()
    protocol: Sentence = ""
    metric_name: Name = ""
    metric_explained: Sentence = ""


class Point(Part):
    """A measured point of a learning curve; `marked` says what its interval leaves out."""

    n_labels: int | None = None
    score: float | None = None
    interval: Ends = None
    repeats: int | None = None
    target: Name = ""
    marked: Sentence = ""


class BandPoint(Part):
    """A point of the fitted curve with its band."""

    n_labels: float | None = None
    score: float | None = None
    low: float | None = None
    high: float | None = None


class Curve(Part):
    """A candidate's scores over the number of labels."""

    candidate: Name = ""
    family: Name = ""
    points: tuple[Point, ...] = ()
    band: tuple[BandPoint, ...] = ()
    role: Name = ""

    @cached_property
    def measured(self) -> tuple[tuple[int, float, Point], ...]:
        """Return number of labels, score and point of every point that has both, by number of labels."""
        found: dict[int, tuple[int, float, Point]] = {}
        for point in self.points:
            if point.n_labels is not None and point.score is not None:
                found[point.n_labels] = (point.n_labels, point.score, point)
        return tuple(found[n] for n in sorted(found))

    @property
    def needs_no_labels(self) -> bool:
        """Whether it was measured without labels only, so that its score is the same for any number of them."""
        return bool(self.measured) and all(n == 0 for n, _, _ in self.measured)


class Confusion(Part):
    """How often each label (row) was answered with each label (column)."""

    labels: tuple[Name, ...] = ()
    matrix: tuple[tuple[int, ...], ...] = ()

    @property
    def complete(self) -> bool:
        """Whether there is a matrix and it is square."""
        n = len(self.labels)
        return n > 0 and len(self.matrix) == n and all(len(row) == n for row in self.matrix)


class ClassScore(Part):
    """The pick's scores for one label."""

    label: Name = ""
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    support: int = 0


class Mistake(Part):
    """A test example that the pick answered wrongly."""

    row: int | None = None
    text: Text = ""
    picture: Picture = ""
    label: Name = ""
    predicted: Name = ""
    probability: float | None = None


class Bin(Part):
    """Answers of about the same probability."""

    confidence: float | None = None
    accuracy: float | None = None
    count: int = 0


class Calibration(Part):
    """How far the pick's probabilities can be taken at their word."""

    bins: tuple[Bin, ...] = ()


class Within(Part):
    """How far off answers are: `share` of them by no more than `error`, which is uncertain by `interval`."""

    share: float | None = None
    error: float | None = None
    interval: Ends = None


class Covered(Part):
    """Of the answers from `low` to `high`, the share that is off by no more than nine in ten of the others are."""

    low: float | None = None
    high: float | None = None
    count: int = 0
    share: float | None = None
    interval: Ends = None


class Miss(Part):
    """A test example whose number was missed by far."""

    row: int | None = None
    text: Text = ""
    picture: Picture = ""
    target: float | None = None
    predicted: float | None = None


class Regression(Part):
    """The pick's numbers beside the true ones; `points` are (true, predicted) of some of the test examples."""

    points: tuple[tuple[float, float], ...] = ()
    n_test: int | None = None
    bias: Scored = Scored()
    within: tuple[Within, ...] = ()
    coverage: tuple[Covered, ...] = ()
    worst: tuple[Miss, ...] = ()


class Stretch(Part):
    """A stretch of a text; `label` is that of its entity, empty where it is none."""

    text: Text = ""
    label: Name = ""


class MarkedText(Part):
    """A test text whose entities were not all found, as it was marked and as it was answered."""

    row: int | None = None
    wanted: tuple[Stretch, ...] = ()
    answered: tuple[Stretch, ...] = ()


class Entities(Part):
    """Some of the texts in which the pick missed an entity, or answered what is none."""

    n_wrong: int | None = None
    n_test: int | None = None
    texts: tuple[MarkedText, ...] = ()


class Operating(Part):
    """What is found where a share of the normal rows may raise a false alarm."""

    false_alarm_rate: float | None = None
    recall: float | None = None
    interval: Ends = None
    precision: float | None = None
    alarms_per_1000_rows: float | None = None


class Ranked(Part):
    """A test example with its anomaly score, and the share of test examples that score lower."""

    row: int | None = None
    text: Text = ""
    picture: Picture = ""
    score: float | None = None
    share_below: float | None = None


class Detection(Part):
    """How the pick detects anomalies."""

    anomalies: int | None = None
    normal: int | None = None
    anomaly_share: float | None = None
    points: tuple[Operating, ...] = ()
    strangest_normal: tuple[Ranked, ...] = ()
    least_strange: tuple[Ranked, ...] = ()


class Reproduce(Part):
    """What it takes to get the same figures again."""

    command: Sentence = ""
    seed: int | None = None
    versions: dict[Name, Any] = {}
    machine: dict[Name, Any] = {}
    data_fingerprint: Name = ""
    metric: Sentence = ""


class TimeSpent(Part):
    """One fit on the clock."""

    candidate: Name = ""
    n_labels: int | None = None
    seconds: float = 0.0


class Training(Part):
    """How one training went, or several of one candidate together.

    `losses` are means over equal stretches of a run, `low` and `high` the smallest and largest of several runs there.
    """

    candidate: Name = ""
    n_labels: int | None = None
    runs: int = 1
    steps: int | None = None
    examples_seen: int | None = None
    learning_rate: float | None = None
    precision: Name = ""
    restarts: int = 0
    micro_batch_halvings: int = 0
    losses: tuple[float, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()

    @field_validator("losses", "low", "high", mode="before")
    @classmethod
    def _only_what_can_be_drawn(cls, values: Any) -> Any:
        return () if any(_missing(value) for value in values) else values

    @property
    def has_spread(self) -> bool:
        """Whether it is known how far the runs lie apart."""
        return self.runs > 1 and len(self.low) == len(self.high) == len(self.losses) > 0


class Answer(Part):
    """What one candidate wrote; `text` is None where texts were left out of the record."""

    text: Passage | None = None
    score: float | None = None
    stopped: bool = True


class Written(Part):
    """A test input with what was wanted and what the candidates wrote; `why` says how it came to be shown."""

    row: int | None = None
    why: Name = ""
    input: Passage = ""
    references: tuple[Passage, ...] = ()
    answers: dict[Name, Answer] = {}


class Texts(Part):
    """Answers of the candidates to the same inputs, scored one by one by `metric`."""

    candidates: tuple[Name, ...] = ()
    metric: Name = ""
    rows: tuple[Written, ...] = ()


class Forgotten(Part):
    """What training did to answers that have nothing to do with the data; `interval` is of the change."""

    candidate: Name = ""
    before: float | None = None
    after: float | None = None
    change: float | None = None
    interval: Ends = None
    unit: Name = ""
    text: Sentence = ""


class RemoteUse(Part):
    """What was asked of a model elsewhere; `from_record` counts answers that an earlier run had recorded."""

    requests: int | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    money: float | None = None
    from_record: int | None = None


class Outputs(Part):
    """Where things were written."""

    report: Sentence = ""
    model: Sentence = ""
    predict: Sentence = ""


class Details(Part):
    """What the verdict rests on."""

    data: Data = Data()
    curves: tuple[Curve, ...] = ()
    confusion: Confusion = Confusion()
    per_class: tuple[ClassScore, ...] = ()
    mistakes: tuple[Mistake, ...] = ()
    suspected_labels: tuple[Mistake, ...] = ()
    calibration: Calibration = Calibration()
    regression: Regression = Regression()
    detection: Detection = Detection()
    entities: Entities = Entities()
    reproduce: Reproduce = Reproduce()
    timeline: tuple[TimeSpent, ...] = ()
    training: tuple[Training, ...] = ()
    texts: Texts = Texts()
    forgetting: tuple[Forgotten, ...] = ()
    remote: dict[Name, RemoteUse] = {}
    signatures: dict[Name, Sentence] = {}
    outputs: Outputs = Outputs()


class FitRecord(Part):
    """A fit that trained something, for the page in the model's folder; `trainings` by what was trained."""

    name: Name = "model"
    task: Name = "classify"
    method: Name = ""
    backbone: Name = ""
    data: Name = ""
    n_labels: int | None = None
    seconds: float | None = None
    examples_per_second: float | None = None
    was_resumed: bool = False
    trainings: dict[Name, Training] = {}
    options: dict[Name, Any] = {}
    facts: dict[Name, Any] = {}
    nshot: Name = ""


_ROLES = ("pick", "same", "behind", "stopped")


class Record(Part):
    """A verdict and the details behind it."""

    verdict: Verdict = Verdict()
    details: Details = Details()

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """Return the leaderboard: the pick, then what is the same, what is behind, what was stopped; best first."""

        def place(entry: Entry) -> tuple[int, float, str]:
            role = self.role(entry.candidate)
            rank = _ROLES.index(role) if role in _ROLES else len(_ROLES)
            score = entry.score if entry.score is not None else -math.inf
            return rank, (score if self.lower_is_better else -score), entry.candidate

        return tuple(sorted((entry for entry in self.verdict.leaderboard if entry.candidate), key=place))

    @cached_property
    def curves(self) -> tuple[Curve, ...]:
        """Return the curves that have a point, in the order of the leaderboard."""
        order = {entry.candidate: i for i, entry in enumerate(self.entries)}
        drawn = [curve for curve in self.details.curves if curve.measured and curve.candidate]
        return tuple(sorted(drawn, key=lambda curve: order.get(curve.candidate, len(order))))

    @property
    def lower_is_better(self) -> bool:
        """Whether the metric is an error."""
        name = self.verdict.metric
        return name in metrics.names() and not metrics.get(name).higher_is_better

    @property
    def is_written(self) -> bool:
        """Whether the answers are texts: there are no labels, and what n counts are answers."""
        return self.verdict.task == TaskKind.GENERATE

    @property
    def in_units(self) -> bool:
        """Whether the metric is an error in the unit of the numbers that are predicted."""
        return self.verdict.metric in metrics.names() and metrics.get(self.verdict.metric).in_units

    @property
    def is_bounded_above(self) -> bool:
        """Whether the metric ends at everything, and falls without end, as the share that is explained does."""
        name = self.verdict.metric
        known = metrics.get(name) if name in metrics.names() else None
        return known is not None and math.isinf(known.lowest) and math.isfinite(known.highest)

    @property
    def has_labels(self) -> bool:
        """Whether anybody learns from labels; groups are found without."""
        return self.verdict.task != TaskKind.CLUSTER

    @property
    def full_score(self) -> float:
        """Return what a perfect answer scores by a metric that is a share: 1, or 100 where a point counts 1."""
        return 100.0 if self.verdict.point >= 1 and not self.in_units else 1.0

    @cached_property
    def signatures(self) -> dict[str, str]:
        """Return everything that could change a metric's number, for each metric of which it was recorded."""
        primary = self.details.reproduce.metric
        return {**({self.verdict.metric: primary} if primary else {}), **self.details.signatures}

    @cached_property
    def picked(self) -> Entry | None:
        """Return the pick's place in the leaderboard."""
        pick = self.verdict.pick
        return next((e for e in self.verdict.leaderboard if pick and e.candidate == pick.candidate), None)

    def role(self, candidate: str) -> str:
        """Return how the candidate stands: pick, same, behind, stopped, or the status of one that did not complete."""
        entry = next((e for e in self.verdict.leaderboard if e.candidate == candidate), None)
        said = next((c.role for c in self.details.curves if c.candidate == candidate and c.role), None)
        if self.verdict.pick and candidate == self.verdict.pick.candidate:
            return "pick"
        if entry and entry.status != "complete":
            return entry.status
        if said:
            return said
        return "same" if entry and entry.distinguishable is False else "behind"

    @cached_property
    def families(self) -> dict[str, str]:
        """Return the family of every candidate that the record knows."""
        found = {curve.candidate: curve.family for curve in self.details.curves}
        found.update({entry.candidate: entry.family for entry in self.verdict.leaderboard if entry.family})
        return found

    @cached_property
    def only_backbone(self) -> str:
        """Return the short name of the backbone that all candidates with one share, or an empty string."""
        names = {entry.backbone.rstrip("/").rsplit("/", 1)[-1] for entry in self.verdict.leaderboard if entry.backbone}
        return names.pop() if len(names) == 1 else ""

    def short(self, candidate: str) -> str:
        """Return the candidate's name, without a backbone that says nothing because all share it."""
        ending = f":{self.only_backbone}"
        return candidate.removesuffix(ending) if self.only_backbone and candidate != ending else candidate

    def plainly(self, words: str) -> str:
        """Return a sentence with the candidates' names made short."""
        return words.replace(f":{self.only_backbone}", "") if self.only_backbone else words

    @cached_property
    def numbers_of_labels(self) -> tuple[int, ...]:
        """Return every number of labels that was measured."""
        return tuple(sorted({n for curve in self.curves for n, _, _ in curve.measured}))


def read(record: Mapping[str, Any]) -> Record:
    """Return `record` with every missing part filled in and every text fit to be shown."""
    return Record.model_validate(dict(record))
