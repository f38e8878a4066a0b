"""A coded finding about data or runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """How much a finding matters."""

    NOTE = "note"
    ISSUE = "issue"
    ERROR = "error"


@dataclass(frozen=True)
class Check:
    """A finding: what is the case, where, and what to do about it.

    Attributes:
        code: ``N1xx`` about data, ``N2xx`` about runs.
        title: A few words.
        severity: ``note``: worth knowing; ``issue``: changes what the figures mean; ``error``: nothing can be run.
        explanation: One or two sentences with the figures.
        advice: What to do.
        rows: 0-based positions of the data rows concerned (in the file, header not counted); may be cut,
            then `count` is larger than its length.
        count: How many rows, pairs or classes are concerned.
        details: Json-able further facts, such as the pairs.
    """

    code: str
    title: str
    severity: Severity
    explanation: str
    advice: str
    rows: tuple[int, ...] = ()
    count: int = 0
    details: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the finding as a json-able record."""
        return {
            "code": self.code,
            "title": self.title,
            "severity": self.severity.value,
            "explanation": self.explanation,
            "advice": self.advice,
            "count": self.count,
            "rows": list(self.rows),
            "details": dict(self.details),
        }
