"""What lies in the tails of its columns is strange."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from nshot.core import FitContext
from nshot.training.outliers.method import UnlabelledDetection

if TYPE_CHECKING:
    from nshot.training.outliers.detector import Detector
    from nshot.training.rowwise import Array


class Ecod(UnlabelledDetection):
    """Score a row by how far out in the tails of its columns it lies (empirical cumulative distribution).

    **Idea.** With F_j the share of the pool's values of column j up to x_j, and G_j the share from x_j on,
    ``s(x) = sum_j max(-log F_j, -log G_j)``. Both shares count x itself and no other row to be scored, so a
    score never depends on the batch.

    **Needs** a backbone that embeds, and unlabelled rows; no label, and nothing to be set.

    **Wins** on tables where an extreme value in one column or another is what is strange. **Loses** where what is
    strange lies in the middle of every column.

    **Source.** Li et al. 2022, ECOD: Unsupervised Outlier Detection Using Empirical Cumulative Distribution Functions,
    with the larger tail taken in each column.

    **Example.** ``nshot fit payments.csv --task detect --method ecod --out model``
    """

    relative_cost: ClassVar[float] = 0.05

    @classmethod
    def detector(cls) -> type[Detector]:
        """Return the kind of detector."""
        from nshot.training.outliers.columns import TailProbabilities

        return TailProbabilities

    def learn(self, vectors: Array, context: FitContext) -> tuple[Detector, Mapping[str, Any]]:
        """Return the detector learnt from these vectors."""
        from nshot.training.outliers.columns import TailProbabilities

        return TailProbabilities.of(vectors), {}
