"""`export`: a fitted model for other programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from nshot import bundle
from nshot.api.model import Model, load
from nshot.api.options import resolved_options
from nshot.core import Conversation
from nshot.spec import Spec
from nshot.study.general_text import pairs
from nshot.study.watch import Unwatched, Watch


class ExportOptions(Spec):
    """Everything that `export` can be told."""

    to: Literal["huggingface"] = "huggingface"
    """What to write: huggingface is a folder that transformers, vLLM, llama.cpp and Ollama read."""
    merged: bool = False
    """Merge an adapter into the model that it was trained on, so that the folder needs nothing else."""
    threads: int | None = Field(default=None, ge=1)
    """Processor threads; all cores unless given."""

    @classmethod
    def called(cls) -> str:
        """Return what messages call these options."""
        return "export"


@dataclass(frozen=True)
class Export:
    """What `export` wrote.

    Attributes:
        record: What ``nshot export --json`` prints.
    """

    record: dict[str, Any]


def export(
    model: Model | str | Path,
    out: str | Path,
    *,
    options: ExportOptions | Mapping[str, Any] | None = None,
    watch: Watch | None = None,
    **more: Any,
) -> Export:
    """Write a fitted model to a folder in which other programs find what they expect.

    What was written is opened by transformers and has to answer like the model, or it is not put in place.

    Args:
        model: A fitted model, or the folder of a saved one.
        out: Where; must not exist, or be empty.
        options: An `ExportOptions` or its fields.
        watch: Shown what is going on.
        more: Fields of `ExportOptions`, such as ``merged=True``.

    Raises:
        NshotError: The model cannot be written so, or answers otherwise there; the text says why.
    """
    watch = watch or Unwatched()
    resolved = resolved_options(ExportOptions, options, more)
    watch.progress("opening the model", 0, 0)
    name = model.method if isinstance(model, Model) else str(model)
    # Merged in the precision of the file, not in that of a faster computation.
    opened = model if isinstance(model, Model) else load(model, precision="fp32", threads=resolved.threads)
    watch.progress("writing", 0, 0)
    asked = [Conversation.asking(question) for question, _ in pairs()[: bundle.READ_BACK]]
    found = opened.export_folder(Path(out), merged=resolved.merged, examples=asked)
    return Export(
        {
            "schema": 1,
            "model": name,
            "method": opened.method,
            "to": resolved.to,
            "merged": resolved.merged,
            "is_adapter": found.is_adapter,
            "out": str(out),
            "bytes": sum(found.files.values()),
            "files": [{"name": file, "bytes": size} for file, size in found.files.items()],
            "read_back": found.agreement.as_json(),
        }
    )
