"""A regression on the columns and on what detectors make of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from pydantic import Field

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


class OutlierProbe(PoolOptions, Method):
    """Score a row by a regression on features and four outlier scores, and by its nearness to labelled anomalies.

    **Idea.** Four detectors learn from the pool: an isolation forest, the distance to the k-th nearest row, the tails
    of the columns, and the Mahalanobis distance. A logistic regression of the labelled anomalies against the pool
    reads the features and ``-log`` of the share of the pool that each of the four finds stranger. To that is added how
    much nearer the row lies to a labelled anomaly than to the pool, each part brought to spread 1. Nothing is chosen.

    **Needs** a backbone that embeds, unlabelled rows, and one labelled anomaly.

    **Wins** from the first labelled anomaly on: it goes on finding what is strange in ways that nobody has labelled.
    **Loses** where the labelled anomalies are not strange at all, only different.

    **Source.** Outlier scores as features: Micenkova, McWilliams and Assent 2014, Learning Outlier Ensembles; Zhao and
    Hryniewicki 2018, XGBOD.

    **Example.** ``nshot fit payments.csv --task detect --method outlier_probe --out model``
    """

    needs: ClassVar[Needs] = Needs(
        tasks=frozenset({TaskKind.DETECT}), abilities=frozenset({Ability.EMBEDS}), fewest_labels=1, pool=True
    )
    family: ClassVar[Family] = Family.FEW_SHOT
    uses_seed: ClassVar[bool] = True
    relative_cost: ClassVar[float] = 0.2

    neighbours: int = Field(default=5, ge=1)
    """k: the distance to which nearest row of the pool counts."""
    strength: float = Field(default=100.0, gt=0)
    """C, the inverse of the regularisation, where all rows together weigh 1."""
    trees: int = Field(default=100, ge=1)
    """Number of trees of the isolation forest."""
    rows_per_tree: int = Field(default=256, ge=2)
    """Rows of the pool that each tree is grown from; of fewer all."""

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the detector learnt from the anomalies and the pool; see `Method.fit`."""
        from nshot.training import frozen
        from nshot.training.anomalies import labelled_anomalies
        from nshot.training.outliers.detector import FittedDetector, learnt_from
        from nshot.training.outliers.forest import Forest
        from nshot.training.outliers.labelled import OutlierProbe as Learnt

        self.require(task, train, backbone)
        encoder = frozen.encoder(backbone)
        anomalies = frozen.embed(encoder, labelled_anomalies(train, self.method_name()).examples)
        sample = learnt_from(encoder, pool, self.most_rows, self.method_name())
        forest = Forest.grown(sample.vectors, trees=self.trees, rows_per_tree=self.rows_per_tree, seed=context.seed)
        detector = Learnt.of(sample.vectors, anomalies, k=self.neighbours, strength=self.strength, forest=forest)
        return FittedDetector(encoder, detector, sample.settings)

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved detector; see `Method.restore`."""
        from nshot.training.outliers.detector import FittedDetector
        from nshot.training.outliers.labelled import OutlierProbe as Learnt

        return FittedDetector.restore(state, open_backbone, Learnt)
