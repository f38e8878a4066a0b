"""When to stop running a candidate: the time goes where the verdict is open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nshot.evaluation.comparison import paired_difference
from nshot.evaluation.intervals import Block, components, t_quantile
from nshot.metrics import Metric
from nshot.study.options import StudyOptions

_CLEARLY = 0.99
"""Confidence at which a candidate that is behind is not run again."""
_WORTH_TRYING = 0.5
"""Go on while the distance to the decision is more than this share of the interval's expected half-width."""


def reason_to_stop(
    name: str,
    blocks: Mapping[str, Sequence[Block]],
    metric: Metric,
    *,
    fold_sizes: tuple[int | None, int | None],
    options: StudyOptions,
    done: int,
    more: float,
) -> str | None:
    """Return why further draws of `name` would not change today's answer, or None.

    The answer turns on whether its lead over the best other candidate is above or below `worth`. Further draws are
    pointless when the interval of that lead excludes `worth` already, when it is clearly behind, or when the interval
    expected after all further draws that the budget holds would still be wide around it.

    Args:
        name: A candidate that trains a network.
        blocks: The blocks of all candidates in today's comparison.
        metric: The primary metric.
        fold_sizes: See `standings`.
        options: For `worth`.
        done: How many draws of it there are.
        more: How many further draws the budget holds.
    """
    n_train, n_test = fold_sizes
    sign = 1.0 if metric.higher_is_better else -1.0
    common: dict[str, float] = {}
    for other, own in blocks.items():
        if other != name:
            parts = components(
                [blocks[name], own], metric, rho=1.0, target="this model", n_train=n_train, n_test=n_test
            )
            common[other] = sign * float(parts.scores[0] - parts.scores[1])
    rival = min(common, key=lambda other: (common[other], other))
    difference = paired_difference(
        blocks[name],
        blocks[rival],
        metric,
        rho=1.0,
        target="this model",
        n_train=n_train,
        n_test=n_test,
        level=_CLEARLY,
    )
    if difference.interval is None or difference.standard_error is None:
        return None
    lead = sign * difference.mean
    half = (difference.interval.high - difference.interval.low) / 2
    draws = f"{done} draw" + ("s" if done > 1 else "")
    if lead + half < 0:
        return f"clearly behind {rival} after {draws} ({difference.mean:+.2f}); not run again."
    distance = abs(lead - options.worth / 100 * (metric.highest - metric.lowest if metric.bounded else 1.0))
    if distance > half:
        return f"settled against {rival} after {draws} ({difference.mean:+.2f}); not run again."
    in_the_end = done + max(0.0, more)
    freedom = max(difference.degrees_of_freedom or 1.0, in_the_end - 1.0)
    expected = t_quantile((1.0 + _CLEARLY) / 2.0, freedom) * difference.standard_error * (done / in_the_end) ** 0.5
    if distance < _WORTH_TRYING * expected:
        return f"too close to {rival} to be settled within the budget ({difference.mean:+.2f} after {draws})."
    return None
