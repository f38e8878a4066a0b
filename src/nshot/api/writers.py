"""Opening a model that writes: one that was saved, or a pre-trained one as it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nshot import bundle, methods, serving
from nshot.backbones import open_backbone
from nshot.backbones.remote_options import RemoteAccess
from nshot.bundle.manifest import MANIFEST
from nshot.core import Backbone, BackboneRef, Dataset, FitContext, OptionError, Task, TaskKind
from nshot.study.options import ComputingOptions


def open_writer(model: str, options: ComputingOptions, remote: RemoteAccess | None) -> serving.Served:
    """Return a model that writes, under the name that people know it by.

    Args:
        model: Folder of a saved model; or a folder, hub id or address of a pre-trained one, which is taken as it is.
        options: How it computes.
        remote: What is allowed of models behind an address; None: there may be none.

    Raises:
        ModelError: There is no such model, or it is damaged.
        OptionError: It is behind an address, and may not be.
        UnsupportedError: It does not write.
    """
    opened = opener(options, remote)
    folder = Path(model).expanduser()
    if (folder / MANIFEST).is_file():
        return serving.served(name_of(folder), bundle.load(folder, opened).predictor)
    method = methods.build("prompt")
    nothing = Dataset(())
    task = Task(TaskKind.GENERATE)
    context = FitContext(objective=lambda targets, prediction: 0.0)
    backbone = opened(BackboneRef(model))
    return serving.served(backbone.ref.name, method.fit(task, nothing, nothing, backbone, context))


def opener(options: ComputingOptions, remote: RemoteAccess | None) -> Callable[[BackboneRef], Backbone]:
    """Return what opens pre-trained models; they keep no vectors.

    Args:
        options: How they compute.
        remote: What is allowed of models behind an address; None: there may be none.
    """

    def opened(ref: BackboneRef) -> Backbone:
        if ref.is_remote and remote is None:
            raise OptionError(
                f"{ref.name} is behind an address already, and only models of this machine are offered. Point the "
                "programs that ask to that address, or name a local model."
            )
        return open_backbone(
            ref, precision=options.precision, device=options.device, threads=options.threads, remote=remote
        )

    return opened


def name_of(folder: Path) -> str:
    """Return the name that people know a saved model by: that of its folder, or of a comparison's output."""
    whole = folder.resolve()
    return whole.parent.stem if whole.name == "model" else whole.name
