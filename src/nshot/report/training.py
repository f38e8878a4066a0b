"""How the training of one fit went: a self-contained HTML page, and the same in a few sentences."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nshot.report import wording
from nshot.report.pages import content_policy, own_file, template
from nshot.report.record import FitRecord, Training, printable

if TYPE_CHECKING:
    from markupsafe import Markup

_LONGEST_VALUE = 300
_MOST_ROWS = 25


@dataclass(frozen=True)
class _Section:
    name: str
    training: Training
    said: list[str]
    charts: list[Markup]
    facts: list[tuple[str, str]]
    rows: list[tuple[int, float]]


def render(record: Mapping[str, Any]) -> str:
    """Return the page.

    Args:
        record: The fields of `FitRecord`; every one may be missing.
    """
    page = FitRecord.model_validate(dict(record))
    several = len(page.trainings) > 1
    sections = [_section(name if several else "", training) for name, training in page.trainings.items()]
    return template("training.html.j2").render(
        record=page,
        w=wording,
        style=own_file("report.css"),
        policy=content_policy(),
        drawn=sections,
        steps=_sum([training.steps for training in page.trainings.values()]),
        examples_seen=_sum([training.examples_seen for training in page.trainings.values()]),
        options=_readable(page.options),
        facts=_readable(page.facts),
    )


def sentences(record: Mapping[str, Any]) -> list[str]:
    """Return what the training did, for a terminal.

    Args:
        record: As in `render`.
    """
    page = FitRecord.model_validate(dict(record))
    said = []
    for name, training in page.trainings.items():
        whose = f"{name}: " if len(page.trainings) > 1 else ""
        parts = [wording.plural(training.steps or 0, "step"), wording.plural(training.examples_seen or 0, "example")]
        if page.examples_per_second is not None and len(page.trainings) == 1:
            parts.append(f"{wording.count(page.examples_per_second)} examples/s")
        if training.losses:
            parts.append(f"loss {wording.score(training.losses[0], 3)} to {wording.score(training.losses[-1], 3)}")
        said.append(f"{whose}{', '.join(parts)}.")
        said += [words for words in (wording.restarted(training), wording.halved(training)) if words]
    return said


def _section(name: str, training: Training) -> _Section:
    from nshot.report.losses import Line, loss_chart

    lines = [Line(training, "", "", "f-fine-tuning r-pick dash0")] if training.losses else []
    return _Section(
        name=name,
        training=training,
        said=[words for words in (wording.restarted(training), wording.halved(training)) if words],
        charts=[drawn for wide in (True, False) if (drawn := loss_chart(lines, "steps", wide))],
        facts=_facts(training, with_sums=bool(name)),
        rows=_rows(training),
    )


def _facts(training: Training, *, with_sums: bool) -> list[tuple[str, str]]:
    """Return figures of one training; the head of the page has its steps and examples where it is the only one."""
    found = []
    if training.losses:
        found.append(("loss", f"{wording.score(training.losses[0], 3)} to {wording.score(training.losses[-1], 3)}"))
    if with_sums:
        found += [
            ("steps", wording.count(training.steps)),
            ("examples seen", wording.count(training.examples_seen)),
        ]
    found += [
        ("highest learning rate", wording.rate(training.learning_rate)),
        ("begun again", wording.plural(training.restarts, "time")),
        ("micro-batches halved", wording.plural(training.micro_batch_halvings, "time")),
    ]
    if training.precision:
        found.append(("number format", training.precision))
    return found


def _rows(training: Training) -> list[tuple[int, float]]:
    """Return the last step of some equal stretches, with the mean loss of each."""
    losses = training.losses
    steps = training.steps or len(losses)
    count = min(_MOST_ROWS, len(losses))
    edges = [round(i * len(losses) / count) for i in range(count + 1)] if count else []
    return [
        (round(steps * after / len(losses)), sum(losses[before:after]) / (after - before))
        for before, after in itertools.pairwise(edges)
    ]


def _sum(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _readable(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    shown = {name: value for name, value in values.items() if value not in (None, "", [], {}, ())}
    return [
        (name.removesuffix("_bytes"), printable(wording.readable_fact(name, value), _LONGEST_VALUE))
        for name, value in shown.items()
    ]
