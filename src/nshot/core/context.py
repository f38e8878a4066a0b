"""What the protocol hands to a fit; there is nothing global."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from nshot.core.backbone import Backbone, BackboneRef
from nshot.core.prediction import Prediction


class Progress(Protocol):
    """Told how far a long piece of work is."""

    def __call__(self, done: int, total: int, doing: str = "") -> None:
        """Report that `done` of `total` steps are finished."""


def silent(done: int, total: int, doing: str = "") -> None:
    """Report nothing."""


class Track(Protocol):
    """Told the figures of a training as it goes, for whoever keeps or draws them."""

    def __call__(self, step: int, figures: Mapping[str, float]) -> None:
        """Take the figures of one optimiser step, such as ``loss`` and ``learning_rate``."""


def untracked(step: int, figures: Mapping[str, float]) -> None:
    """Keep nothing."""


def _no_further_backbone(ref: BackboneRef) -> Backbone:
    raise ValueError(f"this context cannot open {ref.id}")


@dataclass(frozen=True)
class FitContext:
    """Everything a fit may use besides its data.

    Attributes:
        objective: ``objective(targets, prediction)``, higher is better: the study's primary metric. A
            method that selects anything selects by this, on its own labels only.
        seed: The only source of chance.
        device: A torch device name.
        precision: ``fp32`` or ``bf16``: the measured choice for training on this device.
        threads: Processor threads this fit may use.
        memory_bytes: How much memory this fit may take, or None where nobody counted.
        progress: Where to report.
        track: Where the figures of training steps go.
        checkpoints: A folder in which a training keeps what it needs to go on after it was killed; None: nowhere.
        open: Opens a further backbone, for methods that need two.
    """

    objective: Callable[[Sequence[Any], Prediction], float]
    seed: int = 0
    device: str = "cpu"
    precision: str = "fp32"
    threads: int = 1
    memory_bytes: int | None = None
    progress: Progress = silent
    track: Track = untracked
    checkpoints: Path | None = None
    open: Callable[[BackboneRef], Backbone] = _no_further_backbone
