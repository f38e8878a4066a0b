"""`push`: a folder that nshot wrote, to the Hugging Face hub."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from nshot.bundle.manifest import ADAPTER_CONFIG, CARD, MANIFEST, MODEL_CONFIG
from nshot.core import EnvironmentProblem, ModelError, OptionError
from nshot.spec import Spec

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_WRITTEN_BY_US = (MANIFEST, MODEL_CONFIG, ADAPTER_CONFIG, "model.onnx", "model.gguf")
_ADDRESS = "https://huggingface.co"


class PushOptions(Spec):
    """Everything that `push` can be told."""

    public: bool = False
    """Let everybody read it; only you, or your organisation, unless given."""

    @classmethod
    def called(cls) -> str:
        """Return what messages call these options."""
        return "push"


class Repository(Protocol):
    """What the hub says of a repository."""

    private: bool | None


class Hub(Protocol):
    """What is needed of ``huggingface_hub.HfApi``."""

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> Any:
        """Make a repository."""

    def model_info(self, repo_id: str) -> Repository:
        """Return what is known of one."""

    def upload_folder(self, *, repo_id: str, folder_path: Path, commit_message: str, allow_patterns: list[str]) -> Any:
        """Upload these files of a folder."""


@dataclass(frozen=True)
class Upload:
    """What `push` would upload, or has uploaded.

    Attributes:
        folder: Where it lies here.
        repository: ``owner/name``.
        private: Whether others cannot read it.
        files: Size of each file in bytes, by its place in the folder.
    """

    folder: Path
    repository: str
    private: bool
    files: dict[str, int]

    @property
    def record(self) -> dict[str, Any]:
        """Return what ``nshot push --json`` prints."""
        return {
            "schema": 1,
            "model": str(self.folder),
            "repository": self.repository,
            "address": f"{_ADDRESS}/{self.repository}",
            "private": self.private,
            "bytes": sum(self.files.values()),
            "files": [{"name": name, "bytes": size} for name, size in self.files.items()],
        }

    @property
    def question(self) -> str:
        """Return what somebody has to agree with before anything leaves this machine."""
        readers = "where only you or your organisation read it" if self.private else "where everybody can read it"
        return (
            f"Upload {len(self.files)} files of {self.folder} ({sum(self.files.values()) / 2**20:,.1f} MiB) to "
            f"{_ADDRESS}/{self.repository}, {readers}? They hold the names of the labels and what the model learnt of "
            "your data."
        )


def prepare_push(folder: str | Path, repository: str, *, public: bool = False) -> Upload:
    """Return what would be uploaded; nothing leaves this machine.

    Args:
        folder: A saved model, or what `export` wrote.
        repository: ``owner/name`` on the hub.
        public: Whether everybody may read it.

    Raises:
        ModelError: nshot did not write the folder.
        OptionError: The name is none of the hub.
    """
    folder = Path(folder).expanduser()
    if not _NAME.fullmatch(repository):
        raise OptionError(f"Expected the name of a repository such as my-name/my-model, found '{repository}'.")
    if not any((folder / name).is_file() for name in _WRITTEN_BY_US) or not (folder / CARD).is_file():
        raise ModelError(
            f"{folder} is no saved model and no export of one. Name a folder that nshot wrote, such as "
            "tickets.nshot/model."
        )
    # Only what nshot writes: no hidden file, and nothing that a link leads to.
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]
    names = {path.relative_to(folder).as_posix(): path.stat().st_size for path in paths}
    shown = {name: size for name, size in names.items() if not any(part.startswith(".") for part in name.split("/"))}
    return Upload(folder, repository, not public, shown)


def push(upload: Upload, hub: Hub | None = None) -> Upload:
    """Upload what `prepare_push` found, and return it.

    Args:
        upload: What, and whereto.
        hub: Where; the Hugging Face hub, with the token of this machine, unless given.

    Raises:
        EnvironmentProblem: There is no token, the hub refuses, or it cannot be reached.
        OptionError: The repository is there already, and more people read it than was asked for.
    """
    hub = _hub() if hub is None else hub
    with _refusals_told(upload.repository):
        hub.create_repo(upload.repository, private=upload.private, exist_ok=True)
        is_private = bool(hub.model_info(upload.repository).private)
    if upload.private and not is_private:
        raise OptionError(
            f"{_ADDRESS}/{upload.repository} is there already, and everybody can read it. Name another repository, "
            "make it private there, or add --public."
        )
    with _refusals_told(upload.repository):
        hub.upload_folder(
            repo_id=upload.repository,
            folder_path=upload.folder,
            commit_message="Model made by nshot",
            allow_patterns=list(upload.files),
        )
    return upload


@contextmanager
def _refusals_told(repository: str) -> Iterator[None]:
    try:
        yield
    # A lost connection is an error of the library under huggingface_hub, which is another one from version to version.
    except Exception as error:
        raise EnvironmentProblem(
            f"The Hugging Face hub did not take {repository}: {str(error).strip()[:500]} Nothing of it may be there, "
            "or a part; the same command goes on. Does the token allow writing to it?"
        ) from error


def _hub() -> Hub:
    from huggingface_hub import HfApi, get_token

    token = get_token()
    if not token:
        raise EnvironmentProblem(
            "There is no token of the Hugging Face hub on this machine. Make one that may write "
            f"({_ADDRESS}/settings/tokens), then: hf auth login"
        )
    hub: Hub = HfApi(token=token)
    return hub
