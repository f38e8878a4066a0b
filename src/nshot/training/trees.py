"""An ensemble of regression trees as arrays: what a boosted model is once it is fitted.

Saved as plain tensors, so that a damaged or hostile file can be recognised before anything follows its branches, and
walked with NumPy, so that an answer needs no further library.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from nshot.core import ModelError

if TYPE_CHECKING:
    from nshot.training.rowwise import Array

_CELLS_AT_ONCE = 1 << 18
"""Rows times trees that are walked together: their places then stay in the processor's caches."""


@dataclass(frozen=True)
class Trees:
    """Trees that share their nodes' arrays; N nodes in all.

    A row goes from a node to its first child where its feature is at most the threshold, else to its second. A leaf is
    its own child.

    Attributes:
        roots: The first node of each tree, int32, shape (trees,). Tree t adds to output ``t % outputs``.
        features: Which feature a node asks for, int32, shape (N,); 0 at a leaf.
        thresholds: float64, shape (N,); 0 at a leaf.
        children: int32, shape (N, 2).
        values: What a leaf adds, float64, shape (N,); 0 elsewhere.
        outputs: How many numbers the trees answer with.
    """

    roots: Array
    features: Array
    thresholds: Array
    children: Array
    values: Array
    outputs: int

    def scores(self, rows: Array) -> Array:
        """Return the sums of what the trees say, float64, shape (n, outputs).

        Args:
            rows: Shape (n, d), finite.
        """
        n, trees = len(rows), len(self.roots)
        found = np.zeros((n, self.outputs))
        step = max(1, _CELLS_AT_ONCE // max(1, trees))
        for start in range(0, n, step):
            part = rows[start : start + step]
            at = np.tile(self.roots, (len(part), 1))
            row = np.arange(len(part))[:, None]
            for _ in range(self._depth):
                right = part[row, self.features[at]] > self.thresholds[at]
                at = self._flat[2 * at + right]
            said = self.values[at].reshape(len(part), trees // self.outputs, self.outputs)
            found[start : start + step] = said.sum(axis=1)
        return found

    @cached_property
    def _flat(self) -> Array:
        return self.children.reshape(-1)

    @cached_property
    def _depth(self) -> int:
        """The most steps from a root to a leaf."""
        at, steps = self.roots, 0
        while True:
            below = np.unique(self.children[at])
            below = below[(self.children[below] != below[:, None]).any(axis=1)]
            steps += 1
            if not len(below):
                return steps
            at = below

    def tensors(self) -> dict[str, Array]:
        """Return the arrays by their names."""
        return {
            "roots": self.roots,
            "features": self.features,
            "thresholds": self.thresholds,
            "children": self.children,
            "values": self.values,
        }

    @classmethod
    def restore(cls, tensors: Mapping[str, Array], outputs: int, width: int) -> Trees:
        """Return the trees whose `tensors` were saved, after every branch was looked at.

        Args:
            tensors: By their names.
            outputs: How many numbers they answer with.
            width: Number of features d.

        Raises:
            ModelError: They are no trees over `width` features.
        """
        try:
            found = cls(
                tensors["roots"],
                tensors["features"],
                tensors["thresholds"],
                tensors["children"],
                tensors["values"],
                outputs,
            )
        except KeyError as error:
            raise ModelError(f"The saved trees are damaged: {error} is missing. Fit the model anew.") from None
        n = len(found.values)
        kinds = [array.dtype.kind for array in (found.roots, found.features, found.children)]
        shapes = [found.features.shape, found.thresholds.shape, found.children.shape, found.values.shape]
        here = np.arange(n)[:, None]
        if (
            kinds != ["i"] * 3
            or shapes != [(n,), (n,), (n, 2), (n,)]
            or outputs < 1
            or len(found.roots) % outputs
            or not _within(found.roots, n)
            or not _within(found.features, width)
            or not _within(found.children, n)
            # Downwards only, so that no row walks in a circle; a leaf stays where it is on both sides.
            or not ((found.children > here).all(axis=1) | (found.children == here).all(axis=1)).all()
            or not np.isfinite(found.values).all()
        ):
            raise ModelError(
                f"The saved trees are damaged: they are no trees over {width:,} features. Fit the model anew, with the "
                "backbone that it is to run with."
            )
        return found


def _within(numbers: Array, end: int) -> bool:
    return bool(((numbers >= 0) & (numbers < end)).all())
