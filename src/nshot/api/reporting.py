"""What a comparison came to, and its reports."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nshot.api.model import Model, load
from nshot.core import OptionError, TaskKind
from nshot.study.files import StudyFolder


@dataclass(frozen=True)
class Comparison:
    """What `compare` came to.

    Attributes:
        verdict: The content of ``verdict.json``.
        details: What the report shows beyond it.
        folder: Where everything lies.
    """

    verdict: dict[str, Any]
    details: dict[str, Any]
    folder: Path

    @property
    def pick(self) -> dict[str, Any]:
        """Return which candidate was picked, its score and its interval."""
        pick: dict[str, Any] = self.verdict["pick"]
        return pick

    @property
    def record(self) -> dict[str, Any]:
        """Return the record that the reports are made of."""
        return {"verdict": self.verdict, "details": self.details}

    def load(self) -> Model:
        """Return the model that was handed over."""
        return load(StudyFolder(self.folder).model)


def write_report(folder: str | Path, *, texts: bool = True) -> Comparison:
    """Write ``report.html`` and ``report.md`` of a comparison anew.

    Args:
        folder: What `compare` wrote.
        texts: Whether texts of the data are shown.

    Raises:
        OptionError: There is no finished comparison in `folder`.
    """
    from nshot.report import compression, html, markdown

    study = StudyFolder(Path(folder))
    if not study.verdict.exists():
        unfinished = " It was not finished: run the same compare again." if study.plan.exists() else ""
        raise OptionError(f"{folder} holds no finished comparison (no verdict.json).{unfinished}")
    try:
        verdict, details = (json.loads(path.read_text(encoding="utf-8")) for path in (study.verdict, study.details))
    except (OSError, ValueError) as error:
        raise OptionError(f"{folder} is damaged: {error}. Run the compare again with --fresh.") from None
    found = Comparison(verdict, details, study.path)
    if verdict["task"] == TaskKind.COMPRESS:
        study.write(study.report, compression.html(found.record, pictures=texts))
        study.write(study.markdown, compression.markdown(found.record))
        return found
    study.write(study.report, html.render(found.record, texts=texts))
    study.write(study.markdown, markdown.render(found.record, texts=texts))
    return found
