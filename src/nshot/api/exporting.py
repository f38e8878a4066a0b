"""`export`: a fitted model for other programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from nshot import bundle
from nshot.api.model import Model, load
from nshot.api.onnx_export import export_onnx
from nshot.api.options import resolved_options
from nshot.core import Conversation, OptionError
from nshot.data.options import ReadOptions
from nshot.study.general_text import pairs
from nshot.study.watch import Unwatched, Watch


class ExportOptions(ReadOptions):
    """Everything that `export` can be told."""

    to: Literal["huggingface", "onnx", "gguf"] = "huggingface"
    """What to write: of a model that writes, huggingface is a folder for transformers, vLLM and Ollama, and gguf one
    file for llama.cpp; onnx is a folder that answers without nshot, of models of texts that label, value or detect."""
    merged: bool = False
    """Merge an adapter into the model that it was trained on, so that a huggingface folder needs nothing else."""
    int8: bool = False
    """Write the network of an onnx folder in 8 bits: smaller and faster, with answers a little different."""
    data: Path | None = None
    """Labelled rows that the model was not trained on: an onnx folder has to score on them like the model."""
    tolerance: float = Field(default=1.0, ge=0)
    """Points by which the score of an onnx folder may be lower on these rows."""
    format: Literal["f32", "f16", "q8_0"] = "f16"
    """Number format of the matrices of a gguf file."""
    threads: int | None = Field(default=None, ge=1)
    """Processor threads; all cores unless given."""

    @classmethod
    def called(cls) -> str:
        """Return what messages call these options."""
        return "export"

    def require_sense(self) -> None:
        """Refuse what does not go together.

        Raises:
            OptionError: An option is given that another kind of export has.
        """
        for name, kind in _OF_ONE_KIND.items():
            if name in self.model_fields_set and self.to != kind:
                raise OptionError(f"--{name} is for --to {kind}, and --to {self.to} was asked for. Leave one out.")


_OF_ONE_KIND = {
    "merged": "huggingface",
    "int8": "onnx",
    "data": "onnx",
    "tolerance": "onnx",
    "format": "gguf",
}


@dataclass(frozen=True)
class Export:
    """What `export` wrote.

    Attributes:
        record: What ``nshot export --json`` prints; ``found`` has a sentence for each thing that the check found.
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

    What was written is opened by another program than nshot and has to answer like the model, or it is not put in
    place: a folder or a file of a model that writes by transformers, a graph of ONNX by onnxruntime.

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
    resolved.require_sense()
    watch.progress("opening the model", 0, 0)
    name = model.method if isinstance(model, Model) else str(model)
    # Merged in the precision of the file, not in that of a faster computation.
    opened = model if isinstance(model, Model) else load(model, precision="fp32", threads=resolved.threads)
    kinds = {"huggingface": _huggingface, "onnx": export_onnx, "gguf": _gguf}
    found = kinds[resolved.to](opened, Path(out), resolved, watch)
    size = sum(file["bytes"] for file in found["files"])
    about = {"schema": 1, "model": name, "method": opened.method, "to": resolved.to, "out": str(out), "bytes": size}
    return Export({**about, **found})


def _huggingface(model: Model, out: Path, options: ExportOptions, watch: Watch) -> dict[str, Any]:
    watch.progress("writing", 0, 0)
    found = model.export_folder(out, merged=options.merged, examples=_asked())
    what = "An adapter of peft" if found.is_adapter else "A model of transformers"
    return {
        "merged": options.merged,
        "is_adapter": found.is_adapter,
        "files": [{"name": file, "bytes": size} for file, size in found.files.items()],
        "read_back": found.agreement.as_json(),
        "found": [f"{what}. {found.agreement.by_transformers()}"],
    }


def _gguf(model: Model, out: Path, options: ExportOptions, watch: Watch) -> dict[str, Any]:
    watch.progress("writing", 0, 0)
    found = model.export_gguf(out, kind=options.format, examples=_asked())
    return {
        "format": options.format,
        "files": [{"name": file, "bytes": size} for file, size in found.files.items()],
        "read_back": found.agreement.as_json(),
        "largest_relative_difference": found.largest_relative_difference,
        "same_tokens": found.same_tokens,
        "found": list(found.sentences),
    }


def _asked() -> list[Conversation]:
    return [Conversation.asking(question) for question, _ in pairs()[: bundle.READ_BACK]]
