"""What is asked of a model."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum


class TaskKind(StrEnum):
    """The kinds of question nshot knows."""

    CLASSIFY = "classify"
    TAG = "tag"
    EXTRACT = "extract"
    GENERATE = "generate"
    REGRESS = "regress"
    CLUSTER = "cluster"
    DETECT = "detect"
    COMPRESS = "compress"
    RECOMMEND = "recommend"


@dataclass(frozen=True)
class Task:
    """What is asked: the kind, every label that may be answered, the primary metric, the unit of n.

    Attributes:
        kind: The kind of question.
        labels: All labels, sorted; the columns of every probability matrix follow this order.
            Empty for kinds without labels.
        descriptions: A sentence per label for the labels that have one; keys are a subset of `labels`.
        metric: Name of the primary metric (see `nshot.metrics`).
        unit: What n counts: rows, sentences, labelled anomalies, interactions per item.
        names_say_something: Whether the label names carry meaning (``0``/``1`` do not), so that a
            method may read them.
        instruction: What is asked of a language model, in words; empty where nobody said.
    """

    kind: TaskKind
    labels: tuple[str, ...] = ()
    descriptions: Mapping[str, str] = field(default_factory=dict)
    metric: str = "macro_f1"
    unit: str = "rows"
    names_say_something: bool = True
    instruction: str = ""

    def index(self) -> dict[str, int]:
        """Return the column of each label."""
        return {label: i for i, label in enumerate(self.labels)}

    def with_label(self, label: str, description: str | None = None) -> Task:
        """Return the same task with one more label, or with a new description of a label it has."""
        descriptions = dict(self.descriptions) if description is None else {**self.descriptions, label: description}
        return replace(self, labels=tuple(sorted({*self.labels, label})), descriptions=descriptions)

    def without(self, labels: Collection[str]) -> Task:
        """Return the same task before these labels were there."""
        kept = tuple(label for label in self.labels if label not in labels)
        described = {label: words for label, words in self.descriptions.items() if label in kept}
        return replace(self, labels=kept, descriptions=described)

    def readable(self, label: str) -> str:
        """Return the words a model is shown for `label`: its description, or its name in plain words."""
        described = self.descriptions.get(label)
        return described if described else " ".join(label.replace("_", " ").replace("-", " ").split())
