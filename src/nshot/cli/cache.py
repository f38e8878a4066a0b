"""``nshot cache``: the vectors that are kept between runs."""

from __future__ import annotations

import click

from nshot.backbones.cache import FeatureCache
from nshot.cli.screen import print_json


@click.command()
@click.option("--clear", is_flag=True, help="Empty it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
def command(clear: bool, as_json: bool) -> None:
    """Show how large the feature cache is and where it lies, or empty it."""
    cache = FeatureCache()
    if clear:
        cache.clear()
    info = cache.info()
    if as_json:
        print_json(
            {
                "folder": str(info.folder),
                "vectors": info.vectors,
                "bytes": info.used_bytes,
                "limit_bytes": info.limit_bytes,
            }
        )
        return
    click.echo(f"{info.folder}: {info.used_bytes / 1e6:,.1f} MB of at most {info.limit_bytes / 1e9:,.1f} GB")
