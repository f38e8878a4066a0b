"""How a row is put into one of the groups that were found: each kind of group has its own rule.

A rule answers for any row, also for rows that were not there when the groups were found. Its tensors are all there is
to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np

if TYPE_CHECKING:
    from nshot.training.rowwise import Array

_BLOCK_ELEMENTS = 1 << 22


class Rule(Protocol):
    """Puts rows into groups."""

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Array]) -> Self:
        """Return the rule that `tensors` gave."""

    @property
    def n_groups(self) -> int:
        """How many groups there are."""

    def assign(self, rows: Array) -> tuple[Array, Array]:
        """Return of rows, shape (n, c), the group of each and how surely it belongs there.

        Returns:
            Groups, int64, shape (n,), -1 of a row in none; and confidence, float64, 0 to 1, shape (n,).
        """

    def tensors(self) -> dict[str, Array]:
        """Return the rule as named arrays."""

    def reordered(self, order: Array) -> Rule:
        """Return the same rule whose group i is this one's group ``order[i]``."""


@dataclass(frozen=True)
class NearestCentre:
    """The group whose centre is nearest; centres have shape (k, c).

    Confidence is the simplified silhouette, ``1 - a / b``: a is the distance to the own centre, b to the second
    nearest (Hruschka, de Castro and Campello 2004, Evolutionary algorithms for clustering gene-expression data).
    """

    centres: Array

    @property
    def n_groups(self) -> int:
        """How many groups there are."""
        return len(self.centres)

    def assign(self, rows: Array) -> tuple[Array, Array]:
        """Return groups and confidence; see `Rule.assign`."""
        labels, confidence = np.empty(len(rows), dtype=np.int64), np.empty(len(rows))
        for block in _blocks(len(rows), len(self.centres)):
            labels[block], confidence[block] = _nearest_two(_squared_distances(rows[block], self.centres))
        return labels, confidence

    def tensors(self) -> dict[str, Array]:
        """Return the rule as named arrays."""
        return {"centres": self.centres}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Array]) -> Self:
        """Return the rule that `tensors` gave."""
        return cls(tensors["centres"])

    def reordered(self, order: Array) -> NearestCentre:
        """Return the same rule with its groups in another order."""
        return NearestCentre(np.ascontiguousarray(self.centres[order]))


@dataclass(frozen=True)
class LikeliestComponent:
    """The component of a Gaussian mixture that most probably made the row; confidence is that probability.

    Attributes:
        weights: Shape (k,): the share of each component.
        means: Shape (k, c).
        factors: Shape (k, c, c): of each component the matrix F with ``F F' = inverse of its covariance``.
    """

    weights: Array
    means: Array
    factors: Array

    @property
    def n_groups(self) -> int:
        """How many groups there are."""
        return len(self.weights)

    def assign(self, rows: Array) -> tuple[Array, Array]:
        """Return groups and confidence; see `Rule.assign`."""
        from nshot.training.rowwise import products, softmax

        logs = np.empty((len(rows), self.n_groups))
        for g, (weight, mean, factor) in enumerate(zip(self.weights, self.means, self.factors, strict=True)):
            standard = products(rows, factor.T, -(mean @ factor)).astype(np.float64)
            spread = np.log(np.abs(np.diagonal(factor))).sum()
            logs[:, g] = np.log(weight) + spread - 0.5 * np.square(standard).sum(axis=1)
        if not len(rows):
            return np.zeros(0, dtype=np.int64), np.zeros(0)
        return logs.argmax(axis=1).astype(np.int64), softmax(logs).max(axis=1)

    def tensors(self) -> dict[str, Array]:
        """Return the rule as named arrays."""
        return {"weights": self.weights, "means": self.means, "factors": self.factors}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Array]) -> Self:
        """Return the rule that `tensors` gave."""
        return cls(tensors["weights"], tensors["means"], tensors["factors"])

    def reordered(self, order: Array) -> LikeliestComponent:
        """Return the same rule with its groups in another order."""
        return LikeliestComponent(*(np.ascontiguousarray(part[order]) for part in self.tensors().values()))


@dataclass(frozen=True)
class NearestMember:
    """The group of the nearest of the rows that the groups were found in; none where that is farther than its reach.

    Confidence is ``1 - a / b``: a is the distance to the nearest member of the own group, b of any other.

    Attributes:
        members: Shape (m, c): rows that belong to a group.
        groups: Shape (m,), int64: the group of each.
        reach: Shape (m,): how far each speaks for rows beside it; infinite where every row has a group.
    """

    members: Array
    groups: Array
    reach: Array

    @property
    def n_groups(self) -> int:
        """How many groups there are."""
        return int(self.groups.max()) + 1

    def assign(self, rows: Array) -> tuple[Array, Array]:
        """Return groups and confidence; see `Rule.assign`."""
        labels, confidence = np.empty(len(rows), dtype=np.int64), np.empty(len(rows))
        order = np.argsort(self.groups, kind="stable")
        members, reach = self.members[order], self.reach[order]
        starts = np.searchsorted(self.groups[order], np.arange(self.n_groups))
        for block in _blocks(len(rows), len(members)):
            distances = _squared_distances(rows[block], members)
            labels[block], confidence[block] = _nearest_two(np.minimum.reduceat(distances, starts, axis=1))
            nearest = distances.argmin(axis=1)
            outside = distances[np.arange(len(distances)), nearest] > np.square(reach[nearest])
            labels[block] = np.where(outside, -1, labels[block])
            confidence[block] = np.where(outside, 0.0, confidence[block])
        return labels, confidence

    def tensors(self) -> dict[str, Array]:
        """Return the rule as named arrays."""
        return {"members": self.members, "groups": self.groups, "reach": self.reach}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Array]) -> Self:
        """Return the rule that `tensors` gave."""
        return cls(tensors["members"], tensors["groups"], tensors["reach"])

    def reordered(self, order: Array) -> NearestMember:
        """Return the same rule with its groups in another order."""
        return NearestMember(self.members, np.argsort(order)[self.groups], self.reach)


def _blocks(n: int, width: int) -> list[slice]:
    step = max(1, _BLOCK_ELEMENTS // max(1, width))
    return [slice(start, start + step) for start in range(0, n, step)]


def _squared_distances(rows: Array, points: Array) -> Array:
    """Return squared Euclidean distances, float32, shape (n, k); of each row as if it were alone."""
    from nshot.training.rowwise import products

    lengths = np.square(rows.astype(np.float64)).sum(axis=1, keepdims=True)
    crossed = products(rows, -2.0 * points.astype(np.float64), np.square(points.astype(np.float64)).sum(axis=1))
    return np.asarray(np.maximum(0.0, crossed + lengths))


def _nearest_two(squared: Array) -> tuple[Array, Array]:
    """Return the nearest column of each row, and one minus its share of the distance to the second nearest."""
    labels = squared.argmin(axis=1).astype(np.int64)
    if squared.shape[1] == 1:
        return labels, np.ones(len(squared))
    two = np.sqrt(np.partition(squared, 1, axis=1)[:, :2])
    return labels, 1.0 - np.divide(two[:, 0], two[:, 1], out=np.ones(len(two)), where=two[:, 1] > 0)
