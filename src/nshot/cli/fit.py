"""``nshot fit``: one method, without a comparison."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import click

from nshot import api, bundle
from nshot.cli.flags import everywhere, flags, given
from nshot.cli.screen import print_json, watching

_EPILOG = """\b
Examples:
  nshot fit tickets.csv --method linear_probe --out model
  nshot fit tickets.csv --method full_finetune --set learning_rate=3e-5 --out model
  nshot fit tickets.csv --method lora --out model --track tensorboard
  nshot fit chats.jsonl --method sft_lora --backbone Qwen/Qwen2.5-0.5B-Instruct --out model
  accelerate launch --multi_gpu -m nshot.cli fit tickets.csv --method full_finetune --out model

A training that was stopped (Ctrl-C, a crash, kill -9) goes on where it was when the same command is given again."""


@click.command(epilog=_EPILOG)
@click.argument("data", type=click.Path())
@flags(api.FitOptions)
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Folder for the model.")
@everywhere
def command(data: str, out: Path, as_json: bool, quiet: bool, **values: Any) -> None:
    """Adapt one model to the rows of DATA by one method, and save it. It comes without a score."""
    from nshot.training.distributed import is_main_process

    # A plain `kill` then ends the same way as Ctrl-C: what is worth keeping stays.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with watching(quiet=quiet or not is_main_process(), sure="about") as watch:
        model = api.fit(data, out=out, options=given(values), watch=watch)
    if not is_main_process():
        return
    if as_json:
        print_json(_record(model, out))
    elif not quiet:
        _tell(model, out)


def _record(model: api.Model, out: Path) -> dict[str, Any]:
    training, course = model.training, model.course
    agreement = course.agreement if course else None
    return {
        "method": model.method,
        "n_labels": model.about.model_n_labels,
        "fit_seconds": round(course.seconds, 3) if course else None,
        "resumed": bool(course and course.was_resumed),
        "steps": training.get("steps"),
        "examples_seen": training.get("examples_seen"),
        "examples_per_second": round(course.examples_per_second, 1) if course and course.examples_per_second else None,
        "learning_rate": training.get("learning_rate"),
        "restarts": training.get("restarts"),
        "micro_batch_halvings": training.get("micro_batch_halvings"),
        "final_loss": training["losses"][-1] if training.get("losses") else None,
        "peak_memory_bytes": _peak_memory(),
        "model": str(out),
        "training_page": str(out / bundle.TRAINING) if model.training_record() else None,
        **({"read_back": agreement.as_json()} if agreement else {}),
    }


def _tell(model: api.Model, out: Path) -> None:
    from nshot.report import training, wording

    took = f" in {model.course.seconds:.1f} s" if model.course else ""
    n = model.about.model_n_labels
    learnt = f"on {n:,} {wording.counted(model.task.kind, n)}" if n else "without labels"
    click.echo(f"{model.method} fitted {learnt}{took}: {out}")
    record = model.training_record()
    if record is not None:
        for said in training.sentences(record):
            click.echo(said)
        click.echo(f"How it went: {out / bundle.TRAINING}")
    if model.course and model.course.agreement:
        click.echo(model.course.agreement.sentence())
    click.echo(f"Try it: nshot predict {out} {'new.csv' if model.about.row_columns else '-'}")


def _peak_memory() -> int:
    try:
        import resource
    except ImportError:
        import psutil

        return int(psutil.Process().memory_info().rss)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
