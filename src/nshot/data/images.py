"""Images in folders and zip archives: a folder per label, or none; each file is read when it is asked for."""

from __future__ import annotations

import os
import warnings
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, overload

from nshot.core import DataError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
_PARTS = frozenset({"train", "training", "val", "valid", "validation", "dev", "test", "testing"})


class ImageFiles(Sequence[bytes]):
    """The bytes of n image files, read when they are asked for."""

    __slots__ = ("_archive", "_names", "_opened", "_root")

    def __init__(self, names: Sequence[str], root: Path, *, archive: bool = False) -> None:
        """Take files.

        Args:
            names: Their paths below `root`, with slashes.
            root: A folder, or a zip archive.
            archive: Whether it is an archive.
        """
        self._names = tuple(names)
        self._root = root
        self._archive = archive
        self._opened: zipfile.ZipFile | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self._names, self._root, self._archive)

    @property
    def names(self) -> tuple[str, ...]:
        """The paths of the files below their folder, or in their archive."""
        return self._names

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> ImageFiles: ...
    def __getitem__(self, index: int | slice) -> bytes | ImageFiles:
        if isinstance(index, slice):
            return ImageFiles(self._names[index], self._root, archive=self._archive)
        with self.open(index) as file:
            return file.read()

    def take(self, positions: Iterable[int]) -> ImageFiles:
        """Return the images at `positions` (0-based), in that order."""
        return ImageFiles([self._names[i] for i in positions], self._root, archive=self._archive)

    def open(self, index: int) -> IO[bytes]:
        """Return an image as an open file.

        Raises:
            DataError: It is no longer there, or may not be read.
        """
        name = self._names[index]
        try:
            if not self._archive:
                return (self._root / name).open("rb")
            if self._opened is None:
                self._opened = zipfile.ZipFile(self._root)
            return self._opened.open(name)
        except (OSError, KeyError, RuntimeError, zipfile.BadZipFile) as error:
            raise DataError(f"The image {name} of {self._root} cannot be read: {error}.") from None


def _again(names: Sequence[str], root: Path, archive: bool) -> ImageFiles:
    return ImageFiles(names, root, archive=archive)


@dataclass(frozen=True, eq=False)
class FoundImages:
    """The images of a folder or an archive.

    Attributes:
        images: Those that can be read, in the order of their names.
        labels: The folder of each, below the one that all are in; None where all are in one.
        broken: Files that are called images and are none.
    """

    images: ImageFiles
    labels: tuple[str, ...] | None
    broken: tuple[str, ...]


def in_folder(folder: Path) -> FoundImages | None:
    """Return the images below a folder, or None where it has none, or more text files than images.

    Raises:
        DataError: Its folders are parts for training and test, or none of the files is a readable image.
    """
    files = [
        (Path(where) / name).relative_to(folder).as_posix()
        for where, below, names in os.walk(folder)
        if _keep_visible(below)
        for name in names
    ]
    return _found(files, folder, archive=False)


def in_archive(path: Path) -> FoundImages | None:
    """Return the images of a zip archive, or None where it has none.

    Raises:
        DataError: It is damaged, its folders are parts for training and test, or no file is a readable image.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            files = [info.filename for info in archive.infolist() if not info.is_dir()]
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path.name} is no readable zip archive: {error}.") from None
    return _found(files, path, archive=True)


def one_file(path: Path) -> FoundImages:
    """Return a single image.

    Raises:
        DataError: It is no readable image.
    """
    found = _found([path.name], path.parent, archive=False)
    if found is None:
        raise DataError(f"{path.name} is not called an image. Expected: {', '.join(sorted(SUFFIXES))}.")
    return found


def _keep_visible(folders: list[str]) -> bool:
    folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
    return True


def _found(files: Sequence[str], root: Path, *, archive: bool) -> FoundImages | None:
    visible = [
        path
        for path in map(PurePosixPath, files)
        if not any(part.startswith((".", "__")) for part in path.parts) and not path.is_absolute()
    ]
    names = sorted(path.as_posix() for path in visible if path.suffix.lower() in SUFFIXES)
    texts = sum(path.suffix.lower() in {".txt", ".md"} for path in visible)
    if not names or texts > len(names):
        return None
    _refuse_parts(names, root)
    images = ImageFiles(names, root, archive=archive)
    readable = [i for i in range(len(images)) if _is_image(images, i)]
    if not readable:
        raise DataError(
            f"None of the {len(names):,} files in {root.name} that are called images can be read, such as {names[0]}. "
            "Expected images that open in a viewer."
        )
    kept = images.take(readable) if len(readable) < len(images) else images
    left = set(readable)
    return FoundImages(kept, _labels(kept.names), tuple(name for i, name in enumerate(names) if i not in left))


def _refuse_parts(names: Sequence[str], root: Path) -> None:
    tops = sorted({name.split("/")[0] for name in names if "/" in name})
    if len(tops) > 1 and _PARTS.issuperset(top.lower() for top in tops):
        train = next((top for top in tops if top.lower().startswith("train")), tops[0])
        test = next((top for top in reversed(tops) if top != train), tops[-1])
        raise DataError(
            f"{root} holds folders for training and for a test: {', '.join(tops)}. Name them one by one: "
            f"{root / train} --test {root / test}."
        )


def _labels(names: Sequence[str]) -> tuple[str, ...] | None:
    folders = [name.rsplit("/", 1)[0] if "/" in name else "" for name in names]
    if len(set(folders)) == 1:
        return None
    above = os.path.commonpath(folders) if all(folders) else ""
    return tuple(folder[len(above) :].strip("/") or "." for folder in folders)


def _is_image(images: ImageFiles, index: int) -> bool:
    """Whether a file begins as an image does; its pixels are not looked at."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with images.open(index) as file, Image.open(file):
                return True
    except (OSError, SyntaxError, ValueError, DataError, Image.DecompressionBombError):
        return False
