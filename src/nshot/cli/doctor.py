"""``nshot doctor``: what this machine can do."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from nshot.cli.screen import print_json

_PACKAGES = ("nshot", "torch", "transformers", "peft", "scikit-learn", "pyarrow", "tokenizers")
_FEATURES = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8", "asimd", "bf16")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
def command(as_json: bool) -> None:
    """Show what this machine can do: processor, memory, GPU, cache, models, online or not."""
    facts = _facts()
    if as_json:
        print_json(facts)
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, value in facts.items():
        shown = ", ".join(f"{key} {item}" for key, item in value.items()) if isinstance(value, dict) else value
        table.add_row(name.replace("_", " "), str(shown))
    Console(file=sys.stdout, highlight=False).print(table)


def _facts() -> dict[str, Any]:
    import psutil
    import torch

    from nshot.backbones import FeatureCache, known
    from nshot.backbones.precision import available_threads, measured

    memory = psutil.virtual_memory()
    info = FeatureCache().info()
    threads = available_threads()
    gpus = (
        [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    )
    return {
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "processor": _processor(),
        "threads": threads,
        "features": ", ".join(_features()) or "none that matter",
        "precision": f"{measured('cpu', threads)} (measured)",
        "memory": f"{memory.total / 2**30:.1f} GiB, {memory.available / 2**30:.1f} GiB free",
        "gpu": ", ".join(gpus) or "none",
        "disk": f"{shutil.disk_usage(Path.cwd()).free / 2**30:.1f} GiB free here",
        "cache": f"{info.folder}: {info.used_bytes / 1e6:,.1f} MB of at most {info.limit_bytes / 1e9:,.1f} GB",
        "models": ", ".join(model.ref.id for model in known()),
        "hub": _hub(),
        "packages": {name: _version(name) for name in _PACKAGES},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _features() -> list[str]:
    try:
        words = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return []
    return [name for name in _FEATURES if name in words]


def _hub() -> str:
    """Say whether models can be downloaded; asks the hub once, briefly."""
    import socket

    if os.environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"}:
        return "offline (HF_HUB_OFFLINE is set); local models work"
    try:
        socket.create_connection(("huggingface.co", 443), timeout=2).close()
    except OSError:
        return "not reachable; local models work"
    return "reachable"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"
