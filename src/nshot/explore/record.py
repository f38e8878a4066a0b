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


def record_of(found: Survey, examples: Sequence[Example], rows: Array) -> dict[str, Any]:
    """Return the json-able record of a survey; a row is a 0-based position in the file.

    Args:
        found: In n examples.
        examples: The n examples.
        rows: Shape (n,), int64: the place of each in the file.
    """
    groups, strange, alike = found.groups, found.strangeness, found.duplicates

    def example(row: int) -> dict[str, Any]:
        return {"row": int(rows[row]), "example": shown(examples[row])}

    copies = alike.largest()
    return {
        "n_groups": len(found.described),
        "groups": [
            {"group": number, **_group(group, len(examples)), "typical": [example(row) for row in group.typical]}
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


def shown(example: Example) -> str:
    """Return an example as people read it, on one line; an image has no words."""
    from nshot.data.rows import shown as shown_row

    if isinstance(example, str):
        return shortened(example, _LONGEST)
    return shown_row(example) if isinstance(example, Mapping) else ""
