"""Opening a bundle that may come from a stranger: everything is verified before anything is used."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from nshot import methods
from nshot.bundle.growing import LabelGiven, grow
from nshot.bundle.manifest import FORMAT, MANIFEST, MODEL_CONFIG, MODEL_WEIGHTS, SCHEMA, BundleInfo, Manifest
from nshot.bundle.saving import previous_of
from nshot.bundle.state_files import read_json, read_state
from nshot.core import (
    Backbone,
    BackboneRef,
    ModelError,
    NshotError,
    OptionError,
    OutOfMemoryError,
    Predictor,
    State,
    Task,
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
        sha256: Hash of its manifest, which has the hashes of all other files; None: it does not come from a disk.
    """

    manifest: Manifest
    task: Task
    method: Method
    predictor: Predictor
    sha256: str | None = None

    @property
    def about(self) -> BundleInfo:
        """What `save` needs to write it again; a score that no longer holds is left out there."""
        return self.manifest.about()

    def grown(self, given: LabelGiven) -> Bundle:
        """Return a bundle that also answers a label, or that knows more of it; its score has to be measured anew.

        Args:
            given: A new label, or one of the task's, with what is known of it.

        Raises:
            NshotError: As `nshot.bundle.growing.grow`.
        """
        found = grow(self.method, self.task, self.predictor, self.manifest, given, self.sha256)
        return replace(self, manifest=found.about, task=found.task, predictor=found.predictor)


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
    return Bundle(manifest, task, method, predictor, manifest_sha256(folder))


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


def manifest_sha256(folder: Path) -> str:
    """Return the hash of the manifest in `folder`: two models are the same exactly where theirs are.

    Raises:
        ModelError: There is none.
    """
    path = _where(folder) / MANIFEST
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}. Name the folder that nshot wrote.") from error


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
