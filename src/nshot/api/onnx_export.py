"""A model as an ONNX folder that is put in place only if it answers, and scores, like the model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nshot import metrics
from nshot.api.evaluating import EvaluateOptions, evaluate
from nshot.api.model import Model
from nshot.api.options import part_of
from nshot.core import Example, ModelError
from nshot.data.options import ReadOptions
from nshot.study.general_text import pairs
from nshot.study.watch import Watch

if TYPE_CHECKING:
    from nshot.api.exporting import ExportOptions
    from nshot.training.values import Scale

_MOST_COMPARED = 1_000
_TIMED = 128


def export_onnx(model: Model, out: Path, options: ExportOptions, watch: Watch) -> dict[str, Any]:
    """Write `model` to the folder `out` as ONNX, and return what is recorded of it.

    Args:
        model: Computes in float32.
        out: Where; must not exist, or be empty.
        options: What was asked for.
        watch: Shown what is going on.

    Raises:
        UnsupportedError: This model cannot be written so.
        MissingExtraError: What writes ONNX is not installed.
        ModelError: What was written answers, or scores, otherwise; nothing is left.
        OutputError: The disk refuses, or there is something in the folder.
    """
    from nshot.bundle.card import graph_card
    from nshot.bundle.exporting import require_empty
    from nshot.bundle.manifest import CARD
    from nshot.bundle.onnx_check import sentences
    from nshot.bundle.saving import in_place_of

    folder = require_empty(out)
    examples = _examples(model, options)
    with in_place_of(folder) as writing:
        watch.progress("writing the graph", 0, 0)
        written = model.write_onnx(writing, int8=options.int8)
        record: dict[str, Any] = {
            "int8": options.int8,
            "network_bytes": written.network_bytes,
            "files": [{"name": path.name, "bytes": path.stat().st_size} for path in sorted(writing.iterdir())],
            **_checked(model, writing, written.scale, examples, options, watch),
        }
        record["found"] = sentences(record)
        card = graph_card(
            folder.name,
            model.method,
            model.task,
            model.about,
            written.backbones,
            library="onnx",
            use=_USE,
            found=record["found"],
        )
        (writing / CARD).write_text(card, encoding="utf-8", errors="replace")
    return record


_USE = (
    "```bash",
    "pip install onnxruntime tokenizers numpy",
    'python predict.py "a text" "another text"',
    "```",
    "",
    "`model.onnx` takes `input_ids` and `attention_mask`, int64 of shape (texts, tokens), with padding behind the text "
    "and gives `answer` and the `vectors` that it is read off. `settings.json` names the labels in the order of the "
    "columns, and what stands before every text (`prompt`). nshot is not needed.",
)


def _examples(model: Model, options: ExportOptions) -> Sequence[Example]:
    """Return what is answered to compare: of the person's own rows, or texts about the world."""
    if options.data is None:
        return [*(text for pair in pairs() for text in pair), *model.task.labels[:_MOST_COMPARED]]
    from nshot.data.reading import Trained, read

    reading = part_of(ReadOptions, options).model_copy(update={"task": model.task.kind.value})
    source = read(options.data, reading, trained=Trained(model.about.text_columns, model.about.label_column))
    found = source.dataset.examples
    step = max(1, -(-len(found) // _MOST_COMPARED))
    return [found[at] for at in range(0, len(found), step)]


def _checked(
    model: Model, writing: Path, scale: Scale | None, examples: Sequence[Example], options: ExportOptions, watch: Watch
) -> dict[str, Any]:
    """Return how the folder answers, scores, and how fast.

    Raises:
        ModelError: Otherwise than the model, by more than was allowed.
    """
    from nshot.bundle import onnx_check
    from nshot.bundle.onnx_reading import OnnxModel

    graph = OnnxModel(writing, model.task, options.threads)
    exported = model.answered_by(graph)
    watch.progress("comparing answers", 0, 0)
    agreed = onnx_check.agreement(
        examples, model.answer(examples), graph.predict(examples), model.task, scale=scale, exact=not options.int8
    )
    script_texts = onnx_check.require_script(writing, examples, graph, scale=scale)
    score = None if options.data is None else _scored(model, exported, options, watch)
    watch.progress("measuring the speed", 0, 0)
    timed = list(examples[:_TIMED])
    return {
        "read_back": agreed.as_json(),
        "tolerance": None if options.int8 else onnx_check.TOLERANCE,
        "script_texts": script_texts,
        "score": score,
        "speed": {
            "nshot": onnx_check.speed(model.answer, timed).as_json(),
            "export": onnx_check.speed(graph.predict, timed).as_json(),
            "threads": options.threads,
        },
    }


def _scored(model: Model, exported: Model, options: ExportOptions, watch: Watch) -> dict[str, Any]:
    """Return the scores of both on the labelled rows, and their paired difference.

    Raises:
        ModelError: The export scores lower by more than was allowed.
    """
    reading = part_of(ReadOptions, options)
    asked = part_of(EvaluateOptions, reading)
    found = evaluate(model, options.data, exported, options=asked, watch=watch).record
    name = found["metric"]
    before, after = (entry["metrics"][name] for entry in found["models"])
    difference = found["difference"][name]
    metric = metrics.get(name)
    lost = -difference["mean"] if metric.higher_is_better else difference["mean"]
    allowed = options.tolerance * (abs(before["score"]) / 100 if metric.in_units else metric.point)
    record = {
        "data": found["data"],
        "n": found["n"],
        "metric": name,
        "model_score": before["score"],
        "model_interval": before["interval"],
        "score": after["score"],
        "interval": after["interval"],
        "difference": difference["mean"],
        "difference_interval": difference["interval"],
        "lost_at_most": allowed,
        "trained_on": any(entry["trained_on"] for entry in found["models"]),
    }
    if lost > allowed:
        low, high = difference["interval"] or (None, None)
        ends = "" if low is None else f" [{low:+.4f}, {high:+.4f}]"
        wrong = found["only_first_right"]
        where = "" if wrong is None else f" {wrong:,} rows are answered rightly by the model and wrongly by the export."
        raise ModelError(
            f"The export is not put in place: on {found['n']:,} rows of {found['data']} its {name} is "
            f"{after['score']:.4f}, and the model's {before['score']:.4f}; the difference is "
            f"{difference['mean']:+.4f}{ends}, and {allowed:.4g} may be lost.{where} Export without --int8, or allow "
            "more: --tolerance."
        )
    return record
