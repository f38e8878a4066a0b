"""A model as a folder that answers without nshot: an ONNX graph, its tokenizer, its labels, and a script of ten lines.

::

    out/
      model.onnx          token ids and mask to the answer (and to the vector of each text), pooling and head included
      tokenizer.json      the library ``tokenizers`` makes the ids
      settings.json       labels, and what else the script needs to know
      predict.py          answers texts with onnxruntime, tokenizers and numpy alone
      README.md           for people, with what the check found
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from nshot.backbones.text_encoder import TextEncoder
from nshot.bundle.saving import references
from nshot.core import BackboneRef, MissingExtraError, OptionError, Predictor, Task, TaskKind, UnsupportedError
from nshot.training.readout import Readout, ReadsOut
from nshot.training.values import Scale

GRAPH, TOKENIZER, ABOUT, SCRIPT = "model.onnx", "tokenizer.json", "settings.json", "predict.py"
_OPSET = 18
_ANSWERS = {TaskKind.CLASSIFY: "probabilities", TaskKind.REGRESS: "value", TaskKind.DETECT: "score"}


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        network_bytes: What the numbers of the network take in float32.
        scale: Of the answers, where they are values.
        backbones: What the model was before.
    """

    network_bytes: int
    scale: Scale | None
    backbones: tuple[BackboneRef, ...]


def write(folder: Path, task: Task, predictor: Predictor, method: str, *, int8: bool) -> Written:
    """Write everything but the README into the existing, empty `folder`.

    Args:
        folder: Where.
        task: What the model answers.
        predictor: The fitted model.
        method: What made it, for messages.
        int8: Whether the matrices of the network are written in 8 bits.

    Raises:
        UnsupportedError: This model cannot be written so; the text says why, and what to do instead.
        MissingExtraError: What writes ONNX is not installed.
        OptionError: The model computes in less than float32.
    """
    encoder, readout = _parts(task, predictor, method)
    _require_installed()
    if encoder.precision != "fp32":
        raise OptionError(
            f"The model computes in {encoder.precision}, and what is written is compared with it in float32. "
            'Load it so: nshot.load(FOLDER, precision="fp32").'
        )
    from nshot.bundle.onnx_network import Answer, OnnxNetwork

    network = OnnxNetwork(encoder.module(), Answer(readout, task.labels)).eval()
    _write_graph(folder / GRAPH, network)
    if int8:
        _quantise(folder / GRAPH)
    (folder / TOKENIZER).write_text(encoder.tokenizer_json(), encoding="utf-8")
    (folder / ABOUT).write_text(json.dumps(_about(task, encoder), indent=1, ensure_ascii=False), encoding="utf-8")
    script = resources.files("nshot.bundle") / "predict_without_nshot.py"
    (folder / SCRIPT).write_text(script.read_text(encoding="utf-8"), encoding="utf-8")
    size = sum(value.numel() * value.element_size() for value in network.state_dict().values())
    return Written(size, readout.scale, tuple(references(predictor.state().settings)))


def _parts(task: Task, predictor: Predictor, method: str) -> tuple[TextEncoder, Readout]:
    """Return what makes the vectors, and what reads them.

    Raises:
        UnsupportedError: It is a model of another form.
    """
    if task.kind not in _ANSWERS:
        elsewhere = "--to huggingface or --to gguf" if task.kind is TaskKind.GENERATE else "nshot serve"
        raise UnsupportedError(
            f"ONNX is for models that answer a label, a number or an anomaly score, and {method} was fitted for the "
            f"task '{task.kind}'. For other programs use {elsewhere}."
        )
    if not isinstance(predictor, ReadsOut):
        raise UnsupportedError(
            f"{method} cannot be written as ONNX: its answers do not follow from one vector by a linear head. "
            "Of a text model, linear_probe, primed_probe, prototypes and every method that trains a network can. "
            "nshot serves every model: nshot serve MODEL."
        )
    readout = predictor.readout()
    if not isinstance(readout.encoder, TextEncoder):
        raise UnsupportedError(
            f"{method} here reads no texts, and only models of texts can be written as ONNX so far. "
            "nshot serves every model: nshot serve MODEL."
        )
    return readout.encoder, readout


def _require_installed() -> None:
    from importlib.util import find_spec

    missing = [name for name in ("onnx", "onnxruntime", "onnxscript") if find_spec(name) is None]
    if missing:
        raise MissingExtraError(f"Writing ONNX needs {' and '.join(missing)}: pip install 'nshot[export]'")


def _about(task: Task, encoder: TextEncoder) -> Mapping[str, Any]:
    settings = encoder.settings
    return {
        "answers": _ANSWERS[task.kind],
        "labels": list(task.labels) if task.kind is TaskKind.CLASSIFY else [],
        "prompt": settings.prompt,
        "lower": settings.lower,
        "padding": int(settings.config.get("pad_token_id") or 0),
        "longest_input_tokens": settings.max_tokens,
    }


def _write_graph(path: Path, network: Any) -> None:
    """Write the network with free numbers of texts and of tokens.

    Raises:
        UnsupportedError: torch cannot write this architecture.
    """
    import torch

    # The numbers of texts and tokens of the example must differ from each other and from one, or they count as fixed.
    ids = torch.ones((2, 7), dtype=torch.int64)
    mask = torch.ones_like(ids)
    mask[1, 4:] = 0
    axes = {0: torch.export.Dim("texts"), 1: torch.export.Dim("tokens")}
    try:
        with torch.no_grad(), _quiet():
            program = torch.onnx.export(
                network,
                (ids, mask),
                input_names=["input_ids", "attention_mask"],
                output_names=["answer", "vectors"],
                dynamic_shapes={"input_ids": axes, "attention_mask": axes},
                opset_version=_OPSET,
                dynamo=True,
                verbose=False,
            )
            if program is None:
                raise UnsupportedError("torch wrote no ONNX.")
            program.save(str(path), external_data=False)
    except (torch.onnx.errors.OnnxExporterError, torch.onnx.OnnxExporterError, RuntimeError) as error:
        first = str(error).strip().splitlines()[0]
        raise UnsupportedError(
            f"torch cannot write this architecture as ONNX: {first:.300} nshot serves it all the same: nshot serve."
        ) from error


def _quantise(path: Path) -> None:
    """Write the matrices of the network in 8 bits, a scale for each output; what they are multiplied by is scaled live.

    The head stays as it is: it is a thousandth of the size, and the answer is read off it. So does the table of word
    vectors, where 8 bits cost score and no time is won. Of the 8 bits 7 are used: processors without an instruction
    for such products would overflow with more, and the score measured here would not be the one there.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    graph = onnx.load(path)
    # What torch says of the shapes in between contradicts ONNX's own inference, which quantising runs.
    del graph.graph.value_info[:]
    onnx.save(graph, path)
    with _quiet():
        quantize_dynamic(
            path,
            path,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what torch and onnxruntime report of their inner workings off the screen."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
