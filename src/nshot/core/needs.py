"""What a method says about itself, so that it can be refused or left out before anything runs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from nshot.core.backbone import Ability
from nshot.core.task import TaskKind


class Family(StrEnum):
    """The kinds of answer to the user's question."""

    BASELINE = "baseline"
    ZERO_SHOT = "zero-shot"
    FEW_SHOT = "few-shot"
    FINE_TUNING = "fine-tuning"
    UNSUPERVISED = "unsupervised"
    FROM_SCRATCH = "from-scratch"


class TakesIn(StrEnum):
    """What a fitted method needs to answer a label that arrives later."""

    BY_NAME = "nothing"
    """Its name or description is enough."""
    BY_EXAMPLES = "examples"
    """Some examples of it, and no fit."""
    BY_TRAINING = "training again"
    """A new fit."""


@dataclass(frozen=True)
class Needs:
    """What must be there for a method to work.

    Attributes:
        tasks: The kinds of task it can do.
        abilities: What its backbone must be able to do; None: it works without a backbone.
        modalities: The modalities it reads itself; only asked where `abilities` is None.
        fewest_labels: The smallest n at which it can be fitted; 0 for zero-shot.
        label_names: It reads the label names, so they must say something.
        pool: It uses unlabelled examples.
    """

    tasks: frozenset[TaskKind]
    abilities: frozenset[Ability] | None = None
    modalities: frozenset[str] = frozenset({"text"})
    fewest_labels: int = 1
    label_names: bool = False
    pool: bool = False
