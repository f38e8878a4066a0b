"""Opening a model that writes: one that was saved, or a pre-trained one as it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nshot import bundle, methods, serving
from nshot.backbones import open_backbone
from nshot.backbones.remote_options import RemoteAccess
from nshot.bundle.manifest import MANIFEST
from nshot.core import Backbone, BackboneRef, Dataset, FitContext, OptionError, Task, TaskKind


def opens(
    *, precision: str, device: str, threads: int | None, remote: RemoteAccess | None
) -> Callable[[BackboneRef], Backbone]:
    """Return what opens pre-trained models.

    Args:
        precision: Number format of the network.
        device: Where it runs.
        threads: Processor threads; None: all.
        remote: What is allowed of models behind an address; None: there may be none.
    """

    def opened(ref: BackboneRef) -> Backbone:
        if ref.is_remote and remote is None:
            raise OptionError(
                f"{ref.name} is behind an address already, and only models of this machine are offered. Point the "
                "programs that ask to that address, or name a local model."
            )
        return open_backbone(ref, precision=precision, device=device, threads=threads, remote=remote)

    return opened


def open_writer(model: str, opened: Callable[[BackboneRef], Backbone]) -> serving.Served:
    """Return a model that writes, under the name that people know it by.

    Args:
        model: Folder of a saved model; or a folder, hub id or address of a pre-trained one, which is taken as it is.
        opened: Opens pre-trained models.

    Raises:
        ModelError: There is no such model, or it is damaged.
        UnsupportedError: It does not write.
    """
    folder = Path(model).expanduser()
    if (folder / MANIFEST).is_file():
        found = bundle.load(folder, opened)
        own = folder.resolve().name
        return serving.served(folder.resolve().parent.stem if own == "model" else own, found.predictor)
    method = methods.build("prompt")
    nothing = Dataset(())
    task = Task(TaskKind.GENERATE)
    context = FitContext(objective=lambda targets, prediction: 0.0)
    backbone = opened(BackboneRef(model))
    return serving.served(backbone.ref.name, method.fit(task, nothing, nothing, backbone, context))
