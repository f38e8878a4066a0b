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

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from nshot.backbones.chat_format import PLAIN_TEMPLATE
from nshot.bundle.agreement import Agreement
from nshot.bundle.card import export_card, graph_card
from nshot.bundle.manifest import ADAPTER_CONFIG, CARD, MODEL_CONFIG, MODEL_FILES, BundleInfo
from nshot.bundle.round_trip import by_transformers_too, written
from nshot.bundle.saving import in_place_of, references
from nshot.bundle.state_files import write_data
from nshot.core import (
    SYSTEM,
    Conversation,
    Example,
    HandsOver,
    MissingExtraError,
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
            (writing / MODELFILE).write_text(_modelfile(writer, files, "."), encoding="utf-8", errors="replace")
        agreement = by_transformers_too(Agreement.over(examples), writing, writer, examples, written(writer, examples))
        sizes = {path.name: path.stat().st_size for path in sorted(writing.iterdir())}
    return Exported(sizes, is_adapter, agreement)


@dataclass(frozen=True)
class ExportedGguf(Exported):
    """What was written as a file of GGUF.

    Attributes:
        largest_relative_difference: Of a number read back, as a share of the largest of its row.
        same_tokens: How many texts the rule of llama.cpp cuts into the same tokens; none where that was not looked at.
        sentences: What the check found, for people.
    """

    largest_relative_difference: float
    same_tokens: int
    sentences: tuple[str, ...]


def write_gguf_folder(
    folder: Path,
    *,
    method: str,
    task: Task,
    predictor: Predictor,
    about: BundleInfo,
    kind: str,
    examples: Sequence[Example],
) -> ExportedGguf:
    """Write a fitted language model as a file of GGUF to `folder`, with a Modelfile and a README.

    The file is read back number by number, and transformers, which reads such files by itself, has to answer like
    `predictor`.

    Args:
        folder: Where; must not exist, or be empty.
        method: What made the model.
        task: With what is said before every prompt.
        predictor: A model that was trained to write; an adapter is merged.
        about: Score and data, for the README.
        kind: Number format of the matrices: ``f32``, ``f16`` or ``q8_0``.
        examples: What to ask for the check.

    Raises:
        UnsupportedError: It is no language model that was trained, or none that llama.cpp runs from this.
        MissingExtraError: The package ``gguf`` is not installed.
        OutputError: The disk refuses, or there is something in the folder.
        ModelError: What was written is something else; nothing is left.
    """
    folder = require_empty(folder)
    writer, state = _trained(predictor, method)
    if find_spec("gguf") is None:
        raise MissingExtraError("Writing GGUF needs gguf: pip install 'nshot[export]'")
    from nshot.bundle import gguf_file
    from nshot.bundle.by_transformers import GgufReading

    data = _merged(writer)
    decoder = gguf_file.Decoder(folder.name, data.blobs, data.tensors)
    with in_place_of(folder) as writing:
        gguf_file.write(writing / gguf_file.FILE, decoder, kind)
        texts = [str(example.last if isinstance(example, Conversation) else example) for example in examples]
        share, same_tokens = gguf_file.require_the_same(writing / gguf_file.FILE, decoder, kind, texts)
        files = dict(data.blobs)
        (writing / MODELFILE).write_text(_modelfile(writer, files, gguf_file.FILE), encoding="utf-8", errors="replace")
        with tempfile.TemporaryDirectory() as beside:
            for name, content in files.items():
                (Path(beside) / name).write_bytes(content)
            reading = GgufReading(gguf_file.FILE, Path(beside), _GGUF_DIFFERENCES[kind])
            answers = written(writer, examples)
            agreement = by_transformers_too(Agreement.over(examples), writing, writer, examples, answers, reading)
        found = _gguf_sentences(kind, share, same_tokens, agreement)
        card = graph_card(
            folder.name,
            method,
            task,
            about,
            references(state.settings),
            library="gguf",
            use=_GGUF_USE,
            found=found,
        )
        (writing / CARD).write_text(card, encoding="utf-8", errors="replace")
        sizes = {path.name: path.stat().st_size for path in sorted(writing.iterdir())}
    return ExportedGguf(sizes, False, agreement, share, same_tokens, found)


_GGUF_DIFFERENCES = {"f32": 1e-3, "f16": 0.1, "q8_0": 0.5}
"""By how much a computation from such a file may differ, in nats per token and in logits."""
_GGUF_USE = (
    "```bash",
    "llama-cli -m model.gguf",
    "ollama create NAME -f Modelfile",
    "```",
)


def _gguf_sentences(kind: str, share: float, same_tokens: int, agreement: Agreement) -> tuple[str, ...]:
    read = f"Read back from the file ({kind}), its numbers differ by {share:.2g} of the largest of their row at most."
    joined = f"The rule by which llama.cpp joins tokens gives the same ones on {same_tokens} texts."
    rest = "llama.cpp itself was not run."
    return (read, agreement.by_transformers(), *([joined] if same_tokens else []), rest)


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
    raise UnsupportedError(
        f"{method} makes no language model, which is what such a folder is for. Many models of texts can be written "
        "with --to onnx, and every model can be served: nshot serve MODEL."
    )


def _modelfile(writer: ModelWriter, files: dict[str, bytes], model: str) -> str:
    """Return what Ollama needs beside the folder (https://docs.ollama.com/modelfile).

    Ollama knows the common chat templates by itself; only the plain one has to be told.

    Args:
        writer: What is exported.
        files: As in a folder of transformers.
        model: Where the network lies, as seen from the Modelfile.
    """
    place = model if model == "." else f"./{model}"
    lines = [f"FROM {place}", f"PARAMETER temperature {writer.decoding.temperature:g}"]
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
