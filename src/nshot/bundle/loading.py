"""Opening a bundle that may come from a stranger: everything is verified before anything is used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nshot import methods
from nshot.bundle.manifest import FORMAT, MANIFEST, MODEL_CONFIG, MODEL_WEIGHTS, SCHEMA, BundleInfo, Manifest
from nshot.bundle.saving import previous_of
from nshot.bundle.state_files import read_json, read_state
from nshot.core import (
    Backbone,
    BackboneRef,
    Example,
    Growable,
    ModelError,
    NshotError,
    OptionError,
    OutOfMemoryError,
    Predictor,
    State,
    Task,
    UnsupportedError,
)
from nshot.spec import Method

_LONGEST_REASON = 500


@dataclass(frozen=True)
class Bundle:
    """A saved model, opened.

    Attributes:
        manifest: What it says about itself.
        task: What it answers.
        method: The method that made it, with its options.
        predictor: What answers.
    """

    manifest: Manifest
    task: Task
    method: Method
    predictor: Predictor

    @property
    def about(self) -> BundleInfo:
        """What `save` needs to write it again; a score that no longer holds is left out there."""
        return self.manifest.about()

    def with_label(self, label: str, description: str | None = None, examples: Sequence[Example] = ()) -> Bundle:
        """Return a bundle that also answers `label`, or that knows more of it; its score has to be measured anew.

        Args:
            label: The new label, or one of the task's that gets further examples.
            description: What it means, for methods that read names.
            examples: Labelled examples of it.

        Raises:
            UnsupportedError: The method has to be fitted again for a new label.
        """
        if not isinstance(self.predictor, Growable):
            raise UnsupportedError(
                f"{self.method.method_name()} has to be fitted again for a new label: nshot fit with all examples."
            )
        grown = {"score": None, "model_n_labels": self.manifest.model_n_labels + len(examples)}
        return replace(
            self,
            manifest=self.manifest.model_copy(update=grown),
            task=self.task.with_label(label, description),
            predictor=self.predictor.with_label(label, description, examples),
        )


def load(folder: Path, open_backbone: Callable[[BackboneRef], Backbone]) -> Bundle:
    """Return the model saved in `folder`.

    Nothing in the folder is executed; a method named there must be one that is installed here.

    Args:
        folder: What `save` wrote.
        open_backbone: Opens the backbones that the manifest lists, and only those are asked for.

    Raises:
        ModelError: It is no saved model, was written by a newer version, is damaged, or its backbone has other weights.
    """
    folder = _where(folder)
    manifest = read_manifest(folder)
    method = _method(folder, manifest)
    task = manifest.task.task()
    state = read_state(folder, manifest.files)
    try:
        predictor = method.restore(task, state, _verified(folder, manifest, state, open_backbone))
    except NshotError:
        raise
    except MemoryError as error:
        raise OutOfMemoryError(f"There is not enough memory for {folder}, or nshot has not saved it.") from error
    except Exception as error:
        # The hashes hold, so somebody wrote a state that this method never writes: it may stumble over it anywhere.
        raise ModelError(
            f"{folder} is not a model that {manifest.method.name} has saved "
            f"({type(error).__name__}: {error!s:.{_LONGEST_REASON}}). "
            "Fit the model anew."
        ) from error
    return Bundle(manifest, task, method, predictor)


def read_manifest(folder: Path) -> Manifest:
    """Return what the saved model in `folder` says about itself; its other files are not touched.

    Raises:
        ModelError: There is none, it is damaged, or of a version that this nshot does not know.
    """
    folder = _where(folder)
    path = folder / MANIFEST
    if not path.exists():
        raise ModelError(
            f"{folder} holds no saved model: {MANIFEST} is missing. "
            "Name the folder that nshot wrote, such as tickets.nshot/model."
        )
    record = read_json(path)
    if record.get("format") != FORMAT:
        raise ModelError(f"{path} is not the manifest of an nshot model. Name the folder that nshot wrote.")
    if record.get("schema") != SCHEMA:
        raise ModelError(
            f"{path} has the schema {record.get('schema')!r:.40}, and this nshot reads {SCHEMA}. "
            "Install the nshot version that wrote it, or a newer one."
        )
    try:
        return Manifest.parse(record)
    except OptionError as error:
        raise ModelError(
            f"{path} is damaged, or a newer nshot wrote it: {error!s:.{_LONGEST_REASON}} "
            "Copy the whole folder again, or install the nshot version that wrote it."
        ) from error


def _where(folder: Path) -> Path:
    """Return `folder`, or the old bundle beside it where a save was killed between its two renames."""
    previous = previous_of(folder.expanduser().absolute())
    return previous if not folder.exists() and previous.is_dir() else folder


def _method(folder: Path, manifest: Manifest) -> Method:
    recorded = manifest.method
    if recorded.name not in methods.names():
        raise ModelError(
            f"{folder} was made by the method '{recorded.name}', which is not installed here. "
            f"Install the package that brings it. Installed: {', '.join(methods.names())}."
        )
    kind = methods.get(recorded.name)
    if recorded.version > kind.version:
        raise ModelError(
            f"{folder} was made by version {recorded.version} of {recorded.name}, and version {kind.version} is "
            "installed here. Install a newer nshot."
        )
    try:
        return kind.parse(recorded.options)
    except OptionError as error:
        raise ModelError(
            f"{folder} has options that {recorded.name} does not know here: {error!s:.{_LONGEST_REASON}}"
        ) from error


def _verified(
    folder: Path, manifest: Manifest, state: State, open_backbone: Callable[[BackboneRef], Backbone]
) -> Callable[[BackboneRef], Backbone]:
    listed = {record.ref for record in manifest.backbones}
    # All of the network was trained, and lies here: the model that it began as need not be on this machine.
    is_whole = {MODEL_CONFIG, MODEL_WEIGHTS} <= set(manifest.files)
    replaced = state.settings.get("backbone") if is_whole else None

    def open_listed(ref: BackboneRef) -> Backbone:
        if ref not in listed:
            raise ModelError(f"{folder} asks for the backbone {ref.id}, which its manifest does not list.")
        if ref.as_json() == replaced:
            return open_backbone(BackboneRef(str(folder.absolute())))
        backbone = open_backbone(ref)
        if ref.sha256 is not None and backbone.ref.sha256 != ref.sha256:
            raise ModelError(
                f"{folder} was made with {ref.id} of the hash {ref.sha256}, and the one found here has "
                f"{backbone.ref.sha256}. Its answers would be others: fetch the recorded weights or fit anew."
            )
        return backbone

    return open_listed
