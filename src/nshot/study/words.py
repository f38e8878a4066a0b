"""The verdict in words: what to pick, how sure, what it costs, what would change it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nshot.core import Cost, Family

_METRICS = {
    "macro_f1": "macro F1",
    "weighted_f1": "weighted F1",
    "mcc": "Matthews correlation",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "log_loss": "log loss",
    "brier": "Brier score",
    "expected_calibration_error": "calibration error",
}


def metric_name(name: str) -> str:
    """Return how people call a metric."""
    return _METRICS.get(name, name.replace("_", " "))


def number(value: float) -> str:
    """Return a score with two digits."""
    return f"{value:.2f}"


def ends(interval: Sequence[float] | None, *, signed: bool = False) -> str:
    """Return ``[low, high]``, or that there is none."""
    if interval is None:
        return "(no interval)"
    low, high = (f"{end:+.2f}" if signed else f"{end:.2f}" for end in interval)
    return f"[{low}, {high}]"


def times_as_long(cost: Cost | None, reference: Cost | None) -> str | None:
    """Return how many times as long a fit takes, or None where that says nothing."""
    if cost is None or reference is None or reference.fit_seconds <= 0 or cost.fit_seconds <= 0:
        return None
    ratio = cost.fit_seconds / reference.fit_seconds
    if ratio < 1.5:
        return None
    return f"{ratio:,.0f}" if ratio >= 3 else f"{ratio:.1f}"


def because(
    pick: dict[str, Any],
    rows: Sequence[dict[str, Any]],
    costs: dict[str, Cost | None],
    *,
    limits: dict[str, str],
) -> list[str]:
    """Return the reasons for the pick, the most telling first.

    Args:
        pick: The verdict's ``pick``.
        rows: The leaderboard.
        costs: Cost of each candidate at its largest n.
        limits: Candidates that a hard limit forbids, with the reason.
    """
    name = pick["candidate"]
    others = [row for row in rows if row["candidate"] != name and row["versus_best"] is not None]
    sentences = []
    dearer = [row for row in others if row["family"] == Family.FINE_TUNING and not row["distinguishable"]]
    for row in dearer[:2]:
        difference = row["versus_pick"]
        ratio = times_as_long(costs[row["candidate"]], costs[name])
        if difference is None:
            continue
        longer = f", and takes {ratio} times as long to fit" if ratio else ""
        sentences.append(
            f"{row['candidate']} scores the same, as far as {row['n_compared']:,} test rows can tell "
            f"({difference['mean']:+.2f} {ends(difference['interval'], signed=True)}){longer}."
        )
    for row in others:
        if row["family"] == Family.FINE_TUNING and row["distinguishable"]:
            gap = row["versus_pick"] or row["versus_best"]
            sentences.append(
                f"{row['candidate']} is behind by {abs(gap['mean']):.2f} "
                f"{ends(gap['interval'], signed=True)} at {row['n_labels']:,} labels."
            )
    second = next((row for row in others if row["family"] != Family.FINE_TUNING), None)
    if second is not None and pick["family"] == Family.FINE_TUNING:
        gap = second["versus_pick"]
        if gap is not None:
            sentences.insert(
                0,
                f"The best way without training the network, {second['candidate']}, is {abs(gap['mean']):.2f} "
                f"{'behind' if gap['mean'] < 0 else 'ahead'} {ends(gap['interval'], signed=True)}.",
            )
    zero = next((row for row in rows if row["family"] == Family.ZERO_SHOT), None)
    if zero is not None and zero["candidate"] != name:
        sentences.append(
            f"Without any label, {zero['candidate']} reaches {number(zero['score'])} {ends(zero['interval'])}."
        )
    baseline = next((row for row in others if row["method"] == "tfidf_linear"), None)
    if baseline is not None and not baseline["distinguishable"] and pick["backbone"]:
        sentences.append(
            f"Word counts alone ({baseline['candidate']}) reach {number(baseline['score'])} "
            f"{ends(baseline['interval'])}: that the pre-trained model adds anything is not shown."
        )
    if pick["family"] == Family.BASELINE:
        used = sorted({row["backbone"] for row in others if row["backbone"]})
        if used:
            sentences.insert(0, f"The pre-trained model ({', '.join(used)}) adds nothing to it on these texts.")
    sentences += [f"{candidate} was not considered: it {reason}." for candidate, reason in limits.items()]
    return sentences
