"""What lies far from the middle, measured in the spread of the rows, is strange."""

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


class GaussianDistance(PoolOptions, Method):
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
        from nshot.training.outliers.detector import FittedDetector, learnt_from
        from nshot.training.outliers.directions import MahalanobisDistance

        self.require(task, train, backbone)
        encoder = frozen.encoder(backbone)
        sample = learnt_from(encoder, pool, self.most_rows, self.method_name())
        detector = MahalanobisDistance.of(sample.vectors)
        return FittedDetector(encoder, detector, sample.settings)

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved detector; see `Method.restore`."""
        from nshot.training.outliers.detector import FittedDetector
        from nshot.training.outliers.directions import MahalanobisDistance

        return FittedDetector.restore(state, open_backbone, MahalanobisDistance)
