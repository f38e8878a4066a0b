"""What was found, as json: rows by their place in the file, and what stands in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from nshot.core import Example, shortened
from nshot.explore.survey import Described, Survey

if TYPE_CHECKING:
    from nshot.training.rowwise import Array

_LONGEST = 300
_MOST_COPIES = 10
_MOST_OF_A_COPY = 20


def record_of(found: Survey, words: Mapping[int, str], rows: Array) -> dict[str, Any]:
    """Return the json-able record of a survey; a row is a 0-based position in the file.

    Args:
        found: In n examples.
        words: What stands in the examples that are shown: see `shown`.
        rows: Shape (n,), int64: the place of each in the file.
    """
    groups, strange, alike, n = found.groups, found.strangeness, found.duplicates, len(rows)

    def example(row: int) -> dict[str, Any]:
        return {"row": int(rows[row]), "example": words[row]}

    copies = alike.largest()
    return {
        "n_groups": len(found.described),
        "groups": [
            {"group": number, **_group(group, n), "typical": [example(row) for row in group.typical]}
            for number, group in enumerate(found.described, 1)
        ],
        "in_no_group": int((groups.labels < 0).sum()) if found.described else 0,
        "reason": groups.reason,
        "algorithm": groups.algorithm if found.described else None,
        "agreement": groups.agreement if found.described else None,
        "interval": list(groups.interval) if found.described else None,
        "considered": [asdict(one) for one in groups.considered],
        "searched": groups.sampled,
        "outliers": {
            "number": strange.n_outliers,
            "fence": strange.fence,
            "compared": strange.compared,
            "rows": [
                {
                    **example(one.row),
                    "score": float(strange.scores[one.row]),
                    "times": one.times,
                    "nearest": example(one.nearest),
                    "why": list(one.why),
                }
                for one in found.strangest
            ],
        },
        "duplicates": {
            "groups": len(copies),
            "rows": sum(len(members) - 1 for members in copies),
            "exact": alike.exact_copies(),
            "largest": [
                {
                    **example(members[0]),
                    "size": len(members),
                    "rows": [int(rows[row]) for row in members[:_MOST_OF_A_COPY]],
                }
                for members in copies[:_MOST_COPIES]
            ],
        },
        "label_next": [{**example(choice.row), "why": choice.why.value} for choice in found.to_label],
        "map": {"method": found.plane.method, "rows": len(found.plane.rows), "kept": found.plane.kept},
    }


def _group(group: Described, n: int) -> dict[str, Any]:
    return {
        "size": group.size,
        "share": group.size / n,
        "words": list(group.words),
        "terms": [asdict(term) for term in group.terms],
        "columns": [{**asdict(contrast), "interval": list(contrast.interval)} for contrast in group.contrasts],
    }


def shown(found: Survey, examples: Sequence[Example]) -> dict[int, str]:
    """Return each example that the record or the map shows as people read it, on one line; an image has no words.

    Args:
        found: In n examples.
        examples: The n examples.
    """
    from nshot.data.rows import gathered
    from nshot.data.rows import shown as shown_row

    rows = set(found.plane.rows.tolist())
    rows.update(strange.nearest for strange in found.strangest)
    rows.update(members[0] for members in found.duplicates.largest()[:_MOST_COPIES])
    wanted = sorted(rows)
    if examples and isinstance(examples[0], str):
        return {row: shortened(examples[row], _LONGEST) for row in wanted}
    if examples and isinstance(examples[0], Mapping):
        # All at once: one row of a table with very many columns takes long.
        return dict(zip(wanted, map(shown_row, gathered(examples).take(wanted)), strict=True))
    return dict.fromkeys(wanted, "")
