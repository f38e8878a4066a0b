"""What an exploration found, in words."""

from __future__ import annotations

from typing import Any

from nshot.report import exploring


def record(**changed: Any) -> dict[str, Any]:
    return {
        "modality": "image",
        "reason": "2 groups: those found on one half of the rows agree with those of the other half by 0.98.",
        "n_groups": 2,
        "algorithm": "k_means",
        "in_no_group": 1,
        "outliers": {"number": 1, "fence": 2.0},
        "duplicates": {"groups": 1, "rows": 3, "exact": 3},
        "notes": [],
        **changed,
    }


def test_images_are_not_called_rows() -> None:
    said = exploring.sentences(record())
    assert not [words for words in said if "row" in words]
    assert "1 image belongs to no group." in said
    assert "3 images repeat another one exactly." in said


def test_copies_that_are_not_exact_are_told_apart() -> None:
    said = exploring.duplicates(record(duplicates={"groups": 2, "rows": 3, "exact": 1}))
    assert said == "3 rows repeat another one, or nearly, 1 of them exactly."
