"""``nshot predict``: answer new examples with a saved model, in bounded memory."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from nshot.cli.flags import flags, given
from nshot.data.options import ReadOptions

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
@flags(ReadOptions, without=("label", "group", "time", "labels"))
def command(
    model: Path, data: str, out: Path | None, every_label: bool, threads: int | None, quiet: bool, **values: Any
) -> None:
    """Answer the examples in DATA (a table, or - for standard input: one text per line) with MODEL.

    Writes the columns of the input with the prediction and its probability added.
    """
    from nshot import api
    from nshot.backbones import FEW_COMPILED_PRODUCTS
    from nshot.data.reading import stream_inputs
    from nshot.data.writing import writing

    for name, value in FEW_COMPILED_PRODUCTS.items():
        os.environ.setdefault(name, value)
    loaded = api.load(model, threads=threads)
    stream = stream_inputs(data, loaded.about.text_columns, ReadOptions.parse(given(values)))
    done = 0
    with writing(out, stream) as writer:
        for batch in stream.batches:
            answer = loaded.answer(batch.texts)
            answers: dict[str, Any] = {"prediction": list(answer.labels or ())}
            if answer.probabilities is not None:
                answers["probability"] = answer.probabilities.max(axis=1)
                if every_label:
                    for column, label in enumerate(loaded.task.labels):
                        answers[f"probability_{label}"] = answer.probabilities[:, column]
            writer.write(batch, answers)
            done += len(batch.texts)
            if not quiet and sys.stderr.isatty():
                click.echo(f"\r{done:,} answered", nl=False, err=True)
    if not quiet and sys.stderr.isatty():
        click.echo(f"\r{done:,} answered" + (f", written to {out}" if out else ""), err=True)
