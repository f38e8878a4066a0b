"""What all models have in common whose weights are on this machine: where they lie, and how they are to compute."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cached_property

from nshot.backbones.computing import chosen_device, with_threads
from nshot.backbones.locate import Located
from nshot.core import BackboneRef, Progress, silent


class LocalModel:
    """A model in a folder, and what was asked of its computing."""

    def __init__(
        self,
        located: Located,
        *,
        precision: str = "auto",
        device: str = "auto",
        threads: int | None = None,
        trust_remote_code: bool = False,
        progress: Progress = silent,
    ) -> None:
        """Keep where the model is and how it is to compute; nothing is read.

        Args:
            located: Where the model is.
            precision: ``fp32``, ``bf16`` or ``auto`` (the faster one, see `precision.measured`).
            device: A torch device name, or ``auto``: a GPU where there is one.
            threads: Processor threads, or None for all that this process may use.
            trust_remote_code: Whether code that comes with the model may be run.
            progress: Told how far a long piece of work is.
        """
        self._located = located
        self._asked_precision = precision
        self._asked_device = device
        self._threads = threads
        self._trust_remote_code = trust_remote_code
        self._progress = progress

    @cached_property
    def ref(self) -> BackboneRef:
        """Return which model this is; the first call hashes the weights if nobody did before."""
        sha256 = self._located.wanted_sha256 or self._located.sha256()
        return BackboneRef(self._located.id, self._located.revision, sha256)

    @cached_property
    def device(self) -> str:
        """Return the torch device that computes.

        Raises:
            EnvironmentProblem: A GPU was asked for and there is none.
        """
        return chosen_device(self._asked_device)

    def computing(self) -> AbstractContextManager[None]:
        """Return the context in which this model's number of threads holds."""
        return with_threads(self._threads)
