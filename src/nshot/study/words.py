"""The verdict in words: what to pick, how sure, what it costs, what would change it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nshot.core import Cost, Family
from nshot.study.counting import LABELS, Unit
from nshot.study.forecast import NO_LABELS

if TYPE_CHECKING:
    from nshot.study.money import Prices

ALIKE = 0.01
"""Measured scores that differ by less are called the same where no difference is shown: a point of most metrics."""
GIVEN = "given"
"""The method of answers that were given, such as a present system's."""
_ASKED = ("prompt", "in_context")
"""Methods that ask a language model as it is, and not for features."""
_MOST_FORBIDDEN = 2
"""So many candidates that a limit forbids are told with their figures."""
_TOLD = (Family.FINE_TUNING, Family.FEW_SHOT, Family.ZERO_SHOT)


def digits(point: float) -> int:
    """Return how many digits after the decimal point tell scores apart whose point is this: 2 of a hundredth."""
    return max(0, math.ceil(-math.log10(point) - 1e-9)) if point < 1 else int(point < 10)


def number(value: float, point: float = ALIKE) -> str:
    """Return a score with digits down to a point of its metric: ``0.93``, ``33.7``, ``52,310``."""
    return f"{_told(value, point):,.{digits(point)}f}"


def _told(value: float, point: float) -> float:
    """Return a number of a metric with large ones down to a tenth of a point: 52,310 where a point is 523."""
    return round(value, 1 - math.floor(math.log10(point))) if point >= 10 else value


def ends(interval: Sequence[float] | None, *, point: float = ALIKE, signed: bool = False) -> str:
    """Return ``[low, high]``, or that there is none; signed, of a difference."""
    if interval is None:
        return "(no interval)"
    low, high = (plus_minus(end, point) if signed else number(end, point) for end in interval)
    return f"[{low}, {high}]"


def plus_minus(value: float, point: float = ALIKE) -> str:
    """Return a difference with its sign; what rounds to nothing has none: ``+0.012``, ``-0.300``, ``0.000``.

    It has a digit more than a score, but of large numbers, whose scores have none either: ``-13,590``.
    """
    places = digits(point) + 1 if point < 10 else 0
    text = f"{_told(value, point):+,.{places}f}"
    return text if float(text.replace(",", "")) else text[1:]


def amount(money: float) -> str:
    """Return an amount of money with the digits that say something: ``0.0031``, ``0.35``, ``12.40``, ``1,274``."""
    if abs(money) >= 100:
        return f"{money:,.0f}"
    return f"{money:.2f}" if abs(money) >= 0.1 or money == 0 else f"{money:.2g}"


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
    point: float = ALIKE,
    unit: Unit = LABELS,
    ahead: Mapping[str, Any] | None = None,
) -> list[str]:
    """Return the reasons for the pick, the most telling first.

    Args:
        pick: The verdict's ``pick``.
        rows: The leaderboard.
        costs: Cost of each candidate at its largest n.
        limits: Candidates that a hard limit forbids, with the reason.
        higher_is_better: Which way the metric goes.
        point: What people call a point of it: scores within one are called the same where no difference is shown.
        unit: What n counts.
        ahead: From how few labels on they pay, the verdict's ``ahead_of_no_labels``.
    """
    name = pick["candidate"]
    others = [row for row in rows if row["candidate"] != name and row["versus_best"] is not None]
    without = [row for row in others if row["n_labels"] == 0 and row["family"] in NO_LABELS]
    # What needs no labels is told of in a sentence of its own, unless nothing else is compared.
    apart = without if pick["n_labels"] else []
    rivals = [row for row in others if row["family"] != Family.BASELINE and row not in apart]
    trained = [row for row in rivals if row["family"] == Family.FINE_TUNING]
    # The nearest rivals, and fine-tuning, the best of the cheap ways and the present system in any case: that is what
    # people ask about.
    cheap = [row for row in rivals if row["family"] == Family.FEW_SHOT]
    asked = [*trained, *cheap[:1], *(row for row in others if row["method"] == GIVEN)]
    told = [*rivals[:2], *(row for row in asked if row not in rivals[:2])]
    sentences = [
        _against(row, costs[row["candidate"]], costs[name], higher_is_better, point)
        for row in told
        if row["versus_pick"]
    ]
    if pick["family"] == Family.BASELINE and (pretrained := [row for row in others if row["backbone"]]):
        sentences[:0] = _adds_nothing(pretrained, is_trained=bool(trained), higher_is_better=higher_is_better)
    sentences += [
        f"{row['candidate']} was measured with up to {row['n_labels']:,} {unit.many} only: "
        f"{number(row['score'], point)} {ends(row['interval'], point=point)} there. "
        f"{_promise(row, pick, higher_is_better, unit)}"
        for row in rows
        if row["versus_best"] is None and row["family"] == Family.FINE_TUNING
    ]
    if apart:
        zero = apart[0]
        sentences.append(
            f"Without any {unit.one}, {zero['candidate']} reaches {number(zero['score'], point)} "
            f"{ends(zero['interval'], point=point)}."
        )
        sentences += _from_so_few(ahead, zero["candidate"], unit, point)
    counts = next((row for row in others if row["method"] == "tfidf_linear"), None)
    if counts is not None and not counts["distinguishable"] and pick["backbone"]:
        sentences.append(
            f"Word counts alone ({counts['candidate']}) reach {number(counts['score'], point)} "
            f"{ends(counts['interval'], point=point)}: that the pre-trained model adds anything is not shown."
        )
    return sentences + _not_considered(limits)


def _from_so_few(ahead: Mapping[str, Any] | None, zero: str, unit: Unit, point: float) -> list[str]:
    """Return with how few labels the best that was told of without any is overtaken."""
    if ahead is None or ahead["than"] != zero:
        return []
    n, gap = ahead["n_labels"], ahead["difference"]
    return [
        f"With {n:,} {unit.one if n == 1 else unit.many}, {ahead['candidate']} is ahead of that "
        f"({plus_minus(gap['mean'], point)} {ends(gap['interval'], point=point, signed=True)})."
    ]


def _not_considered(limits: Mapping[str, str]) -> list[str]:
    """Return what the limits forbid: the first ones with their figures, of more the names."""
    told = list(limits.items())
    if len(told) > _MOST_FORBIDDEN:
        told = told[: _MOST_FORBIDDEN - 1]
    sentences = [f"{candidate} was not considered: it {reason}." for candidate, reason in told]
    if rest := list(limits)[len(told) :]:
        sentences.append(f"Over a limit as well: {', '.join(rest[:-1])} and {rest[-1]}.")
    return sentences


def _adds_nothing(rows: Sequence[dict[str, Any]], *, is_trained: bool, higher_is_better: bool) -> list[str]:
    """Return that a baseline does as well as everything that stands on a pre-trained model, unless one was better.

    Args:
        rows: Those of the leaderboard that stand on one, compared with the baseline that is picked.
        is_trained: Whether one of them trains the network.
        higher_is_better: Which way the metric goes.
    """
    gaps = [row["versus_pick"]["mean"] for row in rows if row["versus_pick"]]
    if any((gap > 0) == higher_is_better for gap in gaps if gap):
        return []
    used = ", ".join(sorted({row["backbone"] for row in rows}))
    whole = is_trained or any(row["method"] in _ASKED for row in rows)
    as_it_is = "" if is_trained else " as it is" if whole else "'s features as they are"
    what = f"The pre-trained model{as_it_is} ({used})"
    if all(row["distinguishable"] for row in rows):
        return [f"{what} {'adds' if whole else 'add'} nothing to it on these texts."]
    return [f"{what} {'is' if whole else 'are'} not shown to add anything to it on these texts."]


def how_sure(name: str, picks: Mapping[str, float]) -> list[str]:
    """Return how often the same candidate is picked when the test rows are drawn again.

    Args:
        name: The pick.
        picks: Share of the resampled tests in which each candidate is picked.
    """
    others = sorted(((share, who) for who, share in picks.items() if who != name and share >= 0.05), reverse=True)
    if not others:
        return []
    found = " and ".join(f"{who} in {100 * share:.0f}" for share, who in others[:2])
    return [
        f"If the test rows were drawn again, the same way would be picked in about {100 * picks.get(name, 0.0):.0f} of "
        f"100 cases, {found}."
    ]


def _against(
    row: dict[str, Any], cost: Cost | None, pick_cost: Cost | None, higher_is_better: bool, point: float
) -> str:
    """Say how one candidate stands to the pick; "the same" is what the comparison with the best of all says."""
    best_is_picked = row["versus_best"]["mean"] == row["versus_pick"]["mean"]
    gap = row["versus_best" if best_is_picked else "versus_pick"]
    name = row["candidate"]
    reach = ends(gap["interval"], point=point, signed=True) + _draw_by_draw(row["versus_pick"])
    mean = plus_minus(gap["mean"], point)
    ratio = times_as_long(cost, pick_cost)
    if row["distinguishable"]:
        return f"{name} is behind ({mean} {reach})."
    quicker = times_as_long(pick_cost, cost)
    longer = f", and takes {ratio} times as long to fit" if ratio else ""
    if quicker:
        longer = f", and fits {quicker} times as fast"
    rows = f"{row['n_compared']:,} test rows"
    if abs(gap["mean"]) <= point:
        return f"{name} scores the same, as far as {rows} can tell ({mean} {reach}){longer}."
    which = "lower" if gap["mean"] < 0 else "higher"
    if not higher_is_better:
        which += ", which is better," if gap["mean"] < 0 else ", which is worse,"
    measured = f"{name} was measured {mean.lstrip('+-')} {which} ({reach})"
    if gap["interval"] is not None and gap["interval"][0] * gap["interval"][1] > 0:
        return f"{measured}{longer}."
    return f"{measured}, but {rows} cannot tell the two apart{longer.replace(', and', '; it', 1)}."


def _draw_by_draw(versus: dict[str, Any]) -> str:
    """Say in how many draws it is the other way round than on average: one collapsed run can stretch a mean."""
    draws = versus["won"] + versus["lost"] + versus["tied"]
    most = max(versus["won"], versus["lost"])
    if versus["median"] is None or versus["mean"] * versus["median"] >= 0 or 2 * most <= draws:
        return ""
    return f"; {'better' if versus['won'] > versus['lost'] else 'worse'} in {most} of {draws} draws"


def about_money(
    pick: dict[str, Any], rows: Sequence[dict[str, Any]], prices: Prices | None, break_even: Sequence[dict[str, Any]]
) -> list[str]:
    """Return what the pick costs in money, and from how many predictions a month a dearer set-up pays.

    Of fine-tuning, few-shot and zero-shot, where they are not what was picked, the best-placed one is told of.

    Args:
        pick: The verdict's ``pick``.
        rows: The leaderboard.
        prices: What the user pays, or None.
        break_even: The verdict's ``break_even``, in the order of the leaderboard.
    """
    if prices is None:
        return []
    families = {row["candidate"]: row["family"] for row in rows}
    own = next(row for row in rows if row["candidate"] == pick["candidate"])
    told: dict[str, dict[str, Any]] = {}
    for crossing in break_even:
        other = crossing["to"] if crossing["from"] == pick["candidate"] else crossing["from"]
        # Where mistakes have no price, that the dearer way never pays would leave out why one takes it.
        is_telling = prices.per_mistake or crossing["outcome"] == "from"
        if is_telling and families[other] in _TOLD and families[other] != pick["family"]:
            told.setdefault(families[other], crossing)
    return [*_monthly(own, prices), *(_pays(crossing, prices) for crossing in told.values())]


def _monthly(row: dict[str, Any], prices: Prices) -> list[str]:
    month = row["money_per_month"]
    if month is None:
        return []
    parts = [*(["its mistakes"] if prices.per_mistake else [])]
    parts += [f"a twelfth of its set-up ({amount(row['money'])})"] if row["money"] else []
    included = f", {' and '.join(parts)} included" if parts else ""
    reach = "" if month["interval"] is None else " [{}, {}]".format(*map(amount, month["interval"]))
    return [
        f"{row['candidate']} costs about {amount(month['money'])}{reach} a month at your prices and "
        f"{prices.predictions_per_month:,} predictions{included}."
    ]


def _pays(crossing: dict[str, Any], prices: Prices) -> str:
    dearer, cheaper = crossing["to"], crossing["from"]
    if crossing["outcome"] == "never":
        return f"Against {cheaper}, {dearer} never pays: its predictions do not make up for its set-up."
    if crossing["outcome"] == "always":
        return f"{dearer} costs less than {cheaper} from the first predictions on, its set-up included."
    if crossing["outcome"] == "cannot tell":
        return f"Whether the set-up of {dearer} ever pays against {cheaper} cannot be told with these test rows."
    reach = crossing["interval"]
    ends_of_it = "" if reach is None else f" [{_about(reach[0])}, {_about(reach[1])}]"
    n = crossing["predictions_per_month"]
    today = "more" if prices.predictions_per_month >= n else "fewer"
    return (
        f"{dearer} pays against {cheaper} from about {_about(n)} predictions a month{ends_of_it}; "
        f"{prices.predictions_per_month:,} are {today}{'' if prices.per_mistake else ' (mistakes have no price)'}."
    )


def _about(number_of_predictions: float) -> str:
    """Return a count to two digits: ``41,000``."""
    return f"{float(f'{number_of_predictions:.2g}'):,.0f}"


def _promise(row: dict[str, Any], pick: dict[str, Any], higher_is_better: bool, unit: Unit) -> str:
    """Say what a fine-tuning that was not measured at today's n lets one expect."""
    if row["score"] != pick["score"] and (row["score"] > pick["score"]) == higher_is_better:
        return "That is above the pick already: give it time (--budget)."
    return f"With all {unit.many} it might be ahead."


def about_other_data(n_labels: int, pick: str, by_test_alone: str) -> list[str]:
    """Return that what is known from other data decided, where it did.

    Args:
        n_labels: Number of labels that the user has.
        pick: The candidate that is picked.
        by_test_alone: The candidate that the same rule picks by the measured scores.
    """
    if pick == by_test_alone:
        return []
    return [
        f"With {n_labels:,} labels the test alone cannot tell: it would speak for {by_test_alone}. What these ways "
        "usually reach on other data with so few labels was taken into account, and that speaks for this pick."
    ]
