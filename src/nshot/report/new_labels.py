"""How well labels that arrive later are taken in, as one table: the same in the terminal, in Markdown and in HTML."""

from __future__ import annotations

from dataclasses import dataclass

from nshot.report import wording
from nshot.report.record import Difference, NewLabels, Record, Scored, TakenIn

HEAD = ("candidate", "takes them in", "seen labels", "new labels", "harmonic mean", "versus best", "takes", "draws")


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        candidate: Its short name.
        full_name: Its name.
        how: How it takes new labels in, or that it had them from the start.
        seen: Score on rows of seen labels.
        new: Score on rows of new labels.
        harmonic_mean: Of both.
        versus_best: Against the best way of taking them in; None for the best.
        seconds: What that takes.
        draws: Number of draws behind it.
        was_there: Whether it had every label from the start.
    """

    candidate: str
    full_name: str
    how: str
    seen: Scored
    new: Scored
    harmonic_mean: Scored
    versus_best: Difference | None
    seconds: float | None
    draws: int | None
    was_there: bool = False


def rows(record: Record) -> list[Row]:
    """Return the ways of taking new labels in, the best first, then who had them from the start."""
    found = record.verdict.new_labels
    if found is None:
        return []
    ways = [_row(record, own, _how(own), own.seconds_to_take_in, was_there=False) for own in found.rows]
    starts = [_row(record, own, "from the start", own.fit_seconds, was_there=True) for own in found.from_the_start]
    return [*ways, *starts]


def _row(record: Record, own: TakenIn, how: str, seconds: float | None, *, was_there: bool) -> Row:
    return Row(
        candidate=record.short(own.candidate),
        full_name=own.candidate,
        how=how,
        seen=own.seen,
        new=own.new,
        harmonic_mean=own.harmonic_mean,
        versus_best=own.versus_best,
        seconds=seconds,
        draws=own.draws,
        was_there=was_there,
    )


def _how(own: TakenIn) -> str:
    if own.needs == "nothing":
        return "by name"
    if own.needs != "training again":
        return own.needs
    return f"new fit, {own.examples_per_label} examples" if own.examples_per_label else "new fit, by name"


def cells(row: Row, places: int) -> list[str]:
    """Return what stands in the columns of `HEAD` behind the candidate, every score with its interval."""
    scores = (row.seen, row.new, row.harmonic_mean)
    gap = row.versus_best
    versus = f"{wording.signed(gap.mean, places)} {wording.signed_interval(gap.interval, places)}" if gap else ""
    return [
        row.how,
        *(wording.with_interval(own.score, own.interval, places) for own in scores),
        versus.rstrip(),
        wording.seconds(row.seconds),
        wording.count(row.draws),
    ]


def held_out(found: NewLabels) -> str:
    """Return ``15 of 77 labels held out, in 5 random draws``; of one draw, what its intervals leave out."""
    n_held, n_seen = found.n_labels_held_out, found.n_labels_seen
    draws = wording.plural(len(found.held_out), "random draw")
    if len(found.held_out) == 1:
        draws += ", so that the intervals cover the test rows only"
    if n_held is None or n_seen is None:
        return draws
    return f"{wording.count(n_held)} of {wording.plural(n_held + n_seen, 'label')} held out, in {draws}"


def notes(found: NewLabels) -> list[str]:
    """Return what the columns mean, and what was not measured."""
    each = f" ({wording.count(found.rows_per_new_label)} each on average)" if found.rows_per_new_label else ""
    return [
        "Every test row is answered among all labels. Seen and new labels: the share of right answers on their rows; "
        "the harmonic mean is 2 x seen x new / (seen + new), which is low as soon as one of them is.",
        "Takes: the time to take in all labels that were held out, or for a new fit. From the start: the comparison's "
        f"own fits, with all rows of these labels too{each}.",
        "Before it knows of a label, any way answers all rows of it wrongly; that needs no measuring.",
        "Intervals cover which labels are held out and the test rows; those of one draw the test rows only.",
    ]
