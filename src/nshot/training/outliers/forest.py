"""Isolation forests: what random cuts separate early is strange.

scikit-learn grows the trees; here they are plain arrays, so that they can be saved without pickle, and are walked for
all rows at once. The scores are those of scikit-learn's ``-score_samples``.

Source: Liu, Ting and Zhou 2008, Isolation Forest, equations 1 and 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nshot.training.outliers.detector import Detector

if TYPE_CHECKING:
    from nshot.training.rowwise import Array


@dataclass(frozen=True)
class Forest(Detector):
    """Trees with their nodes in one list, those of a tree together; a leaf is its own child.

    Attributes:
        roots: The first node of each tree, int32, shape (trees,).
        features: Which column a node asks for, int32, shape (nodes,).
        cuts: A row with a value up to this goes left, float64, shape (nodes,).
        left: The child for those, int32, shape (nodes,).
        right: The other child, int32, shape (nodes,).
        depths: Of a leaf: the expected number of cuts that isolate a row which ends there, float64, shape (nodes,).
        steps: The longest way from a root to a leaf, int64, shape ().
        usual: The expected number of cuts for a row of the training sample, float64, shape ().
    """

    roots: Array
    features: Array
    cuts: Array
    left: Array
    right: Array
    depths: Array
    steps: Array
    usual: Array

    @classmethod
    def grown(cls, vectors: Array, *, trees: int, rows_per_tree: int, seed: int) -> Forest:
        """Return a forest for vectors of shape (n, width), each tree from a random part of them."""
        from sklearn.ensemble import IsolationForest

        rows = min(rows_per_tree, len(vectors))
        fitted = IsolationForest(n_estimators=trees, max_samples=rows, random_state=seed % (1 << 32)).fit(vectors)
        parts = [_nodes(one.tree_) for one in fitted.estimators_]
        sizes = [len(part[0]) for part in parts]
        roots = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        features, cuts, left, right, depths = (np.concatenate(column) for column in zip(*parts, strict=True))
        first = np.repeat(roots, sizes)
        return cls(
            roots.astype(np.int32),
            features.astype(np.int32),
            cuts,
            (left + first).astype(np.int32),
            (right + first).astype(np.int32),
            depths,
            np.array(max(int(one.tree_.max_depth) for one in fitted.estimators_)),
            average_path(np.array(rows)),
        )

    def scores(self, vectors: Array) -> Array:
        """Return ``2 ** (-cuts / usual)`` of each vector, between 0 and 1; see `Detector.scores`."""
        n, width = vectors.shape
        flat, first = np.ascontiguousarray(vectors, dtype=np.float32).reshape(-1), np.arange(n) * width
        total = np.zeros(n)
        for root in self.roots.tolist():
            node = np.full(n, root, dtype=np.int32)
            for _ in range(int(self.steps)):
                goes_left = flat[first + self.features[node]] <= self.cuts[node]
                node = np.where(goes_left, self.left[node], self.right[node])
            total += self.depths[node]
        if self.usual <= 0:  # trees of a single row
            return np.full(n, 0.5)
        return np.asarray(2.0 ** (-total / (len(self.roots) * float(self.usual))))


def _nodes(tree: Any) -> tuple[Array, Array, Array, Array, Array]:
    """Return columns, cuts, children and depths of one tree of scikit-learn's."""
    left, right = tree.children_left.astype(np.int64), tree.children_right.astype(np.int64)
    is_leaf = left < 0
    own = np.arange(len(left))
    cuts_above = np.zeros(len(left))
    for node in own[~is_leaf].tolist():  # a parent stands before its children
        cuts_above[[left[node], right[node]]] = cuts_above[node] + 1
    return (
        np.where(is_leaf, 0, tree.feature),
        np.where(is_leaf, np.inf, tree.threshold),
        np.where(is_leaf, own, left),
        np.where(is_leaf, own, right),
        np.where(is_leaf, cuts_above + average_path(tree.n_node_samples), 0.0),
    )


def average_path(rows: Array) -> Array:
    """Return the expected number of cuts that isolate one of so many rows (equation 1), float64, shape (n,)."""
    many = np.maximum(np.asarray(rows, dtype=np.float64), 3.0)
    known = 2.0 * (np.log(many - 1.0) + np.euler_gamma) - 2.0 * (many - 1.0) / many
    return np.where(rows > 2, known, np.where(rows == 2, 1.0, 0.0))
