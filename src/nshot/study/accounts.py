"""The costs of a study's candidates, as the verdict records them: time, memory, size and money."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from nshot import metrics
from nshot.core import Cost
from nshot.study.evidence import Evidence
from nshot.study.money import Bill, BreakEven, Prices, bill, break_even

_ACCURACY = "accuracy"
"""A wrong answer is a mistake, whatever the primary metric makes of it."""
_DIGITS = {
    "fit_seconds": 4,
    "milliseconds_per_example": 4,
    "milliseconds_alone": 3,
    "milliseconds_alone_p95": 3,
    "examples_per_second": 1,
    "best_batch": 0,
    "peak_memory_bytes": 0,
    "artefact_bytes": 0,
    "shipped_bytes": 0,
    "tokens_per_example": 1,
    "money_per_example": 8,
}
"""What is recorded of a `Cost`, and with how many digits."""


def bills_of(evidence: Evidence, prices: Prices | None) -> dict[str, Bill]:
    """Return what each candidate costs at its largest measured n; nothing without prices."""
    if prices is None:
        return {}
    accuracy = metrics.get(_ACCURACY)
    found = {}
    for name, sizes in evidence.sizes.items():
        if sizes:
            n = sizes[-1]
            right = evidence.estimate(name, n, accuracy) if evidence.has(name, n, accuracy) else None
            found[name] = bill(evidence.cost(name, n), n, right, prices)
    return found


def break_evens(evidence: Evidence, bills: Mapping[str, Bill], pick: str, others: Sequence[str]) -> list[BreakEven]:
    """Return where the dearer set-up pays, for the pick against each of the others; nothing without prices.

    Answers that were given have no part in it: what the system behind them costs is not known.
    """
    accuracy = metrics.get(_ACCURACY)
    known = [name for name in others if name in bills and bills[name].is_known]
    if pick not in bills or not bills[pick].is_known:
        return []
    are_judged = all(evidence.has(name, evidence.sizes[name][-1], accuracy) for name in (pick, *known))
    return [
        break_even(bills, pick, name, evidence.difference(pick, name, accuracy) if are_judged else None)
        for name in known
    ]


def cost_record(cost: Cost | None, own: Bill | None) -> dict[str, Any]:
    """Return what a row of the leaderboard says of a candidate's costs; None for what is not known.

    Args:
        cost: Measured, or None for answers that were given.
        own: What it costs in money, or None without prices.
    """
    values = asdict(cost) if cost else {}
    known = own if own is not None and own.is_known else None
    has_set_up = known is not None and (known.prices.per_hour, known.prices.per_label) != (None, None)
    return {
        **{name: _rounded(values.get(name), digits) for name, digits in _DIGITS.items()},
        "money": round(known.set_up, 4) if known and has_set_up else None,
        "money_per_month": _month_record(known) if known else None,
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return value if value is None or isinstance(value, int) else round(value, digits)


def _month_record(own: Bill) -> dict[str, Any]:
    reach = own.month_interval
    return {
        "money": round(own.month, 4),
        "interval": None if reach is None else [round(reach.low, 4), round(reach.high, 4)],
    }
