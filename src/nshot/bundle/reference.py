"""What a model's inputs and answers looked like when it was made: what later ones are held against.

It is a few numbers in the manifest, never an example: how often each label came, how the number of an answer (the
probability of its label, or a predicted value) was spread, and mean and spread of each feature of the inputs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from nshot.spec import Spec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FAR = 0.99
"""So large a share of inputs like those of the training is nearer than `FeatureSpread.usual`."""
MOST_FEATURES = 4096
"""Mean and spread of more features are not kept: the manifest is to stay small."""
FEWEST_ROWS = 20
"""Fewer rows say nothing about what is usual."""

_PARTS = 10
_MOST_PER_FEATURE = 16.0
_DIGITS = 6

_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=0, le=1 << 53)]


class Histogram(Spec):
    """How many numbers lie between bounds: part i holds those from ``bounds[i - 1]`` on and below ``bounds[i]``."""

    bounds: tuple[_Finite, ...] = Field(max_length=1000)
    """k numbers, increasing."""
    counts: tuple[_Count, ...]
    """k + 1 counts."""

    @model_validator(mode="after")
    def _bounds_fit_the_counts(self) -> Self:
        if len(self.counts) != len(self.bounds) + 1 or any(a >= b for a, b in pairwise(self.bounds)):
            raise ValueError("increasing bounds, and one count more than bounds")
        return self

    @classmethod
    def of(cls, numbers: NDArray[np.floating]) -> Self | None:
        """Return about ten parts of equal size, fewer where many numbers are the same; None for too few numbers.

        Args:
            numbers: Shape (n,); those that are not finite are left out.
        """
        import numpy as np

        kept = np.asarray(numbers, dtype=np.float64)
        kept = kept[np.isfinite(kept)]
        if len(kept) < FEWEST_ROWS:
            return None
        inner = np.quantile(kept, np.arange(1, _PARTS) / _PARTS)
        # A bound at the smallest number would leave an empty part below it.
        bounds = sorted({_short(value) for value in inner.tolist()} - {_short(float(kept.min()))})
        parts = np.searchsorted(np.array(bounds), kept, side="right")
        return cls(bounds=tuple(bounds), counts=tuple(np.bincount(parts, minlength=len(bounds) + 1).tolist()))


class FeatureSpread(Spec):
    """Where the features of the training's inputs lie, each for itself.

    The distance of an input x is ``sqrt(mean_j min(z_j^2, 16))`` with ``z_j = (x_j - mean_j) / spread_j``: the cap
    keeps one odd column from hiding all others. Measured with all-MiniLM-L6-v2 on 500 training texts of each of three
    sets, 0.2 to 1 % of further texts of the same set lay beyond the 99th percentile, and 83 to 96 % of news.
    """

    backbone: str
    """Id of the model that gives the features."""
    rows: int = Field(ge=1)
    """From how many inputs they were learnt."""
    means: tuple[_Finite, ...] = Field(max_length=MOST_FEATURES)
    """One per feature."""
    spreads: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...]
    """Standard deviations; 1 for a feature that was always the same."""
    usual: _Finite
    """99 % of the training's inputs are nearer than this, each measured without its own part in mean and spread."""

    @model_validator(mode="after")
    def _as_many_spreads_as_means(self) -> Self:
        if len(self.means) != len(self.spreads):
            raise ValueError("a spread for each mean")
        return self

    @classmethod
    def of(cls, features: NDArray[np.floating], backbone: str) -> Self | None:
        """Return where these features lie, or None where they are too few or too wide.

        Args:
            features: Shape (n, d), finite.
            backbone: Id of the model that gave them.
        """
        import numpy as np

        n, width = features.shape
        if n < FEWEST_ROWS or not 0 < width <= MOST_FEATURES:
            return None
        rows = np.asarray(features, dtype=np.float64)
        means = rows.mean(axis=0)
        away = rows - means
        squares = np.square(away).sum(axis=0)
        # Mean and variance of the other n - 1 rows, for each row: what a new row would meet.
        others = (squares - np.square(away) * n / (n - 1)) / (n - 2)
        alone = distances(away * n / (n - 1), 0.0, _spreads(others))
        return cls(
            backbone=backbone,
            rows=n,
            means=tuple(_short(value) for value in means.tolist()),
            spreads=tuple(_short(value) for value in _spreads(squares / (n - 1)).tolist()),
            usual=_short(float(np.quantile(alone, FAR))),
        )


def distances(
    features: NDArray[np.floating], means: NDArray[np.float64] | float, spreads: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return how far inputs lie from the training's, shape (n,); see `FeatureSpread`.

    Args:
        features: Shape (n, d).
        means: Shape (d,), or one for all.
        spreads: Shape (d,) or (n, d).
    """
    import numpy as np

    squares = np.square((np.asarray(features, dtype=np.float64) - means) / spreads)
    # What is no number is as far away as anything.
    capped = np.nan_to_num(np.minimum(squares, _MOST_PER_FEATURE), nan=_MOST_PER_FEATURE)
    found: NDArray[np.float64] = np.sqrt(capped.mean(axis=1))
    return found


class Reference(Spec):
    """What later inputs and answers are held against."""

    measured_on: Literal["held-out rows", "training rows"]
    """Held-out rows: labels and numbers are those that the model answered there. Training rows: the true labels,
    because a model's answers to what it was fitted on are surer than any others."""
    labels: dict[str, _Count] = Field(default_factory=dict)
    """How often each label came."""
    numbers: Histogram | None = None
    """Of what an answer says as a number: the probability of its label, a value, or an anomaly score."""
    features: FeatureSpread | None = None
    """Where the inputs lie."""

    @classmethod
    def of_answers(
        cls, labels: Sequence[str], numbers: NDArray[np.floating] | None, features: FeatureSpread | None
    ) -> Self:
        """Return the reference of a model whose answers to held-out rows are known.

        Args:
            labels: What it answered; empty where it answers no labels.
            numbers: Shape (n,), the probability of each answered label, or the values; None where there are none.
            features: Where its training's inputs lie.
        """
        spread = None if numbers is None else Histogram.of(numbers)
        return cls(measured_on="held-out rows", labels=dict(Counter(labels)), numbers=spread, features=features)

    @classmethod
    def of_training(cls, targets: Sequence[object], features: FeatureSpread | None) -> Self:
        """Return the reference of a model of which only the training rows are known.

        Args:
            targets: Its true labels; others than texts are left out.
            features: Where its training's inputs lie.
        """
        labels = Counter(target for target in targets if isinstance(target, str))
        return cls(measured_on="training rows", labels=dict(labels), features=features)


def _spreads(variances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return standard deviations, 1 where there is no variance but that of rounding."""
    import numpy as np

    found: NDArray[np.float64] = np.sqrt(np.where(variances > 1e-12, variances, 1.0))
    return found


def _short(value: float) -> float:
    """Return a number with six digits: what it is compared with varies far more."""
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else value
