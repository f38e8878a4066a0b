"""NumPy's archives of arrays (.npz): rows of numbers, or images, with their labels."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nshot.core import DataError, listed

_EXAMPLES = ("x", "data", "features", "images", "arr_0")
_LABELS = ("y", "labels", "label", "target", "targets", "arr_1")
_PARTS = {"train": ("", "train"), "test": ("test",)}
_NAMES = ("classes", "class_names", "target_names", "label_names")


@dataclass(frozen=True, eq=False)
class Arrays:
    """The arrays of an archive that make up examples and their labels.

    Attributes:
        examples: Shape (n, d), numbers; or uint8 images, shape (n, height, width) or (n, height, width, 3).
        examples_name: What the archive calls them.
        labels: Shape (n,), or None where there are none.
        labels_name: What the archive calls them, or None.
        names: What the labels 0, 1, 2 ... are called, or None.
        others: Arrays that were not taken.
    """

    examples: np.ndarray
    examples_name: str
    labels: np.ndarray | None
    labels_name: str | None
    names: tuple[str, ...] | None
    others: tuple[str, ...]

    @property
    def are_images(self) -> bool:
        """Whether the examples are images."""
        return self.examples.ndim > 2

    def label_cells(self) -> list[Any] | None:
        """Return a label per example: its name where the archive has one, or None where there are no labels."""
        if self.labels is None:
            return None
        if self.names is None:
            return list(self.labels.tolist())
        return [self.names[int(label)] for label in self.labels]

    def described(self) -> str:
        """Return which arrays were taken."""
        taken = f"array {self.examples_name}" + (f" with {self.labels_name}" if self.labels_name else "")
        return f"{taken} (not {listed(self.others, 6)})" if self.others else taken


def load(path: Path, *, is_test: bool = False) -> Arrays:
    """Return the examples of an archive.

    Args:
        path: The archive.
        is_test: Take the arrays of the test where it has some; otherwise those of the training.

    Raises:
        DataError: It is damaged, or no array of it holds examples.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            held = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        reason = "it holds Python objects" if "pickle" in str(error) else "it is damaged, or no archive of arrays"
        raise DataError(
            f"{path.name} cannot be read as NumPy arrays: {reason}. Expected numbers, as numpy.savez(file, X=X, y=y) "
            "writes them."
        ) from None
    names = tuple(held)
    part = "test" if is_test and _called(held, _EXAMPLES, _PARTS["test"]) else "train"
    examples_name = _called(held, _EXAMPLES, _PARTS[part]) or _only_examples(held)
    if examples_name is None:
        shapes = [f"{name} {array.shape}" for name, array in held.items()]
        raise DataError(
            f"No array of {path.name} is called what examples are called. Found: {listed(shapes)}. "
            "Expected X with a row per example, and y with their labels, if there are any."
        )
    labels_name = _called(held, _LABELS, _PARTS[part])
    examples = _checked(held[examples_name], examples_name, path.name)
    labels = None if labels_name is None else _label_array(held[labels_name], labels_name, len(examples), path.name)
    names_of = next((held[name] for name in names if name.lower() in _NAMES), None)
    taken = {examples_name, labels_name, *(name for name in names if name.lower() in _NAMES)}
    return Arrays(
        examples,
        examples_name,
        labels,
        labels_name,
        _class_names(names_of, labels),
        tuple(name for name in names if name not in taken),
    )


def _called(held: Mapping[str, np.ndarray], usual: tuple[str, ...], parts: tuple[str, ...]) -> str | None:
    for part in parts:
        for name in usual:
            wanted = {f"{part}_{name}", f"{name}_{part}"} if part else {name}
            found = next((each for each in held if each.lower() in wanted), None)
            if found is not None:
                return found
    return None


def _only_examples(held: Mapping[str, np.ndarray]) -> str | None:
    possible = [name for name, array in held.items() if array.ndim >= 2]
    return possible[0] if len(possible) == 1 else None


def _checked(array: np.ndarray, name: str, file: str) -> np.ndarray:
    is_number = array.dtype.kind in "buif"
    is_image = array.ndim == 3 or (array.ndim == 4 and array.shape[3] in {1, 3})
    if array.ndim == 2 and is_number:
        return array
    if is_image and array.dtype == np.uint8:
        return array[..., 0] if array.ndim == 4 and array.shape[3] == 1 else array
    raise DataError(
        f"The array {name} of {file} must hold a row of numbers per example, shape (n, d), or images of whole numbers "
        f"from 0 to 255, uint8, shape (n, height, width) or (n, height, width, 3). Found: {array.dtype}, shape "
        f"{array.shape}. Save it in one of these forms."
    )


def _label_array(array: np.ndarray, name: str, n: int, file: str) -> np.ndarray:
    flat = array.reshape(len(array)) if array.size == len(array) else array
    if flat.shape != (n,):
        raise DataError(
            f"The array {name} of {file} must hold one label for each of the {n:,} examples. Found: shape "
            f"{array.shape}. Leave it out of the archive if it is something else."
        )
    return flat


def _class_names(names: np.ndarray | None, labels: np.ndarray | None) -> tuple[str, ...] | None:
    """Return the names of the labels where these are positions in a list of names."""
    if names is None or labels is None or names.ndim != 1 or names.dtype.kind != "U" or labels.dtype.kind not in "iu":
        return None
    if not len(labels) or labels.min() < 0 or labels.max() >= len(names):
        return None
    return tuple(str(name) for name in names)


def columns_of(arrays: Arrays) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the columns of rows of numbers: x1, x2 ... as in the archive."""
    contiguous = np.ascontiguousarray(arrays.examples.T)
    for i, column in enumerate(contiguous):
        yield f"x{i + 1}", column
