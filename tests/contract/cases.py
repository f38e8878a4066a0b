"""Every method on every fake backbone that it supports, and on the table: the registry finds a new method file."""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nshot import backbones, methods
from nshot.backbones import fake
from nshot.core import (
    ASSISTANT,
    TABLE,
    TOOL,
    USER,
    Backbone,
    BackboneRef,
    Conversation,
    Dataset,
    Decoding,
    Embeds,
    FitContext,
    Generates,
    Learns,
    Message,
    Prediction,
    Predictor,
    Scores,
    Span,
    State,
    Task,
    TaskKind,
    Trains,
)
from nshot.spec import Method

PLUGIN = Path(__file__).parent / "plugin"
BACKBONES = ("fake/text-encoder", "fake/rows", "fake/generator", "fake/remote", "fake/decoder")
EVERY_BACKBONE = (*BACKBONES, TABLE)
"""The fakes, and the one real backbone that needs no weights."""
UNTAUGHT = "fake/decoder"
"""Knows no word before it is trained: it cannot tell labels by their names."""

# Options under these names make a fit long, or want a larger network than the fakes are; a method that has them is run
# with these values.
SMALL: dict[str, Any] = {
    "epochs": 2,
    "max_epochs": 2,
    "steps": 6,
    "max_steps": 6,
    "layers": 1,
    "trials": 2,
    "encoder": "fake/text-encoder",
}


ESTIMATORS = {
    TaskKind.CLASSIFY: "sklearn.tree:DecisionTreeClassifier",
    TaskKind.REGRESS: "sklearn.tree:DecisionTreeRegressor",
}
"""What a method is given that fits an estimator of the user's."""


@contextmanager
def with_example_methods() -> Iterator[None]:
    """Install the example methods for a while, the way a third party's package would be."""
    sys.path.insert(0, str(PLUGIN))
    _forget()
    try:
        yield
    finally:
        sys.path.remove(str(PLUGIN))
        _forget()


def _forget() -> None:
    importlib.invalidate_caches()
    for cached in (methods._plugins, methods.names, methods.get):
        cached.cache_clear()


# ------------------------------------------------------------------------------------------------------------- data

_CARD = [
    "my card was stolen yesterday",
    "I lost my card on the train",
    "the card is gone, please block it",
    "someone took my bank card",
    "lost card, block it now",
    "my card is missing since Monday",
    "please block my stolen card",
    "where can I report a lost card",
]
_RATE = [
    "what is your exchange rate for dollars",
    "the exchange rate looks wrong",
    "which rate do you use abroad",
    "how is the exchange rate decided",
    "the rate for euros was bad",
    "do exchange rates change at weekends",
]
_TOP_UP = [
    "top up my account with cash",
    "my top up has not arrived",
    "can I top up by transfer",
    "the top up failed twice",
    "is there a limit for a top up",
]
_SOLD = ["chair", "lamp", "table", "carpet", "mirror", "shelf"]
_BOUGHT_BY = ["Anna", "Bilal", "Chen", "Dora", "Anna", "Chen"]


def _labelled(groups: dict[str, list[Any]], modality: str, name: str) -> Dataset:
    rows = [(example, label) for label, examples in groups.items() for example in examples]
    # Not sorted by label, and the same on every machine.
    rows.sort(key=lambda row: hashlib.md5(repr(row).encode()).hexdigest())
    return Dataset([row[0] for row in rows], modality, targets=[row[1] for row in rows], name=name)


def _spans(name: str, thing: str) -> tuple[str, tuple[Span, ...]]:
    text = f"{name} bought a {thing} here"
    start = text.index(thing)
    return text, (Span(0, len(name), "person"), Span(start, start + len(thing), "thing"))


def _rows(centre: float, n: int) -> list[tuple[float, ...]]:
    return [(centre + i % 3 * 0.1, 2 * centre - i * 0.05, 1.0 + i % 2, 5.0) for i in range(n)]


def _pictures(n: int, start: int = 0) -> list[np.ndarray]:
    """Return grey pictures of 9 x 12 pixels: a bright spot that wanders over a slope."""
    down, across = np.mgrid[0:9, 0:12]
    spots = (np.exp(-((down - i % 9) ** 2 + (across - i * 5 % 12) ** 2) / 6) for i in range(start, start + n))
    return [np.rint(90 + 5 * across + 90 * spot).astype(np.uint8) for spot in spots]


@dataclass(frozen=True)
class Sample:
    """A task with its data: what a method is fitted on, and examples it never saw."""

    task: Task
    train: Dataset
    new: tuple[Any, ...]
    odd: tuple[Any, ...]
    normal: Dataset | None = None

    @property
    def pool(self) -> Dataset:
        """Return the unlabelled examples: those of the training rows, or what is taken for normal."""
        return self.train.without_targets() if self.normal is None else self.normal

    @property
    def of_a_new_label(self) -> list[Any]:
        """Return examples of a class that the task does not have."""
        if self.train.modality == "row":
            return [(-40.0 + i, 30.0, -9.0, 2.0) for i in range(3)]
        return ["opening hours of your branch", "when does the branch open", "branch opening hours on Sunday"]


_ODD_TEXTS = (
    "",
    " \t\n",
    "\x00",
    "card\x00lost",
    "\ud800",
    "a lone \udfff surrogate",
    "🏳️‍🌈👩‍👩‍👧‍👦" * 40,
    "بطاقتي مفقودة",
    "הכרטיס שלי אבד\u202e card",
    "e\u0301" * 50,
    "\ufeff\u200b\u200d",
    "\U0010ffff",
    "card " * 20_000,
    "c" * 100_000,
    "<b>&amp;</b> {{7*7}} {0} %s",
)
_ODD_ROWS = (
    (),
    (1.0,),
    (1.0, 2.0, 3.0, 4.0, 5.0),
    (float("nan"), 0.0, 0.0, 0.0),
    (float("inf"), 0.0, float("-inf"), 0.0),
    (1e308, -1e308, 0.0, 0.0),
    (10**400, 0, 0, 0),
    ("x", "", "\ud800", None),
    {},
    {"": None, "a": "b"},
)
_TEXTS = {"card_lost": _CARD, "exchange_rate": _RATE, "top_up": _TOP_UP}
_NEW_TEXTS = (
    "block my card please, it was stolen",
    "exchange rate of the dollar",
    "my cash top up is missing",
    "good morning",
    "card rate top up",
    "I was on the train abroad at the weekend and somebody took it",
    "lost",
)
_NEW_ROWS = (*_rows(0.2, 2), *_rows(2.9, 2), *_rows(6.2, 1), (0.0, 0.0, 0.0, 0.0), (100.0, -5.0, 1.0, 5.0))
_CLASSES = ("card_lost", "exchange_rate", "top_up")
_LOOK_UP = {"type": "function", "function": {"name": "find_card", "arguments": '{"owner": "Anna"}'}}
_LONGER = (
    Conversation.asking("Hello", "You work for a bank.").answered("What can I do for you?").then("block a card"),
    Conversation(
        (
            Message(USER, "which card does Anna have"),
            Message(ASSISTANT, "", (_LOOK_UP,)),
            Message(TOOL, '{"card": "blue"}', name="find_card"),
        ),
        ({"type": "function", "function": {"name": "find_card", "parameters": {"type": "object"}}},),
    ),
)

SAMPLES: dict[tuple[TaskKind, str], Sample] = {
    (TaskKind.CLASSIFY, "text"): Sample(
        Task(TaskKind.CLASSIFY, _CLASSES), _labelled(_TEXTS, "text", "tickets"), _NEW_TEXTS, _ODD_TEXTS
    ),
    (TaskKind.CLASSIFY, "row"): Sample(
        Task(TaskKind.CLASSIFY, _CLASSES),
        _labelled(
            {"card_lost": _rows(0.0, 8), "exchange_rate": _rows(3.0, 6), "top_up": _rows(6.0, 5)}, "row", "measurements"
        ),
        _NEW_ROWS,
        _ODD_ROWS,
    ),
    (TaskKind.TAG, "text"): Sample(
        Task(TaskKind.TAG, _CLASSES),
        Dataset(
            [*_CARD[:4], *_RATE[:4], *_TOP_UP[:4], f"{_CARD[0]} and {_TOP_UP[0]}", "good morning"],
            targets=[
                *[("card_lost",)] * 4,
                *[("exchange_rate",)] * 4,
                *[("top_up",)] * 4,
                ("card_lost", "top_up"),
                (),
            ],
        ),
        _NEW_TEXTS,
        _ODD_TEXTS,
    ),
    (TaskKind.EXTRACT, "text"): Sample(
        Task(TaskKind.EXTRACT, ("person", "thing"), metric="entity_f1", unit="sentences"),
        Dataset(
            [_spans(*pair)[0] for pair in zip(_BOUGHT_BY, _SOLD, strict=True)],
            targets=[_spans(*pair)[1] for pair in zip(_BOUGHT_BY, _SOLD, strict=True)],
        ),
        ("Chen bought a lamp", "nobody was here", "the mirror of Dora", "x"),
        _ODD_TEXTS,
    ),
    (TaskKind.GENERATE, "text"): Sample(
        Task(TaskKind.GENERATE, metric="token_f1"),
        Dataset(list(_CARD), targets=[(f"We have blocked card {i}.",) for i in range(len(_CARD))]),
        _NEW_TEXTS,
        _ODD_TEXTS,
    ),
    (TaskKind.GENERATE, "conversation"): Sample(
        Task(TaskKind.GENERATE, metric="token_f1", instruction="Answer the customer in one sentence."),
        Dataset(
            [*(Conversation.asking(text) for text in _CARD), *_LONGER],
            "conversation",
            targets=[(f"We have blocked card {i}.", f"Card {i} is blocked.") for i in range(len(_CARD) + len(_LONGER))],
        ),
        (
            *(Conversation.asking(text) for text in _NEW_TEXTS[:4]),
            Conversation.asking(_NEW_TEXTS[5], "You work for a bank."),
            Conversation.asking("my card is lost").answered("Which one?").then("the blue one"),
            _LONGER[1],
        ),
        tuple(Conversation.asking(text) for text in _ODD_TEXTS),
    ),
    (TaskKind.REGRESS, "text"): Sample(
        Task(TaskKind.REGRESS, metric="mae"),
        Dataset([*_CARD, *_RATE], targets=[float(len(text)) for text in (*_CARD, *_RATE)]),
        _NEW_TEXTS,
        _ODD_TEXTS,
    ),
    (TaskKind.REGRESS, "row"): Sample(
        Task(TaskKind.REGRESS, metric="mae"),
        Dataset(
            [*_rows(0.0, 8), *_rows(3.0, 6), *_rows(6.0, 5)],
            "row",
            targets=[1000.0 + 0.5 * i for i in range(19)],
        ),
        _NEW_ROWS,
        _ODD_ROWS,
    ),
    (TaskKind.COMPRESS, "row"): Sample(
        Task(TaskKind.COMPRESS, metric="lost_variance"),
        Dataset(
            [*_rows(0.0, 20), *_rows(9.0, 20)],
            "row",
            targets=[np.array(row) for row in (*_rows(0.0, 20), *_rows(9.0, 20))],
        ),
        _NEW_ROWS,
        _ODD_ROWS,
    ),
    (TaskKind.COMPRESS, "image"): Sample(
        Task(TaskKind.COMPRESS, metric="psnr"),
        Dataset(_pictures(24), "image", targets=_pictures(24)),
        (*_pictures(4, start=24), np.zeros((9, 12), dtype=np.uint8), np.full((20, 3), 200, dtype=np.uint8)),
        (b"", b"no image", "text", None, np.zeros((0, 3), np.uint8), np.zeros((4, 4)), np.full((5, 5, 3), 9, np.uint8)),
    ),
    (TaskKind.CLUSTER, "text"): Sample(
        Task(TaskKind.CLUSTER, metric="nmi"),
        Dataset(
            [*_CARD, *_RATE, *(f"please: {text}" for text in (*_CARD, *_RATE))],
            targets=[*["card"] * len(_CARD), *["rate"] * len(_RATE)] * 2,
        ),
        _NEW_TEXTS,
        _ODD_TEXTS,
    ),
    (TaskKind.CLUSTER, "row"): Sample(
        Task(TaskKind.CLUSTER, metric="nmi"),
        Dataset([*_rows(0.0, 20), *_rows(9.0, 20)], "row", targets=[*["low"] * 20, *["high"] * 20]),
        _NEW_ROWS,
        _ODD_ROWS,
    ),
    (TaskKind.DETECT, "text"): Sample(
        Task(TaskKind.DETECT, metric="auroc", unit="labelled anomalies"),
        Dataset(_RATE[:3], targets=[True] * 3),
        _NEW_TEXTS,
        _ODD_TEXTS,
        Dataset([*_CARD, *_TOP_UP, _RATE[3]]),
    ),
    (TaskKind.DETECT, "row"): Sample(
        Task(TaskKind.DETECT, metric="auroc", unit="labelled anomalies"),
        Dataset(_rows(9.0, 3), "row", targets=[True] * 3),
        _NEW_ROWS,
        _ODD_ROWS,
        Dataset([*_rows(0.0, 12), *_rows(8.5, 1)], "row"),
    ),
}


# ------------------------------------------------------------------------------------------------------------ cases


@dataclass(frozen=True)
class Case:
    """One method on one kind of task with one fake backbone, or none."""

    method: str
    kind: TaskKind
    modality: str
    backbone: str | None

    def __str__(self) -> str:
        return "-".join((self.method, self.kind, self.modality, self.backbone or "no-backbone"))

    @property
    def type(self) -> type[Method]:
        return methods.get(self.method)

    @property
    def sample(self) -> Sample:
        return SAMPLES[self.kind, self.modality]

    def build(self) -> Method:
        return methods.build(self.method, small_options(self.type, self.kind))

    def open(self) -> Backbone | None:
        if self.backbone is None:
            return None
        opened = open_backbone(BackboneRef(self.backbone))
        return opened.learnt_from(self.sample.train.examples) if isinstance(opened, Learns) else opened

    def fit(
        self,
        *,
        task: Task | None = None,
        train: Dataset | None = None,
        backbone: Backbone | None = None,
        seed: int = 0,
    ) -> Predictor:
        """Fit on the sample, changed where told."""
        train = self.sample.train if train is None else train
        return self.build().fit(
            self.sample.task if task is None else task,
            train,
            self.sample.pool,
            self.open() if backbone is None else backbone,
            context(seed),
        )


def open_backbone(ref: BackboneRef) -> Backbone:
    """Return the fake that `ref` names, or the table, with what it learnt."""
    return backbones.open_backbone(ref) if ref.is_table else fake.open(ref)


def small_options(kind: type[Method], task: TaskKind = TaskKind.CLASSIFY) -> dict[str, Any]:
    """Return the options that keep a fit short, of those that the method has, and those that it cannot do without."""
    known = {**SMALL, "estimator": ESTIMATORS.get(task, "")}
    return {name: value for name, value in known.items() if name in kind.model_fields}


def context(seed: int = 0) -> FitContext:
    return FitContext(_goodness, seed=seed, open=open_backbone)


def _goodness(targets: Sequence[Any], prediction: Prediction) -> float:
    """Return the share of right answers, minus the mean error, or how much higher anomalies score than other rows."""
    if prediction.values is not None and len(targets):
        return -float(np.mean(np.abs(np.asarray(targets) - prediction.values)))
    if prediction.scores is not None and 0 < sum(targets) < len(targets):
        marks = np.asarray(targets, dtype=bool)
        return float(np.median(prediction.scores[marks]) - np.median(prediction.scores[~marks]))
    answers = prediction.labels if prediction.labels is not None else prediction.texts
    if answers is None or not len(targets):
        return 0.0
    return float(np.mean([target == answer for target, answer in zip(targets, answers, strict=True)]))


@cache
def fitted(case: Case) -> Predictor:
    """Return the predictor of `case`, fitted once per process; predictors are immutable, and a test watches that."""
    return case.fit()


def _cases() -> Iterator[Case]:
    for name in methods.names():
        try:
            kind = methods.get(name)
        except Exception:  # one unreadable file must not hide the other methods; test_registry shows why
            continue
        for (task_kind, modality), sample in SAMPLES.items():
            if kind.needs.abilities is None:
                if task_kind in kind.needs.tasks and modality in kind.needs.modalities:
                    yield Case(name, task_kind, modality, None)
                continue
            for backbone in EVERY_BACKBONE:
                opened = open_backbone(BackboneRef(backbone))
                if backbone == UNTAUGHT and task_kind is not TaskKind.GENERATE:
                    continue
                method = methods.build(name, small_options(kind, task_kind))
                if modality in opened.modalities and method.supports(sample.task, opened) is None:
                    yield Case(name, task_kind, modality, backbone)


with with_example_methods():
    NAMES = methods.names()
    CASES = tuple(_cases())


def cases_where(wanted: Callable[[Case], bool]) -> pytest.MarkDecorator:
    """Return the decorator that runs a test on every case that is `wanted`."""
    with with_example_methods():
        chosen = [case for case in CASES if wanted(case)]
    return pytest.mark.parametrize("case", chosen, ids=str)


# ------------------------------------------------------------------------------------------------ comparing by bytes


def answer_bytes(prediction: Prediction) -> tuple[bytes, ...]:
    """Return the answers of each example as bytes: equal if and only if the answers are the same to the last bit."""
    columns = (
        prediction.labels,
        prediction.probabilities,
        prediction.spans,
        prediction.texts,
        prediction.scores,
        prediction.values,
        prediction.stopped,
        prediction.decoded,
        prediction.bits,
    )
    return tuple(
        b"|".join(_cell(None if column is None else column[row]) for column in columns)
        for row in range(len(prediction))
    )


def state_bytes(state: State) -> tuple[str, tuple[Any, ...], tuple[Any, ...]]:
    """Return a state in a form that compares to the last bit."""
    tensors = tuple((name, array.dtype.str, array.shape, array.tobytes()) for name, array in state.tensors.items())
    return repr(dict(state.settings)), tensors, tuple(state.blobs.items())


def backbone_bytes(backbone: Backbone | None) -> bytes:
    """Return everything that can be observed of a backbone."""
    digest = hashlib.sha256(repr(backbone.ref if backbone else None).encode())
    probes = _NEW_ROWS if backbone is not None and "row" in backbone.modalities else _NEW_TEXTS
    if isinstance(backbone, Embeds):
        digest.update(backbone.embed(probes).tobytes())
    if isinstance(backbone, Trains):
        for name, value in backbone.module().state_dict().items():
            digest.update(name.encode() + value.numpy().tobytes())
    if isinstance(backbone, Scores):
        digest.update(backbone.score(probes, ["card", "rate"]).tobytes())
    if isinstance(backbone, Generates):
        digest.update(repr(backbone.generate(probes, Decoding(max_new_tokens=5))).encode())
    return digest.digest()


def renamed(sample: Sample) -> tuple[Sample, dict[str, str]]:
    """Return the sample with labels that say nothing and sort the other way round, and the new name of each label."""
    labels = sample.task.labels
    names = {label: f"c{len(labels) - i}" for i, label in enumerate(labels)}

    def rename(target: Any) -> Any:
        if isinstance(target, str):
            return names[target]
        return tuple(
            names[part] if isinstance(part, str) else part._replace(label=names[part.label]) for part in target
        )

    task = replace(sample.task, labels=tuple(sorted(names.values())), descriptions={}, names_say_something=False)
    targets = [rename(target) for target in sample.train.labelled_targets()]
    return replace(sample, task=task, train=replace(sample.train, targets=targets)), names


def _cell(value: Any) -> bytes:
    if isinstance(value, np.ndarray | np.generic):
        return f"{value.dtype.str}{value.shape}".encode() + value.tobytes()
    return repr(value).encode("utf-8", "surrogatepass")
