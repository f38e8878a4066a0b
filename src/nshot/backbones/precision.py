"""Which number format is faster on this machine: measured once, not asked for."""

from __future__ import annotations

import os
import platform
import sys
import time
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from nshot.backbones.cache import recall, remember

if TYPE_CHECKING:
    import torch

# bf16 has 8 bits of precision: it has to pay for that.
_WORTH_IT = 1.3
_SUBJECT = "precision"
# The shapes of one layer of a small encoder: tokens of a batch x (in, out).
_TOKENS = 2048
_SHAPES = ((384, 1152), (384, 1536), (1536, 384))
_SECONDS_PER_FORMAT = 0.12

FEW_COMPILED_PRODUCTS = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "32", "LRU_CACHE_CAPACITY": "32"}
"""Environment of a process that embeds a stream of texts.

Batches come in ever other sizes; oneDNN and the layer above it in PyTorch each keep a compiled product for each of the
last 1,024 sizes: hundreds of megabytes, and nothing is faster for it. Read when torch first multiplies.
"""


def keep_few_products() -> None:
    """Set `FEW_COMPILED_PRODUCTS` for this process, where the person who started it has not set it otherwise."""
    for name, value in FEW_COMPILED_PRODUCTS.items():
        os.environ.setdefault(name, value)


def available_threads() -> int:
    """Return how many processor threads this process may use."""
    stated = os.environ.get("OMP_NUM_THREADS", "")
    allowed = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return min(int(stated), allowed) if stated.isdigit() and int(stated) > 0 else allowed


def measured(device: str = "cpu", threads: int | None = None) -> str:
    """Return ``bf16`` where it is at least 1.3 times as fast as ``fp32`` on this device, else ``fp32``.

    Takes under half a second the first time; the answer is kept per processor, torch version and threads.

    Args:
        device: A torch device name.
        threads: Processor threads; those of this process if None.
    """
    return _measured(device, threads or available_threads())


@cache
def _measured(device: str, threads: int) -> str:
    key = f"{_processor(device)}|torch {version('torch')}|{threads} threads"
    seen = recall(_SUBJECT, key)
    if isinstance(seen, dict) and seen.get("precision") in ("fp32", "bf16"):
        return str(seen["precision"])
    gain = _gain(device, threads)
    answer = "bf16" if gain >= _WORTH_IT else "fp32"
    remember(_SUBJECT, key, {"precision": answer, "bf16_gain": round(gain, 2)})
    return answer


def _processor(device: str) -> str:
    if device != "cpu":
        import torch

        return torch.cuda.get_device_name(device) if device.startswith("cuda") else device
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    # Virtual machines of one name differ in what they pass through: the features belong to the name.
    facts = {line.split(":", 1)[0].strip(): line.split(":", 1)[1].strip() for line in lines if ":" in line}
    features = "bf16" if "avx512_bf16" in facts.get("flags", "") else ""
    features += "+amx" if "amx_bf16" in facts.get("flags", "") else ""
    return f"{facts.get('model name', platform.machine())} {facts.get('model', '')} {features}".strip()


def _gain(device: str, threads: int) -> float:
    """Return how many times faster bf16 is; the two take turns, so that a disturbance hits both."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        work = {kind: _matrices(kind, device) for kind in (torch.float32, torch.bfloat16)}
        best = {kind: _seconds(pairs, device) for kind, pairs in work.items()}  # also warms up
        end = time.perf_counter() + 2 * _SECONDS_PER_FORMAT
        while time.perf_counter() < end:
            for kind, pairs in work.items():
                best[kind] = min(best[kind], _seconds(pairs, device))
    finally:
        torch.set_num_threads(before)
    return best[torch.float32] / best[torch.bfloat16]


def _matrices(kind: torch.dtype, device: str) -> list[tuple[torch.Tensor, torch.Tensor]]:
    import torch

    return [
        (torch.ones(_TOKENS, wide, dtype=kind, device=device), torch.ones(out, wide, dtype=kind, device=device))
        for wide, out in _SHAPES
    ]


def _seconds(pairs: list[tuple[torch.Tensor, torch.Tensor]], device: str) -> float:
    import torch

    start = time.perf_counter()
    with torch.inference_mode():
        for tokens, weight in pairs:
            torch.nn.functional.linear(tokens, weight)
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    return time.perf_counter() - start
