"""What lies in the tails of its columns is strange."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from nshot.core import (
    Ability,
    Backbone,
    BackboneRef,
    Dataset,
    Family,
    FitContext,
    Needs,
    Predictor,
    State,
    Task,
    TaskKind,
)
from nshot.spec import Method
from nshot.training.outliers.options import PoolOptions


class Ecod(PoolOptions, Method):
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

    needs: ClassVar[Needs] = Needs(
        tasks=frozenset({TaskKind.DETECT}), abilities=frozenset({Ability.EMBEDS}), fewest_labels=0, pool=True
    )
    family: ClassVar[Family] = Family.UNSUPERVISED
    relative_cost: ClassVar[float] = 0.05

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the detector learnt from the pool; see `Method.fit`."""
        from nshot.training import frozen
        from nshot.training.outliers.columns import TailProbabilities
        from nshot.training.outliers.detector import FittedDetector, learnt_from

        self.require(task, train, backbone)
        encoder = frozen.encoder(backbone)
        sample = learnt_from(encoder, pool, self.most_rows, self.method_name())
        detector = TailProbabilities.of(sample.vectors)
        return FittedDetector(encoder, detector, sample.settings)

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved detector; see `Method.restore`."""
        from nshot.training.outliers.columns import TailProbabilities
        from nshot.training.outliers.detector import FittedDetector

        return FittedDetector.restore(state, open_backbone, TailProbabilities)
