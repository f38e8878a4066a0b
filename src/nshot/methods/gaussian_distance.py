"""What lies far from the middle, measured in the spread of the rows, is strange."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from nshot.core import FitContext
from nshot.training.outliers.method import UnlabelledDetection

if TYPE_CHECKING:
    from nshot.training.outliers.detector import Detector
    from nshot.training.rowwise import Array


class GaussianDistance(UnlabelledDetection):
    """Score a row by its Mahalanobis distance from the middle of the usual rows.

    **Idea.** ``s(x) = sqrt((f(x) - m)' S^-1 (f(x) - m))``, mean m and covariance S being those of the three quarters
    of the pool that lie nearest by this very distance, found in a few rounds. S is drawn towards a multiple of the
    identity, so that there may be more columns than rows.

    **Needs** a backbone that embeds, and unlabelled rows; no label, and nothing to be set.

    **Wins** where columns hang together and what is strange breaks that, with usual rows in one heap. **Loses** where
    they form several.

    **Source.** Rousseeuw and Van Driessen 1999, A Fast Algorithm for the Minimum Covariance Determinant Estimator (the
    rounds); Ledoit and Wolf 2004, A well-conditioned estimator for large-dimensional covariance matrices.

    **Example.** ``nshot fit payments.csv --task detect --method gaussian_distance --out model``
    """

    relative_cost: ClassVar[float] = 0.05

    @classmethod
    def detector(cls) -> type[Detector]:
        """Return the kind of detector."""
        from nshot.training.outliers.directions import MahalanobisDistance

        return MahalanobisDistance

    def learn(self, vectors: Array, context: FitContext) -> tuple[Detector, Mapping[str, Any]]:
        """Return the detector learnt from these vectors."""
        from nshot.training.outliers.directions import MahalanobisDistance

        return MahalanobisDistance.of(vectors), {}
