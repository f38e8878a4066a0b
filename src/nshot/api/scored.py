"""What the records of `score` and `evaluate` have in common: scores, intervals and differences of two."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nshot.evaluation.comparison import Difference
from nshot.evaluation.intervals import Estimate
from nshot.metrics import Metric

_PLACES = 6


@dataclass(frozen=True)
class Scored:
    """The scores of one system, or of two that answered the same.

    Attributes:
        record: What the command prints with ``--json``.
    """

    record: dict[str, Any]

    @property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """Return ``{"score": ..., "interval": [low, high]}`` by metric; of the second one where there are two."""
        found: dict[str, dict[str, Any]] = self.record["metrics"]
        return found

    @property
    def difference(self) -> dict[str, dict[str, Any]] | None:
        """Return ``{"mean", "interval", "p_value"}`` of the second minus the first, by metric; None for one."""
        found: dict[str, dict[str, Any]] | None = self.record.get("difference")
        return found

    @property
    def better(self) -> str | None:
        """Return the name of the one that is shown to be better; None for one alone, or if nothing is shown."""
        found: str | None = self.record.get("better")
        return found


def told_apart(names: Sequence[str]) -> list[str]:
    """Return the names of one or two, made different where they are not."""
    if len(set(names)) == len(names):
        return list(names)
    return [f"{name} ({place})" for name, place in zip(names, ("first", "second"), strict=True)]


def number(value: float) -> float | None:
    """Return a number for a record, or None where it is not defined."""
    return round(value, _PLACES) if math.isfinite(value) else None


def ends(found: Estimate | Difference) -> list[float] | None:
    """Return both ends of an interval for a record, or None where there is none."""
    return (
        None if found.interval is None else [round(end, _PLACES) for end in (found.interval.low, found.interval.high)]
    )


def difference_record(
    differences: Mapping[str, Difference], deciding: Metric, key: str, names: Sequence[str]
) -> dict[str, Any]:
    """Return the record of the second one's scores minus those of the first.

    Args:
        differences: By what the record calls each metric.
        deciding: The metric that says which is better; one that is no quality says nothing.
        key: What the record calls it.
        names: Of both.
    """
    decisive = differences[key]
    better = None
    if deciding.is_quality and decisive.interval is not None and 0.0 not in decisive.interval:
        better = names[1] if (decisive.mean > 0) == deciding.higher_is_better else names[0]
    smallest = decisive.smallest_detectable
    return {
        "difference": {
            name: {
                "mean": number(found.mean),
                "interval": ends(found),
                "p_value": None if found.p_value is None else round(found.p_value, _PLACES),
            }
            for name, found in differences.items()
        },
        "better": better,
        "smallest_detectable_difference": None if smallest is None else round(smallest, _PLACES),
    }
