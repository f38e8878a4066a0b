"""N118: one input with answers that have next to nothing in common."""

from __future__ import annotations

from collections import Counter

from nshot.core import Check, Severity, counted, shortened
from nshot.data.duplicates import normalised
from nshot.evaluation.checks.facts import MOST_PAIRS, TEXTS, WRITING, Audit

CODE = "N118"
TITLE = "The same input with very different answers"
KINDS = WRITING
MODALITIES = TEXTS
LEAST_SHARED = 0.2
"""Words in common (F1): two ways of saying the same thing have more."""
COMPARED = 5


def check(audit: Audit) -> Check | None:
    """Return the inputs of which two of the first five answers have less than a fifth of their words in common."""
    rows: dict[int, list[int]] = {}
    for position, group in enumerate(audit.exact.tolist()):
        rows.setdefault(group, []).append(position)
    torn: list[tuple[float, int, int]] = []
    for positions in rows.values():
        if len(positions) > 1:
            words = [Counter(normalised(audit.targets[i]).split()) for i in positions[:COMPARED]]
            torn.extend(_most_unlike(positions, words))
    if not torn:
        return None
    torn.sort()
    _, first, second = torn[0]
    row = audit.train.positions
    return Check(
        code=CODE,
        title=TITLE,
        severity=Severity.NOTE,
        explanation=f"{counted(len(torn), 'input has', 'inputs have')} answers that share less than {LEAST_SHARED:.0%} "
        f"of their words; {shortened(audit.texts[first], 60)!r} is answered {shortened(audit.targets[first], 60)!r} "
        f"and {shortened(audit.targets[second], 60)!r}.",
        advice="Nothing, where an input has many right answers. Where one is wrong, correct it: a model learns the "
        "mean of what it sees, and figures that compare words with one answer mean little here.",
        rows=audit.rows(sorted({i for _, *pair in torn for i in pair})),
        count=len(torn),
        details={"pairs": [[row[i], row[j]] for _, i, j in torn[:MOST_PAIRS]]},
    )


def _most_unlike(positions: list[int], words: list[Counter[str]]) -> list[tuple[float, int, int]]:
    """Return the two answers of an input that share least, where that is little."""
    pairs = [
        (2 * (words[i] & words[j]).total() / max(1, words[i].total() + words[j].total()), positions[i], positions[j])
        for i in range(len(words))
        for j in range(i + 1, len(words))
    ]
    least = min(pairs)
    return [least] if least[0] < LEAST_SHARED else []
