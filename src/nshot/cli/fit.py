"""``nshot fit``: one method, without a comparison."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from nshot import api
from nshot.cli.flags import everywhere, flags, given
from nshot.cli.screen import print_json

_EPILOG = """\b
Examples:
  nshot fit tickets.csv --method linear_probe --out model
  nshot fit tickets.csv --method full_finetune --set learning_rate=3e-5 --out model"""


@click.command(epilog=_EPILOG)
@click.argument("data", type=click.Path())
@flags(api.FitOptions)
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Folder for the model.")
@everywhere
def command(data: str, out: Path, as_json: bool, quiet: bool, **values: Any) -> None:
    """Adapt one model to all labelled rows of DATA by one method, and save it. It comes without a score."""
    import psutil

    started = time.perf_counter()
    model = api.fit(data, options=given(values))
    seconds = time.perf_counter() - started
    model.save(out)
    training = model.training
    if as_json:
        print_json(
            {
                "method": model.method,
                "n_labels": model.about.model_n_labels,
                "fit_seconds": round(seconds, 3),
                "examples_seen": training.get("examples_seen"),
                "examples_per_second": training.get("examples_per_second"),
                "peak_memory_bytes": _peak_memory(psutil.Process()),
                "model": str(out),
            }
        )
    elif not quiet:
        click.echo(f"{model.method} fitted on {model.about.model_n_labels:,} labels in {seconds:.1f} s: {out}")
        click.echo(f"Try it: nshot predict {out} -")


def _peak_memory(process: Any) -> int:
    try:
        import resource
    except ImportError:
        return int(process.memory_info().rss)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
