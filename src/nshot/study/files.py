"""The study's folder: what lies where, whose data it belongs to, and ``study.toml``."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from nshot.core import OptionError, OutputError

SCHEMA = 1


class StudyFolder:
    """``--out``: everything that a comparison writes.

    Args:
        path: The folder; made when it is opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def plan(self) -> Path:
        """The resolved plan and the executed run list."""
        return self.path / "study.toml"

    @property
    def ledger(self) -> Path:
        """One line per run."""
        return self.path / "runs.jsonl"

    @property
    def new_labels(self) -> Path:
        """One line per run with labels that arrive later."""
        return self.path / "new_labels.jsonl"

    @property
    def predictions(self) -> Path:
        """What each run answered."""
        return self.path / "predictions"

    @property
    def answers(self) -> Path:
        """One line per answer of a model behind an address: nothing is asked, or paid, twice."""
        return self.path / "answers.jsonl"

    @property
    def verdict(self) -> Path:
        """The stable, versioned result."""
        return self.path / "verdict.json"

    @property
    def details(self) -> Path:
        """What the report shows beyond the verdict."""
        return self.path / "details.json"

    @property
    def report(self) -> Path:
        """The report to look at."""
        return self.path / "report.html"

    @property
    def markdown(self) -> Path:
        """The report to paste."""
        return self.path / "report.md"

    @property
    def model(self) -> Path:
        """The pick, ready to serve."""
        return self.path / "model"

    @property
    def log(self) -> Path:
        """What the worker and its libraries printed."""
        return self.path / "worker.log"

    @property
    def kept(self) -> Path:
        """Predictors of which one may become the model; removed at the end."""
        return self.path / ".kept"

    def open(self, fingerprint: str, *, fresh: bool) -> None:
        """Make the folder, or go on in it.

        Args:
            fingerprint: Of the data to be compared on.
            fresh: Throw away what it holds.

        Raises:
            OptionError: It belongs to other data, or holds something that is no study.
            OutputError: The disk refuses.
        """
        try:
            if self.path.exists() and not self.path.is_dir():
                raise OptionError(f"{self.path} is a file; a folder is needed. Name another: --out DIR.")
            known = self.recorded() if self.plan.exists() else None
            if known is not None and fresh:
                self._clear()
            elif known is not None and known["data"]["fingerprint"] != fingerprint:
                raise OptionError(
                    f"{self.path} holds a comparison on other data ({known['data']['train']}). "
                    "Name another folder (--out DIR), or start over in it (--fresh)."
                )
            elif known is None and self.path.exists() and any(self.path.iterdir()):
                raise OptionError(
                    f"{self.path} is not empty and holds no comparison of nshot. Name another folder: --out DIR."
                )
            self.predictions.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"Cannot write to {self.path}: {error.strerror}. Name another folder: --out DIR."
            ) from None

    def _clear(self) -> None:
        """Remove what a study writes, and nothing else."""
        for path in (self.predictions, self.model, self.kept):
            shutil.rmtree(path, ignore_errors=True)
        written = (
            self.plan,
            self.ledger,
            self.new_labels,
            self.answers,
            self.verdict,
            self.details,
            self.report,
            self.markdown,
        )
        for path in (*written, self.log):
            path.unlink(missing_ok=True)

    def abandon(self, *, made_here: bool) -> None:
        """Remove a folder in which nothing was finished, so that a mistake leaves nothing behind."""
        if made_here and self.path.is_dir() and not self.ledger.exists():
            self._clear()
            try:
                self.path.rmdir()
            except OSError:
                return  # somebody else's files, or the disk is out of order: then it stays

    def recorded(self) -> dict[str, Any]:
        """Return ``study.toml``.

        Raises:
            OptionError: It is not what nshot wrote.
        """
        return read_plan(self.plan)

    def record(self, plan: Mapping[str, Any]) -> None:
        """Write ``study.toml``."""
        self.write(self.plan, tomli_w.dumps(_without_none(plan)))

    def write(self, file: Path, text: str) -> None:
        """Write a text file so that a reader only ever sees the old or the new one.

        Raises:
            OutputError: The disk refuses.
        """
        partial = file.with_name(f".{file.name}.partial")
        try:
            partial.write_text(text, encoding="utf-8", errors="backslashreplace")
            partial.replace(file)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise OutputError(f"Cannot write {file}: {error.strerror}. Make room, or name another folder.") from None

    def keep_only_results(self) -> None:
        """Remove what was only needed on the way."""
        shutil.rmtree(self.kept, ignore_errors=True)
        if self.log.exists() and self.log.stat().st_size == 0:
            self.log.unlink()


def read_plan(path: Path) -> dict[str, Any]:
    """Return a recorded plan.

    Raises:
        OptionError: It cannot be read, or is not what nshot wrote.
    """
    try:
        record = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise OptionError(f"{path} is not a plan that nshot wrote: {error}.") from None
    if record.get("schema") != SCHEMA or not isinstance(record.get("data"), dict):
        raise OptionError(f"{path} is not a plan that this version of nshot wrote.")
    return record


def _without_none(value: Any) -> Any:
    """TOML has no null: what is not set is not written."""
    if isinstance(value, Mapping):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_without_none(item) for item in value]
    return value
