"""How long a training is going to take, from those that ran before it."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from nshot.core import Run
from nshot.study.plan import Contender

_ROUNDING_UP = 1.1
"""Estimates are raised by this much: a run that does not end in time is lost."""


@dataclass(frozen=True)
class Duration:
    """What one fit took, or will take.

    Attributes:
        around: Seconds before and after the training steps: reading, tokenising, first features, predicting.
        training: Seconds of the training steps.
    """

    around: float
    training: float

    @property
    def total(self) -> float:
        """Return all seconds."""
        return self.around + self.training


def duration_of(run: Run) -> Duration:
    """Return what a run took; where it recorded no training, all of it counts as training."""
    training = (run.settings.get("training") or {}).get("seconds", run.seconds)
    return Duration(max(0.0, run.seconds - training), min(training, run.seconds))


class Timing:
    """Remembers what fits took, and expects the same of fits like them."""

    def __init__(self) -> None:
        self._known: dict[str, dict[int, Duration]] = {}
        self._contenders: dict[str, Contender] = {}

    def remember(self, contender: Contender, n_labels: int, duration: Duration) -> None:
        """Take what a fit on `n_labels` took."""
        self._known.setdefault(contender.name, {})[n_labels] = duration
        self._contenders[contender.name] = contender

    def is_known(self, contender: Contender) -> bool:
        """Return whether a fit of this candidate tells how long another one takes."""
        return contender.name in self._known

    def expected(self, contender: Contender, n_labels: int) -> float | None:
        """Return the seconds that a fit on `n_labels` is expected to take, or None where nothing tells.

        The candidate's own fit of the nearest size tells most; without one, those of the other candidates do, in
        proportion to their work.
        """
        own = self._known.get(contender.name)
        work = work_of(contender, n_labels)
        if own:
            if n_labels in own:
                return _ROUNDING_UP * own[n_labels].total
            nearest = min(own, key=lambda n: abs(n - n_labels))
            grown = work / max(1.0, work_of(contender, nearest))
            return _ROUNDING_UP * (own[nearest].around + own[nearest].training * grown)
        others = [
            (duration.around, duration.training / done)
            for name, other in self._contenders.items()
            for n, duration in self._known[name].items()
            if (done := work_of(other, n)) > 0
        ]
        if not others:
            return None
        return _ROUNDING_UP * (median(around for around, _ in others) + median(rate for _, rate in others) * work)


def work_of(contender: Contender, n_labels: int) -> float:
    """Return how much work a fit is, in training examples of full fine-tuning."""
    return contender.method.relative_cost * contender.method.planned_examples(n_labels)
