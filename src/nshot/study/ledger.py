"""The append-only record of runs: one JSON object per line, on disk before the next run starts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nshot.core import Cost, OptionError, OutputError, Run, RunStatus


class Ledger:
    """``runs.jsonl`` of a study.

    A process killed while writing leaves at most one broken last line, which is dropped when the file is opened again.

    Raises:
        OptionError: Another line is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._runs: dict[str, Run] = {}
        if path.exists():
            self._read()

    def _read(self) -> None:
        data = self.path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            with self.path.open("r+b") as file:
                file.truncate(len(whole))
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                run = _run_from_json(json.loads(line))
            except (ValueError, KeyError, TypeError):
                raise OptionError(
                    f"Line {number} of {self.path} is not what this version of nshot wrote. "
                    "Start over in its folder (--fresh), or name another folder (--out DIR)."
                ) from None
            self._runs[run.key] = run

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs.values())

    def get(self, key: str) -> Run | None:
        """Return the run with this key, or None."""
        return self._runs.get(key)

    def append(self, run: Run) -> None:
        """Add a run and wait until it is on disk.

        Raises:
            OutputError: The disk refuses.
        """
        line = json.dumps({**asdict(run), "status": run.status.value}, ensure_ascii=False) + "\n"
        try:
            with self.path.open("ab") as file:
                file.write(line.encode("utf-8", "backslashreplace"))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise OutputError(
                f"Cannot write {self.path}: {error.strerror}. What was finished before is kept."
            ) from None
        self._runs[run.key] = run


def _run_from_json(record: dict[str, Any]) -> Run:
    cost = record.pop("cost")
    return Run(**{**record, "status": RunStatus(record["status"]), "cost": Cost(**cost) if cost else None})
