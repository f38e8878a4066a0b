"""The folder of an exploration: what lies where, and how it is written."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nshot.core import Dataset, OptionError, OutputError

if TYPE_CHECKING:
    import numpy as np

    from nshot.data.reading import InputBatch, InputStream, Source
    from nshot.explore.survey import Survey

SCHEMA = 1
_ROWS_AT_ONCE = 8192
_MOST_OF_POOL = 20_000
_THUMBNAIL = 96


@dataclass(frozen=True)
class ExploreFolder:
    """``--out``: everything that an exploration writes."""

    path: Path

    @property
    def summary(self) -> Path:
        """What was found, as ``--json`` prints it."""
        return self.path / "explore.json"

    @property
    def report(self) -> Path:
        """The report to look at."""
        return self.path / "report.html"

    @property
    def rows(self) -> Path:
        """Every row with its group, how strange it is, and when to label it."""
        return self.path / "rows.csv"

    @property
    def to_label(self) -> Path:
        """The rows to label first, ready to fill in, and rows beside them that stay without a label."""
        return self.path / "to_label.csv"

    @property
    def model(self) -> Path:
        """The model that says to which group a new row belongs."""
        return self.path / "model"

    def open(self) -> None:
        """Make the folder, or see that what it holds may be replaced.

        Raises:
            OptionError: It holds something else than an exploration, or rows that were labelled since.
            OutputError: The disk refuses.
        """
        if self.path.exists() and not self.path.is_dir():
            raise OptionError(f"{self.path} is a file; a folder is needed. Name another: --out DIR.")
        is_ours = self.summary.exists()
        try:
            if not is_ours and self.path.exists() and any(self.path.iterdir()):
                raise OptionError(
                    f"{self.path} is not empty and holds no exploration of nshot. Name another folder: --out DIR."
                )
            if is_ours and self.to_label.exists() and _digest(self.to_label) != self._written().get("to_label_sha256"):
                raise OptionError(
                    f"{self.to_label} was filled in or changed since nshot wrote it, and would be replaced. Move it "
                    "away, or name another folder: --out DIR."
                )
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self.path / ".explore.partial"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise OutputError(
                f"Cannot write to {self.path}: {error.strerror}. Name another folder: --out DIR."
            ) from None

    def _written(self) -> dict[str, Any]:
        try:
            found = json.loads(self.summary.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def remove_model(self) -> None:
        """Remove the model of an earlier exploration, of which nothing is said any more."""
        shutil.rmtree(self.model, ignore_errors=True)

    def abandon(self, *, made_here: bool) -> None:
        """Remove a folder in which nothing was finished, so that a mistake leaves nothing behind."""
        if made_here and self.path.is_dir() and not any(self.path.iterdir()):
            self.path.rmdir()

    def record(self, found: Mapping[str, Any]) -> None:
        """Write `summary`, and with it what `to_label` was like when nobody had filled it in."""
        own = {"to_label_sha256": _digest(self.to_label)} if self.to_label.exists() else {}
        self._write(self.summary, json.dumps({**found, **own}, ensure_ascii=False, indent=1))

    def draw(self, page: str) -> None:
        """Write `report`."""
        self._write(self.report, page)

    def _write(self, file: Path, text: str) -> None:
        partial = file.with_name(f".{file.name}.partial")
        try:
            partial.write_text(text, encoding="utf-8", errors="backslashreplace")
            partial.replace(file)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise OutputError(f"Cannot write {file}: {error.strerror}. Make room, or name another folder.") from None


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


# --- tables -----------------------------------------------------------------------------------------------------------


def write_rows(out: Path, source: Source, rows: np.ndarray, found: Survey) -> None:
    """Write every row of the file with its columns, its group, how strange it is, and when to label it.

    Args:
        out: Where.
        source: What was read.
        rows: Shape (n,), int64: the place in the file of each row that was looked at.
        found: What was found in these; what was not looked at has empty cells.
    """
    import numpy as np

    from nshot.data.writing import writing

    group = np.full(source.rows, "", dtype=object)
    if found.described:
        group[rows] = [str(label + 1) if label >= 0 else "" for label in found.groups.labels.tolist()]
    score = np.full(source.rows, "", dtype=object)
    score[rows] = found.strangeness.scores.tolist()
    order = np.full(source.rows, "", dtype=object)
    for place, choice in enumerate(found.to_label, 1):
        order[rows[choice.row]] = place
    with writing(out, _stream(source)) as writer:
        for start in range(0, source.rows, _ROWS_AT_ONCE):
            part = slice(start, min(source.rows, start + _ROWS_AT_ONCE))
            answers = {"group": group[part], "outlier_score": score[part], "label_next": order[part]}
            writer.write(_batch(source, range(part.start, part.stop)), {k: v.tolist() for k, v in answers.items()})


def label_column(source: Source, named: str | None) -> str:
    """Return the column that is to be filled in: the one that a person named, or a new one."""
    if named is not None:
        return named
    return next(name for name in ("label", "new_label", "nshot_label") if name not in source.columns)


def write_to_label(out: Path, source: Source, chosen: Sequence[int], column: str, seed: int) -> int:
    """Write the rows to label, in this order, and below them others whose label stays empty: a pool.

    Args:
        out: Where.
        source: What was read.
        chosen: Rows to label: places in the file.
        column: Which to fill in; its labels stay where the file has it.
        seed: Decides which other rows there are, where there are more than 20,000.

    Returns:
        How many rows stand below those to label.
    """
    import numpy as np

    from nshot.data.writing import writing

    others = np.setdiff1d(np.random.default_rng(seed).permutation(source.rows)[: _MOST_OF_POOL + len(chosen)], chosen)
    order = [*chosen, *others[:_MOST_OF_POOL].tolist()]
    answers = {} if column in source.columns else {column: [""]}
    with writing(out, _stream(source)) as writer:
        for start in range(0, len(order), _ROWS_AT_ONCE):
            part = order[start : start + _ROWS_AT_ONCE]
            writer.write(_batch(source, part), {name: empty * len(part) for name, empty in answers.items()})
    return len(order) - len(chosen)


def _stream(source: Source) -> InputStream:
    from nshot.data.reading import InputStream

    batches: Iterator[InputBatch] = iter(())
    return InputStream(source.name, "csv", source.text_columns, source.columns, {}, batches)


def _batch(source: Source, rows: Sequence[int]) -> InputBatch:
    from nshot.data.reading import InputBatch

    columns = {name: [cell or "" for cell in _cells(source, name, rows)] for name in source.columns}
    return InputBatch([], columns)


def _cells(source: Source, name: str, rows: Sequence[int]) -> Sequence[str]:
    column = source.column(name)
    if isinstance(rows, range):
        return list(column[rows.start : rows.stop])
    return [column[row] for row in rows]


# --- pictures ---------------------------------------------------------------------------------------------------------


def thumbnails(examples: Dataset, rows: Sequence[int]) -> dict[int, str]:
    """Return small pictures of these images as ``data:`` addresses, by row."""
    from nshot.backbones.image_decoding import picture_of

    found = {}
    for row in rows:
        picture = picture_of(examples.examples[row], row)
        picture.thumbnail((_THUMBNAIL, _THUMBNAIL))
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=80)
        found[row] = f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
    return found
