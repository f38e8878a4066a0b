"""`check`: an audit of data, without comparing anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nshot.api.options import resolved_options
from nshot.core import Check, Task
from nshot.data.options import ReadOptions


@dataclass(frozen=True)
class CheckedData:
    """What an audit found.

    Attributes:
        rows: Number of rows.
        task: What was recognised as the task.
        checks: The findings.
        recognised: A sentence about what was recognised.
    """

    rows: int
    task: Task
    checks: tuple[Check, ...]
    recognised: str

    def as_json(self) -> dict[str, Any]:
        """Return the record that ``nshot check --json`` prints."""
        return {
            "rows": self.rows,
            "task": self.task.kind.value,
            "labels": list(self.task.labels),
            "checks": [finding.as_json() for finding in self.checks],
        }


def check(
    data: Any, test: Any = None, *, options: ReadOptions | Mapping[str, Any] | None = None, **more: Any
) -> CheckedData:
    """Audit data without comparing anything.

    Args:
        data: As in `compare`.
        test: A test of the same form, or None.
        options: A `ReadOptions` or its fields.
        more: Fields of `ReadOptions`, such as ``label="queue"``.

    Raises:
        DataError: The data cannot be read.
    """
    from nshot.data.reading import read
    from nshot.evaluation.checks import audit

    resolved = resolved_options(ReadOptions, options, more)
    source = read(data, resolved)
    held = read(test, resolved, like=source) if test is not None else None
    return CheckedData(source.rows, source.task, tuple(audit(source, held).checks), source.recognised)
