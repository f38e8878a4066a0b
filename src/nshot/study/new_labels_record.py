"""The part "new_labels" of the verdict: scores of every way of taking labels in, and what they mean in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nshot import metrics
from nshot.evaluation.new_labels import MOST_EXAMPLES, Difference, LabelDraw, Share, Taken, difference, taken_in
from nshot.study.evidence import clipped
from nshot.study.new_labels import Measured, NewLabels, Way
from nshot.study.words import ALIKE, ends, number, plus_minus


@dataclass(frozen=True)
class _Judged:
    """One way with its scores, and how it stands to the best on the draws that both have; None for the best."""

    measured: Measured
    taken: Taken
    versus_best: Difference | None = None

    @property
    def adjusted(self) -> float:
        """Return a score on everybody's draws: the best's, plus the paired difference to it."""
        return self.versus_best.mean if self.versus_best else 0.0


def record(plan: NewLabels, ways: Sequence[Measured], starts: Sequence[Measured]) -> dict[str, Any]:
    """Return the record.

    Args:
        plan: Which labels were held out.
        ways: What was measured.
        starts: The same candidates with every label from the start.
    """
    judged, references = _judged(plan, ways), _scored(plan, starts)
    used = {answers.draw for way in ways for answers in way.answers}
    draws = [draw for draw in plan.draws if draw.number in used] or plan.draws[:1]
    n_held = len(draws[0].held_out)
    best = judged[0] if judged else None
    references = [_against(reference, best, plan.overlap) for reference in references] if best else references
    references.sort(key=lambda own: (-own.adjusted, own.measured.candidate))
    return {
        "share": plan.share,
        "held_out": [list(draw.held_out) for draw in draws],
        "n_labels_held_out": n_held,
        "n_labels_seen": len(np.unique(plan.targets[draws[0].seen])),
        "rows_per_new_label": round(_rows_per_label(draws), 1),
        "rows": [
            {
                "candidate": own.measured.candidate,
                "needs": _way(own).needs,
                "examples_per_label": _way(own).examples,
                **_scores(own),
                "seconds_to_take_in": round(own.measured.seconds, 4),
                "draws": own.taken.draws,
            }
            for own in judged
        ],
        "from_the_start": [
            {
                "candidate": own.measured.candidate,
                **_scores(own),
                "fit_seconds": round(own.measured.seconds, 4),
                "draws": own.taken.draws,
            }
            for own in references
        ],
        "because": _because(draws, judged, references),
    }


def _scored(plan: NewLabels, measured: Sequence[Measured]) -> list[_Judged]:
    accuracy = metrics.get("accuracy")
    found = [(own, taken_in(own.answers, accuracy, overlap=plan.overlap)) for own in measured]
    return [_Judged(own, taken) for own, taken in found if taken is not None]


def _judged(plan: NewLabels, ways: Sequence[Measured]) -> list[_Judged]:
    """Return the ways, the best first.

    Ways that were run on fewer draws are set against the others on the draws that they share.
    """
    scored = _scored(plan, ways)
    if not scored:
        return []
    most = max(own.taken.draws for own in scored)
    leader = max((own for own in scored if own.taken.draws == most), key=lambda own: own.taken.harmonic_mean.score)
    relative = [_against(own, leader, plan.overlap) for own in scored]
    best = max(relative, key=lambda own: own.adjusted)
    others = [_against(own, best, plan.overlap) for own in relative if own is not best]
    return [_Judged(best.measured, best.taken), *sorted(others, key=lambda own: (-own.adjusted, _order(own)))]


def _order(own: _Judged) -> tuple[str, Way]:
    return own.measured.candidate, _way(own)


def _against(own: _Judged, best: _Judged, overlap: float) -> _Judged:
    gap = difference(own.measured.answers, best.measured.answers, overlap=overlap)
    return _Judged(own.measured, own.taken, gap)


def _way(own: _Judged) -> Way:
    if own.measured.way is None:
        raise ValueError(f"{own.measured.candidate} had every label from the start")
    return own.measured.way


def _scores(own: _Judged) -> dict[str, Any]:
    def share(found: Share) -> dict[str, Any]:
        return {"score": round(found.score, 6), "interval": clipped(found.interval)}

    gap = own.versus_best
    return {
        "seen": share(own.taken.seen),
        "new": share(own.taken.new),
        "harmonic_mean": share(own.taken.harmonic_mean),
        "versus_best": {"mean": round(gap.mean, 6), "interval": clipped(gap.interval)} if gap else None,
    }


def _rows_per_label(draws: Sequence[LabelDraw]) -> float:
    return float(np.mean([draw.n_removed / len(draw.held_out) for draw in draws]))


# ---------------------------------------------------------------------------------------------- words


def _because(draws: Sequence[LabelDraw], judged: Sequence[_Judged], references: Sequence[_Judged]) -> list[str]:
    """Return what the scores mean: the best way, the nearest rival, those that need least, and all from the start."""
    if not judged:
        return ["No way of taking new labels in was measured; what was left out says why."]
    best = judged[0]
    scores = best.taken
    said = [
        f"{best.measured.candidate} takes new labels in best, {_by(_way(best))}: harmonic mean "
        f"{_share(scores.harmonic_mean)}, of {_share(scores.seen)} on rows of seen labels and {_share(scores.new)} on "
        f"rows of new ones. It takes {_time(best.measured.seconds)}."
    ]
    told = [best]
    for wanted in (
        [own for own in judged if own.measured.candidate != best.measured.candidate],
        [own for own in judged if not _way(own).again],
        [own for own in judged if not _way(own).examples],
    ):
        if wanted and not any(own in told for own in wanted):
            told.append(wanted[0])
            said.append(_standing(wanted[0]))
    if all(_way(own).again for own in judged):
        said.append("None of the ways compared takes in a label without training again.")
    if references:
        said.append(_from_the_start(draws, references[0]))
    few = {label for draw in draws for label, rows in draw.examples.items() if len(rows) < MOST_EXAMPLES}
    if few:
        verb = "label has" if len(few) == 1 else "labels have"
        said.append(f"{len(few)} held-out {verb} fewer than {MOST_EXAMPLES} rows to learn from, and gave all of them.")
    return said


def _standing(own: _Judged) -> str:
    gap = own.versus_best
    name = f"{own.measured.candidate}, {_by(_way(own))},"
    reached = f"reaches {_share(own.taken.harmonic_mean)} in {_time(own.measured.seconds)}"
    if gap is None:
        return f"{name} {reached}, measured on other draws of the labels."
    reach = ends(clipped(gap.interval), signed=True)
    if gap.told_apart:
        return f"{name} {reached}: behind ({plus_minus(gap.mean)} {reach})."
    if abs(gap.mean) <= ALIKE:
        return f"{name} {reached}: as good, as far as this test can tell ({plus_minus(gap.mean)} {reach})."
    apart = f"{abs(gap.mean):.3f} {'lower' if gap.mean < 0 else 'higher'}"
    return f"{name} {reached}: {apart} on the same draws ({reach}), but this test cannot tell the two apart."


def _from_the_start(draws: Sequence[LabelDraw], top: _Judged) -> str:
    gap = top.versus_best
    rows = _rows_per_label(draws)
    had = (
        f"Had they been there from the start with all their rows (about {rows:,.0f} each), {top.measured.candidate} "
        f"would reach {_share(top.taken.harmonic_mean)}"
    )
    cost = f"The price is labelling those rows and a fit of {_time(top.measured.seconds)}."
    if gap is None:
        return f"{had}. {cost}"
    worth = f"{plus_minus(gap.mean)} {ends(clipped(gap.interval), signed=True)}"
    if gap.told_apart:
        return f"{had} ({worth} on the best way). {cost}"
    return f"{had}, which this test cannot tell from the best way ({worth}). {cost}"


def _by(way: Way) -> str:
    """Return how, in words that follow a candidate's name."""
    if way.again:
        with_what = f"{way.examples} examples of each" if way.examples else "their names alone"
        return f"by training again with {with_what}"
    if not way.examples:
        return "by their names alone"
    return f"with {way.needs} of each"


def _share(found: Share) -> str:
    return f"{number(found.score)} {ends(clipped(found.interval))}"


def _time(seconds: float) -> str:
    """Return a time in words: ``20 ms``, ``1.4 s``, ``75 s``."""
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:,.0f} s"
