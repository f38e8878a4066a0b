"""N128: the same words marked in some texts and not in others."""

from __future__ import annotations

import re
from collections import Counter

from nshot.core import Check, Severity, counted
from nshot.evaluation.checks.facts import ENTITIES, MOST_PAIRS, TEXTS, Audit, share

CODE = "N128"
TITLE = "The same words marked here and not there"
KINDS = ENTITIES
MODALITIES = TEXTS
FEWEST_MARKED = 2
"""What was marked once may have been marked by mistake; it is not looked for elsewhere."""
SHORTEST = 4
"""Shorter words mean too many things."""
MARKED_MOSTLY = 0.5
MATTERS_FROM = 0.02
_WORD = re.compile(r"\w+")


def check(audit: Audit) -> Check | None:
    """Return the rows with words that are an entity in most other places, written alike, and are not marked there."""
    marked = Counter(
        text[span.start : span.end] for text, spans in zip(audit.texts, audit.targets, strict=True) for span in spans
    )
    known = {words for words, times in marked.items() if times >= FEWEST_MARKED and len(words) >= SHORTEST}
    firsts: dict[str, list[str]] = {}
    for words in known:
        start = _WORD.match(words)
        if start:
            firsts.setdefault(start.group(), []).append(words)
    missed: dict[str, list[int]] = {}
    for row, (text, spans) in enumerate(zip(audit.texts, audit.targets, strict=True)):
        inside = {at for span in spans for at in range(span.start, span.end)}
        for found in _WORD.finditer(text):
            for words in firsts.get(found.group(), ()):
                end = found.start() + len(words)
                is_whole = text.startswith(words, found.start()) and not text[end : end + 1].isalnum()
                if is_whole and not inside.intersection(range(found.start(), end)):
                    missed.setdefault(words, []).append(row)
    torn = {
        words: rows for words, rows in missed.items() if marked[words] > MARKED_MOSTLY * (marked[words] + len(rows))
    }
    if not torn:
        return None
    places, total = sum(map(len, torn.values())), marked.total()
    often = sorted(torn, key=lambda words: (-len(torn[words]), words))
    example = often[0]
    return Check(
        code=CODE,
        title=TITLE,
        severity=Severity.ISSUE if places >= MATTERS_FROM * total else Severity.NOTE,
        explanation=f"In {counted(places, 'place')} stand words unmarked that are an entity in most other places "
        f"({share(places, total)} of the {total:,} entities): '{example[:60]}' is marked "
        f"{counted(marked[example], 'time')} and unmarked {counted(len(torn[example]), 'time')}.",
        advice="Mark them, unless they mean something else there: what is right but unmarked counts as a mistake, in "
        "training and in the test.",
        rows=audit.rows(dict.fromkeys(row for words in often for row in torn[words])),
        count=places,
        details={
            "words": [
                {"words": words, "marked": marked[words], "rows": list(audit.rows(torn[words]))}
                for words in often[:MOST_PAIRS]
            ]
        },
    )
