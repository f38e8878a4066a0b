"""N108: something beside the meaning of the text that gives the label away."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from nshot.core import Check, Severity
from nshot.evaluation.checks.facts import LABELS, TEXTS, Audit

CODE = "N108"
TITLE = "The label is given away"
KINDS = LABELS
MODALITIES = TEXTS
ALMOST_ALWAYS = 0.97
MUST_REPEAT = 0.8
FEWEST_ROWS = 20
_WORD = re.compile(r"\S+")


def check(audit: Audit) -> Check | None:
    """Return what predicts the label almost perfectly: a column, the first or last word, or the label in the text."""
    if len(audit.targets) < FEWEST_ROWS:
        return None
    in_text = [reason for reason in (_edge_word(audit), _literal_label(audit)) if reason]
    beside: list[tuple[str, str]] = []
    inside: list[tuple[str, str]] = []
    source = audit.train
    for name in source.columns:
        if name in {source.label_column, source.group_column, source.time_column}:
            continue
        if source.text_columns == (name,):
            continue
        column = source.column(name)
        values = [column[i].strip() for i in source.positions]
        accuracy = held_out_accuracy(values, audit.targets)
        if accuracy is not None:
            reason = f"the column '{name}' alone tells the label in {accuracy:.0%} of the rows"
            (inside if name in source.text_columns else beside).append((name, reason))
    reasons = [*in_text, *(reason for _, reason in inside), *(reason for _, reason in beside)]
    if not reasons:
        return None
    shown = in_text or inside
    if shown:
        advice = "Remove it from the texts, unless it will also be there when the model is used."
    else:
        advice = "Nothing, as it is no part of the texts; do not add it with --text."
    explanation = "; ".join(reasons)
    return Check(
        code=CODE,
        title=TITLE,
        severity=Severity.ISSUE if shown else Severity.NOTE,
        explanation=explanation[0].upper() + explanation[1:] + ".",
        advice=advice,
        count=len(reasons),
        details={"columns": [name for name, _ in (*inside, *beside)]},
    )


def held_out_accuracy(values: Sequence[str], targets: Sequence[str]) -> float | None:
    """Return how often the other rows with the same value tell a row's label, or None where that is nothing special.

    A row is never its own evidence, so an id that occurs once tells nothing.
    """
    n = len(targets)
    joint = Counter(zip(values, targets, strict=True))
    by_value: dict[str, Counter[str]] = {}
    for (value, label), count in joint.items():
        by_value.setdefault(value, Counter())[label] = count
    sizes = Counter(values)
    if len(sizes) < 2 or sum(count for count in sizes.values() if count > 1) < MUST_REPEAT * n:
        return None
    right = 0
    for (value, label), count in joint.items():
        others = max((held for name, held in by_value[value].items() if name != label), default=0)
        if count - 1 > others:
            right += count
    majority = Counter(targets).most_common(1)[0][1]
    # Closing nine tenths of the gap to perfect above always answering the most frequent label.
    needed = max(ALMOST_ALWAYS, (majority + 0.9 * (n - majority)) / n)
    return right / n if right >= needed * n else None


def _edge_word(audit: Audit) -> str | None:
    for which, at in (("first", 0), ("last", -1)):
        words = []
        for text in audit.texts:
            found = _WORD.findall(text[:200] if at == 0 else text[-200:])
            words.append(found[at].casefold() if len(found) > 1 else "")
        accuracy = held_out_accuracy(words, audit.targets)
        if accuracy is not None:
            return f"the {which} word of the texts alone tells the label in {accuracy:.0%} of the rows"
    return None


def _literal_label(audit: Audit) -> str | None:
    """Return a reason where nearly every text holds the name of its own label and hardly any that of another."""
    task = audit.train.task
    patterns = {label: re.compile(rf"(?<!\w){re.escape(label)}(?!\w)", re.IGNORECASE) for label in task.labels}
    step = max(1, len(audit.texts) // 2000)
    sample = range(0, len(audit.texts), step)
    own = sum(patterns[audit.targets[i]].search(audit.texts[i]) is not None for i in sample)
    if own < ALMOST_ALWAYS * len(sample):
        return None
    other = task.labels
    foreign = sum(
        patterns[other[(other.index(audit.targets[i]) + 1) % len(other)]].search(audit.texts[i]) is not None
        for i in sample
    )
    if foreign > 0.5 * own:
        return None
    return f"{own / len(sample):.0%} of the texts hold the name of their label literally"
