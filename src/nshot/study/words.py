"""The verdict in words: what to pick, how sure, what it costs, what would change it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nshot.core import Cost, Family


def number(value: float) -> str:
    """Return a score with two digits."""
    return f"{value:.2f}"


def ends(interval: Sequence[float] | None, *, signed: bool = False, digits: int = 2) -> str:
    """Return ``[low, high]``, or that there is none."""
    if interval is None:
        return "(no interval)"
    sign = "+" if signed else ""
    low, high = (f"{end:{sign}.{digits}f}" for end in interval)
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
    higher_is_better: bool = True,
) -> list[str]:
    """Return the reasons for the pick, the most telling first.

    Args:
        pick: The verdict's ``pick``.
        rows: The leaderboard.
        costs: Cost of each candidate at its largest n.
        limits: Candidates that a hard limit forbids, with the reason.
        higher_is_better: Which way the metric goes.
    """
    name = pick["candidate"]
    others = [row for row in rows if row["candidate"] != name and row["versus_best"] is not None]
    usual = (Family.BASELINE, Family.ZERO_SHOT)
    rivals = [row for row in others if row["family"] not in usual]
    trained = [row for row in rivals if row["family"] == Family.FINE_TUNING]
    # The nearest rivals, and fine-tuning in any case: that is what people ask about.
    told = [*rivals[:2], *(row for row in trained if row not in rivals[:2])]
    sentences = [_against(row, costs[row["candidate"]], costs[name]) for row in told if row["versus_pick"]]
    if pick["family"] == Family.BASELINE and (used := sorted({row["backbone"] for row in others if row["backbone"]})):
        what = "The pre-trained model" if trained else "The untrained features of the pre-trained model"
        sentences.insert(0, f"{what} ({', '.join(used)}) {'adds' if trained else 'add'} nothing to it on these texts.")
    sentences += [
        f"{row['candidate']} was measured with up to {row['n_labels']:,} labels only: {number(row['score'])} "
        f"{ends(row['interval'])} there. {_promise(row, pick, higher_is_better)}"
        for row in rows
        if row["versus_best"] is None and row["family"] == Family.FINE_TUNING
    ]
    zero = next((row for row in others if row["family"] == Family.ZERO_SHOT), None)
    if zero is not None:
        sentences.append(
            f"Without any label, {zero['candidate']} reaches {number(zero['score'])} {ends(zero['interval'])}."
        )
    counts = next((row for row in others if row["method"] == "tfidf_linear"), None)
    if counts is not None and not counts["distinguishable"] and pick["backbone"]:
        sentences.append(
            f"Word counts alone ({counts['candidate']}) reach {number(counts['score'])} {ends(counts['interval'])}: "
            "that the pre-trained model adds anything is not shown."
        )
    sentences += [f"{candidate} was not considered: it {reason}." for candidate, reason in limits.items()]
    return sentences


def _against(row: dict[str, Any], cost: Cost | None, pick_cost: Cost | None) -> str:
    """Say how one candidate stands to the pick; "the same" is what the comparison with the best of all says."""
    best_is_picked = row["versus_best"]["mean"] == row["versus_pick"]["mean"]
    gap = row["versus_best" if best_is_picked else "versus_pick"]
    name = row["candidate"]
    difference = f"{gap['mean']:+.3f} {ends(gap['interval'], signed=True, digits=3)}"
    ratio = times_as_long(cost, pick_cost)
    if row["distinguishable"]:
        return f"{name} is behind ({difference})."
    quicker = times_as_long(pick_cost, cost)
    longer = f", and takes {ratio} times as long to fit" if ratio else ""
    if quicker:
        longer = f", and fits {quicker} times as fast"
    return f"{name} scores the same, as far as {row['n_compared']:,} test rows can tell ({difference}){longer}."


def _promise(row: dict[str, Any], pick: dict[str, Any], higher_is_better: bool) -> str:
    """Say what a fine-tuning that was not measured at all labels lets one expect."""
    if row["score"] != pick["score"] and (row["score"] > pick["score"]) == higher_is_better:
        return "That is above the pick already: give it time (--budget)."
    return "With all labels it might be ahead."
