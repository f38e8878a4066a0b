"""Where and with how many threads a network computes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nshot.core import EnvironmentProblem


def chosen_device(asked: str) -> str:
    """Return the torch device that computes.

    Args:
        asked: A torch device name, or ``auto``: a GPU where there is one.

    Raises:
        EnvironmentProblem: A GPU was asked for and there is none.
    """
    import torch

    has_gpu = torch.cuda.is_available()
    if asked.startswith("cuda") and not has_gpu:
        raise EnvironmentProblem(
            f"The device '{asked}' was asked for, and this PyTorch ({torch.__version__}) sees no CUDA "
            "GPU. Leave --device out to compute on the processor."
        )
    if asked != "auto":
        return asked
    return "cuda" if has_gpu else "cpu"


@contextmanager
def with_threads(wanted: int | None) -> Iterator[None]:
    """Compute with this many threads, then with as many as before."""
    import torch

    before = torch.get_num_threads()
    if wanted is None or wanted == before:
        yield
        return
    torch.set_num_threads(wanted)
    try:
        yield
    finally:
        torch.set_num_threads(before)
