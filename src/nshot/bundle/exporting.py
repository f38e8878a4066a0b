"""A language model as other programs want it: a folder of transformers or an adapter of peft, and nothing of nshot's.

::

    out/
      config.json, generation_config.json, model.safetensors     the network
      tokenizer.json, ..., chat_template.jinja                   how texts and conversations become tokens
      Modelfile                                                  the same for Ollama: ollama create NAME -f Modelfile
      README.md                                                  for people

An adapter has ``adapter_config.json`` and ``adapter_model.safetensors`` instead of the network and the Modelfile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nshot.backbones.chat_format import PLAIN_TEMPLATE
from nshot.bundle.agreement import Agreement
from nshot.bundle.card import export_card
from nshot.bundle.manifest import ADAPTER_CONFIG, CARD, MODEL_CONFIG, MODEL_FILES, BundleInfo
from nshot.bundle.round_trip import by_transformers_too, written
from nshot.bundle.saving import in_place_of, references
from nshot.bundle.state_files import write_data
from nshot.core import (
    SYSTEM,
    Example,
    HandsOver,
    OutputError,
    Predictor,
    State,
    Task,
    TrainsToWrite,
    UnsupportedError,
)
from nshot.training.writing import ModelWriter

MODELFILE = "Modelfile"
_TEMPLATE = "chat_template.jinja"


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        files: Size of each file in bytes, by name.
        is_adapter: Whether it needs the model that it was trained on.
        agreement: How far transformers, opening it, answers like the model that was exported.
    """

    files: dict[str, int]
    is_adapter: bool
    agreement: Agreement


def write_model_folder(
    folder: Path,
    *,
    method: str,
    task: Task,
    predictor: Predictor,
    about: BundleInfo,
    merged: bool,
    examples: Sequence[Example],
) -> Exported:
    """Write a fitted language model to `folder`; transformers opens it and has to answer like `predictor`.

    Args:
        folder: Where; must not exist, or be empty.
        method: What made the model.
        task: With what is said before every prompt.
        predictor: A model that was trained to write.
        about: Score and data, for the README.
        merged: An adapter is merged into the model that it was trained on: the folder needs nothing else.
        examples: What to ask for the check.

    Raises:
        UnsupportedError: It is no language model that was trained.
        OutputError: The disk refuses, or there is something in the folder.
        ModelError: transformers answers otherwise; nothing is left.
    """
    folder = require_empty(folder)
    writer, state = _trained(predictor, method)
    is_adapter = ADAPTER_CONFIG in state.blobs and not merged
    data = _merged(writer) if ADAPTER_CONFIG in state.blobs and merged else state
    with in_place_of(folder) as writing:
        files = {name: content for name, content in data.blobs.items() if name in MODEL_FILES}
        write_data(writing, State(tensors=data.tensors, blobs=files), method)
        card = export_card(folder.name, method, task, about, references(state.settings), files)
        (writing / CARD).write_text(card, encoding="utf-8", errors="replace")
        if not is_adapter:
            (writing / MODELFILE).write_text(_modelfile(writer, files), encoding="utf-8", errors="replace")
        agreement = by_transformers_too(Agreement.over(examples), writing, writer, examples, written(writer, examples))
        sizes = {path.name: path.stat().st_size for path in sorted(writing.iterdir())}
    return Exported(sizes, is_adapter, agreement)


def require_empty(folder: Path) -> Path:
    """Return the whole path of a folder in which nothing would be lost.

    Raises:
        OutputError: There is something in it.
    """
    folder = folder.expanduser().resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"{folder} holds something already, which would be lost. Name another folder.")
    return folder


def _merged(writer: ModelWriter) -> State:
    """Return the whole model, whose network the adapter is merged into already, as that is how it writes."""
    from nshot.training.decoders import weights_of

    model: object = writer.model
    if not isinstance(model, HandsOver) or not isinstance(model, TrainsToWrite):
        raise UnsupportedError(f"{writer.model.ref.name} cannot be written as a folder of transformers.")
    return State(tensors=weights_of(model.causal_module()), blobs=model.files_for_saving())


def _trained(predictor: Predictor, method: str) -> tuple[ModelWriter, State]:
    state = predictor.state()
    if isinstance(predictor, ModelWriter) and {MODEL_CONFIG, ADAPTER_CONFIG} & set(state.blobs):
        return predictor, state
    if isinstance(predictor, ModelWriter):
        raise UnsupportedError(
            f"{method} trains no weights, so there is nothing to export: its model is {predictor.model.ref.id} as it "
            "is. Export a model that was trained: sft or sft_lora."
        )
    raise UnsupportedError(f"{method} makes no language model, and only these can be exported so far.")


def _modelfile(writer: ModelWriter, files: dict[str, bytes]) -> str:
    """Return what Ollama needs beside the folder (https://docs.ollama.com/modelfile).

    Ollama knows the common chat templates by itself; only the plain one has to be told.
    """
    lines = ["FROM .", f"PARAMETER temperature {writer.decoding.temperature:g}"]
    lines.append(f"PARAMETER num_predict {writer.decoding.max_new_tokens}")
    lines += [f"PARAMETER stop {_quoted(text)}" for text in writer.decoding.stop]
    told = "\n\n".join(message.content for message in writer.before if message.role == SYSTEM)
    if told:
        lines.append(f"SYSTEM {_quoted(told)}")
    if files.get(_TEMPLATE, b"").decode().endswith(PLAIN_TEMPLATE):
        lines.append('TEMPLATE """{{ if .System }}{{ .System }}\n\n{{ end }}{{ .Prompt }}\n{{ .Response }}"""')
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return '"""' + text.replace('"""', "'''") + '"""'
