"""``nshot predict``: answer new examples with a saved model, in bounded memory."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nshot.backbones.remote_options import RemoteOptions
from nshot.cli.flags import flags, given
from nshot.core import ExampleError, Interrupted, NshotError, TaskKind
from nshot.data.options import ReadOptions

if TYPE_CHECKING:
    from nshot.api import Model
    from nshot.data.reading import InputBatch

_OF_TRAINING = (
    "label",
    "task",
    "instruction",
    "group",
    "time",
    "labels",
    "columns",
    "anomalies",
    "normal",
    "separator",
    "empty",
)
"""What was settled when the model was fitted."""

_EPILOG = """\b
Examples:
  nshot predict tickets.nshot/model new.csv --out answers.csv
  echo "where is my parcel" | nshot predict tickets.nshot/model -
  nshot predict tickets.nshot/model new.parquet --out answers.parquet --all"""


@click.command(epilog=_EPILOG)
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(allow_dash=True))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where to write: csv, tsv, jsonl or parquet by the ending; standard output unless given.",
)
@click.option("--all", "every_label", is_flag=True, help="Also write the probability of every label.")
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="Processor threads; all cores unless given.")
@click.option("--quiet", "-q", is_flag=True, help="Show no progress.")
@flags(ReadOptions, RemoteOptions, without=_OF_TRAINING)
def command(
    model: Path, data: str, out: Path | None, every_label: bool, threads: int | None, quiet: bool, **values: Any
) -> None:
    """Answer the examples in DATA (a table, or - for standard input: one text per line) with MODEL.

    Writes the columns of the input with the answer added: the prediction and its probability; of several labels all
    that apply; a predicted number; the
    anomaly score, and whether it tells an anomaly; the group; the text, and whether it ended by itself; or how many
    bits the example takes.
    """
    from nshot import api
    from nshot.backbones import keep_few_products
    from nshot.data.reading import stream_inputs
    from nshot.data.writing import unfinished, writing

    keep_few_products()
    options = given(values)
    remote = {name: options.pop(name) for name in RemoteOptions.model_fields if name in options}
    loaded = api.load(model, threads=threads, remote=remote)
    writes = loaded.task.kind == TaskKind.GENERATE
    reading = ReadOptions.parse(options)
    if writes:
        reading = reading.model_copy(update={"task": "generate"})
    stream = stream_inputs(
        data,
        loaded.about.text_columns,
        reading,
        row_columns=loaded.row_columns,
        batch_rows=loaded.rows_at_once,
    )
    done = 0
    try:
        with writing(out, stream, keeps_unfinished=writes, separator=loaded.about.separator) as writer:
            for batch in stream.batches:
                writer.write(batch, _answers(loaded, batch, every_label=every_label))
                done += len(batch)
                if not quiet and sys.stderr.isatty():
                    click.echo(f"\r{done:,} answered", nl=False, err=True)
    except (KeyboardInterrupt, NshotError) as error:
        if writes and done:
            where = f"are in {unfinished(out)}" if out is not None and str(out) != "-" else "were written"
            click.echo(f"\nThe {done:,} answers that were finished {where}.", err=True)
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted("Stopped. The same command starts over.") from None
        if isinstance(error, ExampleError):
            raise error.at(done + error.position) from None
        raise
    if not quiet and sys.stderr.isatty():
        click.echo(f"\r{done:,} answered" + (f", written to {out}" if out else ""), err=True)


def _answers(model: Model, batch: InputBatch, *, every_label: bool) -> dict[str, Any]:
    """Return what is written beside the columns of the input, by column."""
    answer = model.answer(batch.examples)
    if answer.texts is not None:
        written: dict[str, Any] = {"prediction": list(answer.texts)}
        return written if answer.stopped is None else {**written, "stopped": list(answer.stopped)}
    if answer.spans is not None:
        pairs = zip(batch.examples, answer.spans, strict=True)
        return {"spans": [[span.as_json(text) for span in spans] for text, spans in pairs]}
    if answer.scores is not None:
        told = model.told_anomalies(answer)
        return {"score": answer.scores.tolist(), **({} if told is None else {"anomaly": told})}
    if model.task.kind is TaskKind.CLUSTER:
        return {"group": list(answer.labels or ())}
    for name, numbers in (("prediction", answer.values), ("bits", answer.bits)):
        if numbers is not None:
            return {name: numbers.tolist()}
    answers: dict[str, Any] = {"prediction": list(answer.labels or ())}
    if answer.probabilities is not None:
        if model.task.kind is not TaskKind.TAG:
            answers["probability"] = answer.probabilities.max(axis=1).tolist()
        if every_label:
            for column, label in enumerate(model.task.labels):
                answers[f"probability_{label}"] = answer.probabilities[:, column].tolist()
    return answers
