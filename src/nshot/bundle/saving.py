"""Writing a bundle so that a reader only ever sees the old one or the new one."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import platform
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from nshot import methods
from nshot.bundle.card import model_card
from nshot.bundle.manifest import (
    BLOBS,
    CARD,
    FORMAT,
    MANIFEST,
    MODEL_FILES,
    SCHEMA,
    SETTINGS,
    TRAINING,
    WEIGHTS,
    BackboneRecord,
    BundleInfo,
    Manifest,
    MeasuredScore,
    MethodRecord,
    TaskRecord,
)
from nshot.bundle.state_files import read_json, record_of, write_state
from nshot.core import BackboneRef, ModelError, OptionError, OutputError, Predictor, State, Task
from nshot.spec import Method

_OURS = frozenset({MANIFEST, SETTINGS, BLOBS, CARD, TRAINING, *WEIGHTS, *MODEL_FILES})
_PACKAGES = ("nshot", "numpy", "peft", "safetensors", "scikit-learn", "tokenizers", "torch", "transformers")
_ABANDONED_SECONDS = 3600.0
_PROBE_BYTES = 1 << 16
_HERE = -100  # AT_FDCWD of renameat2(2): paths as everywhere else
_EXCHANGE = 2  # RENAME_EXCHANGE


def save(
    folder: Path,
    *,
    method: Method,
    task: Task,
    predictor: Predictor,
    about: BundleInfo,
    training_page: str | None = None,
    check: Callable[[Path], None] = lambda _: None,
) -> None:
    """Write `predictor` to `folder`, replacing a saved model that lies there.

    The new files are written beside `folder`, flushed to the disk and put in place in one step: whoever is stopped
    in the middle leaves the old model whole.

    Args:
        folder: Where; created with its parents.
        method: The method that was fitted.
        task: The task it was fitted for, with the labels that were added since.
        predictor: What the fit returned.
        about: Score, data, precision. A score that was saved with another model than this is left out.
        training_page: HTML on how the training went, for people; None: no such file.
        check: Handed the folder with the new files before they are put in place; what it raises leaves the old model.

    Raises:
        OutputError: The disk refuses, or `folder` holds something else than a saved model.
        ModelError: The predictor holds something that has no data format, or its method is not registered, so that
            nobody could load it.
    """
    folder = folder.expanduser().resolve()
    name = method.method_name()
    if name not in methods.names() or methods.get(name) is not type(method):
        raise ModelError(
            f"{name} cannot be saved: nobody could load it, because it is not registered. "
            "Name its module in an entry point of the group 'nshot.methods'."
        )
    _refuse_foreign(folder)
    with in_place_of(folder) as writing:
        state = predictor.state()
        write_state(writing, state, name)
        manifest = _manifest(method, task, state, about, writing)
        # Escaped by json, so that a label that is no valid Unicode (half a surrogate pair) comes back as it was.
        head = {"format": FORMAT, "schema": SCHEMA}
        text = json.dumps({**head, **manifest.model_dump(mode="json", by_alias=True)}, indent=1)
        _refuse_unless_it_comes_back(name, text, manifest)
        (writing / MANIFEST).write_text(text + "\n", encoding="utf-8")
        (writing / CARD).write_text(model_card(folder.name, manifest), encoding="utf-8", errors="replace")
        if training_page is not None:
            (writing / TRAINING).write_text(training_page, encoding="utf-8", errors="replace")
        check(writing)


@contextlib.contextmanager
def in_place_of(folder: Path) -> Iterator[Path]:
    """Hand out an empty folder beside `folder`; left without an error, it takes the place of `folder` in one step.

    Raises:
        OutputError: The disk refuses; what lay there before is untouched.
    """
    writing = folder.with_name(f".{folder.name}.writing-{secrets.token_hex(4)}")
    try:
        writing.mkdir(parents=True)
        _sweep_abandoned(folder, writing)
        yield writing
        _flush(writing)
        _put_in_place(writing, folder)
    except OSError as error:
        raise _unwritable(folder, error) from error
    finally:
        shutil.rmtree(writing, ignore_errors=True)


def require_writable(folder: Path) -> None:
    """Raise now what `save` would raise after hours of fitting; leaves nothing behind.

    Raises:
        OutputError: The disk refuses, or `folder` holds something else than a saved model.
    """
    folder = folder.expanduser().resolve()
    _refuse_foreign(folder)
    made = [parent for parent in folder.parents if not parent.exists()]
    probe = folder.with_name(f".{folder.name}.writing-{secrets.token_hex(4)}")
    try:
        probe.mkdir(parents=True)
        file = probe / MANIFEST
        file.write_bytes(b" " * _PROBE_BYTES)
        _flush(probe)
    except OSError as error:
        raise _unwritable(folder, error) from error
    finally:
        shutil.rmtree(probe, ignore_errors=True)
        for parent in made:
            with contextlib.suppress(OSError):  # not made after all, or somebody else uses it by now
                parent.rmdir()


def _unwritable(folder: Path, error: OSError) -> OutputError:
    return OutputError(
        f"The model cannot be written to {folder}: {error.strerror or error}. "
        "Free some space or name another folder; what lay there before is untouched."
    )


def previous_of(folder: Path) -> Path:
    """Return where the old bundle waits while the new one is put in place, on systems that cannot swap folders."""
    return folder.with_name(f".{folder.name}.previous")


def _manifest(method: Method, task: Task, state: State, about: BundleInfo, folder: Path) -> Manifest:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    try:
        manifest = Manifest.parse(
            {
                **about.model_dump(),
                "created": datetime.now(UTC).replace(microsecond=0),
                "method": MethodRecord(
                    name=method.method_name(), version=method.version, options=method.model_dump(mode="json")
                ),
                "task": TaskRecord.of(task),
                "backbones": tuple(
                    BackboneRecord.of(ref, about.licences) for ref in sorted(set(references(state.settings)), key=repr)
                ),
                "packages": _packages(),
                "files": {path.relative_to(folder).as_posix(): record_of(path) for path in files},
            }
        )
    except OptionError as error:
        raise ModelError(f"{method.method_name()} cannot be saved: {error}") from error
    return manifest.model_copy(update={"score": _score_of_this_model(manifest)})


def _score_of_this_model(manifest: Manifest) -> MeasuredScore | None:
    """Return the score, or None where it was saved with another model and this one has grown out of that."""
    content = manifest.model_dump(mode="json", include={"method", "task", "files"})
    this = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    score = manifest.score
    if score is None or score.measured_for not in (None, this):
        return None
    return score.model_copy(update={"measured_for": this})


def _refuse_unless_it_comes_back(name: str, text: str, manifest: Manifest) -> None:
    """Raise before the old model is replaced by one that could not be loaded."""
    try:
        same = Manifest.parse(json.loads(text)) == manifest
    except OptionError:
        same = False
    if not same:
        raise ModelError(
            f"{name} cannot be saved: its options, labels or descriptions do not come back from json as they were. "
            "Look for texts that are no valid Unicode."
        )


def references(settings: Any) -> Iterator[BackboneRef]:
    """Find the backbones by the form of their records: a method may use two, or wrap a method that uses one."""
    if isinstance(settings, Mapping):
        if set(settings) - {"learnt"} == {"id", "revision", "sha256"}:
            yield BackboneRef.from_json(settings)
            yield from references(settings.get("learnt"))  # what a table learnt names the encoder of its texts
        else:
            for value in settings.values():
                yield from references(value)
    elif isinstance(settings, list | tuple):
        for value in settings:
            yield from references(value)


def _packages() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _refuse_foreign(folder: Path) -> None:
    """Raise if replacing `folder` would delete what is not ours."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise OutputError(f"The model cannot be written to {folder}: it is a file. Name another folder.")
    try:
        entries = {path.name for path in folder.iterdir()}
    except OSError as error:
        raise OutputError(f"The model cannot be written to {folder}: {error.strerror}. Name another folder.") from error
    if not entries:
        return
    foreign = sorted(entries - _OURS)
    if not foreign and (MANIFEST not in entries or not _is_bundle(folder)):
        foreign = sorted(entries)
    if foreign:
        raise OutputError(
            f"The model cannot be written to {folder}: it holds '{foreign[0]}', which is not part of a saved model "
            "and would be lost. Move it away or name another folder."
        )


def _is_bundle(folder: Path) -> bool:
    try:
        return read_json(folder / MANIFEST).get("format") == FORMAT
    except ModelError:
        return False


def _sweep_abandoned(folder: Path, writing: Path) -> None:
    """Delete what a killed process left beside `folder`; a save takes minutes, so an hour is long enough."""
    for path in folder.parent.glob(f".{folder.name}.writing-*"):
        if path != writing and time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
            shutil.rmtree(path, ignore_errors=True)


def _flush(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("r+b") as file:
                os.fsync(file.fileno())
        else:
            _flush_entries(path)
    _flush_entries(folder)


def _flush_entries(folder: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _put_in_place(writing: Path, folder: Path) -> None:
    if not folder.exists():
        writing.rename(folder)
    elif not _exchange(writing, folder):
        previous = previous_of(folder)
        shutil.rmtree(previous, ignore_errors=True)
        folder.rename(previous)
        try:
            writing.rename(folder)
        except OSError:
            previous.rename(folder)
            raise
        shutil.rmtree(previous, ignore_errors=True)
    _flush_entries(folder.parent)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step, where the system can; a rename onto a folder that is not empty is refused."""
    if sys.platform != "linux":
        return False
    library = ctypes.CDLL(None, use_errno=True)
    try:
        rename = library.renameat2
    except AttributeError:
        return False
    return bool(rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0)
