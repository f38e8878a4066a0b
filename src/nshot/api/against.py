"""Whether a model got worse: its scores on later labelled rows beside those on earlier ones.

The rows are different ones, so nothing is paired but the model itself: differences are those of two independent scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nshot import metrics
from nshot.core import Interval
from nshot.evaluation.comparison import Difference, independent_difference
from nshot.evaluation.intervals import Estimate

_LEVEL = 0.95


def differences(scores: Mapping[str, Estimate], earlier: Mapping[str, Any]) -> dict[str, Difference]:
    """Return the later scores minus the earlier ones, by metric, where both have one.

    Args:
        scores: On the later rows.
        earlier: What `evaluate` recorded of the same model on the earlier rows.
    """
    found = {}
    for name, later in scores.items():
        before = earlier["metrics"].get(name)
        if before is None:
            continue
        interval = None
        if later.interval is not None and before["interval"] is not None:
            low, high = before["interval"]
            known = Interval(low, high, _LEVEL)
            interval = independent_difference(later.score, later.interval, before["score"], known)
        mean = later.score - before["score"]
        found[name] = Difference(mean, interval, None, None, None, None, None, repeats=1)
    return found


def record(
    deciding: str, by_metric: Mapping[str, Difference], later: Mapping[str, Any], earlier: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what `evaluate` says about the change.

    Args:
        deciding: The metric that says whether it got worse.
        by_metric: From `differences`.
        later: The model's record on the later rows.
        earlier: What `evaluate` recorded on the earlier rows.
    """
    before = earlier["models"][0]
    return {
        "data": earlier["data"],
        "n": earlier["n"],
        "trained_on": before["trained_on"],
        "metrics": earlier["metrics"],
        "difference": {name: _difference(found.mean, found.interval) for name, found in by_metric.items()},
        "changed": _changed(deciding, by_metric.get(deciding)),
        "labels": _labels(later["labels"], before["labels"]),
    }


def _changed(deciding: str, found: Difference | None) -> str | None:
    """Return which way the model changed; None where the rows cannot tell."""
    metric = metrics.get(deciding)
    if found is None or found.interval is None or 0.0 in found.interval or not metric.is_quality:
        return None
    return "better" if (found.mean > 0) == metric.higher_is_better else "worse"


def _labels(later: list[dict[str, Any]], earlier: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the labels whose recall changed, the largest fall first.

    With many labels some would seem to have changed by chance: the intervals are widened so that all of them hold
    together (Bonferroni, by the quantiles of the normal distribution).
    """
    before = {entry["label"]: entry for entry in earlier if entry["recall"] and entry["recall"]["interval"]}
    both = [entry for entry in later if entry["label"] in before and entry["recall"] and entry["recall"]["interval"]]
    found = []
    for entry in both:
        now, then = entry["recall"], before[entry["label"]]["recall"]
        widened = [_widened(recall["score"], recall["interval"], len(both)) for recall in (now, then)]
        interval = independent_difference(now["score"], widened[0], then["score"], widened[1])
        if 0.0 not in interval:
            change = _difference(now["score"] - then["score"], interval)
            found.append({"label": entry["label"], "earlier": then, "later": now, "difference": change})
    return sorted(found, key=lambda one: one["difference"]["mean"])


def _widened(score: float, ends: tuple[float, float], labels: int) -> Interval:
    from scipy.special import ndtri

    factor = float(ndtri((1 - _LEVEL) / 2 / labels) / ndtri((1 - _LEVEL) / 2))
    low, high = (score + factor * (end - score) for end in ends)
    return Interval(max(0.0, low), min(1.0, high), level=1 - (1 - _LEVEL) / labels)


def _difference(mean: float, interval: Interval | None) -> dict[str, Any]:
    ends = None if interval is None else [round(interval.low, 6), round(interval.high, 6)]
    return {"mean": round(mean, 6), "interval": ends}
