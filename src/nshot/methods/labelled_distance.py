"""What lies nearer to a labelled anomaly than to everything else is strange."""

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


class LabelledDistance(PoolOptions, Method):
    """Score a row by how much nearer it lies to a labelled anomaly than to the pool.

    **Idea.** ``s(x) = log (|f(x) - u_(k)| + m) - log (|f(x) - a_(1)| + m)`` with u_(k) the k-th nearest row of the
    pool, a_(1) the nearest labelled anomaly, and m a tenth of the usual distance within the pool.

    **Needs** a backbone that embeds, unlabelled rows, and one labelled anomaly.

    **Wins** with one to five labelled anomalies, where others are like them. **Loses** to a regression once there
    are tens of them, and to scores without labels where every anomaly is strange in its own way.

    **Source.** A ratio of two distances as in nearest-neighbour data description (Tax 2001, One-class classification),
    with the labelled anomalies in the place of the neighbour's own neighbour.

    **Example.** ``nshot fit payments.csv --task detect --method labelled_distance --out model``
    """

    needs: ClassVar[Needs] = Needs(
        tasks=frozenset({TaskKind.DETECT}), abilities=frozenset({Ability.EMBEDS}), fewest_labels=1, pool=True
    )
    family: ClassVar[Family] = Family.FEW_SHOT
    relative_cost: ClassVar[float] = 0.1

    neighbours: int = Field(default=5, ge=1)
    """k: the distance to which nearest row of the pool counts."""

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the detector learnt from the anomalies and the pool; see `Method.fit`."""
        from nshot.training import frozen
        from nshot.training.anomalies import labelled_anomalies
        from nshot.training.outliers.detector import FittedDetector, learnt_from
        from nshot.training.outliers.labelled import LabelledDistance as Learnt

        self.require(task, train, backbone)
        encoder = frozen.encoder(backbone)
        anomalies = frozen.embed(encoder, labelled_anomalies(train, self.method_name()).examples)
        sample = learnt_from(encoder, pool, self.most_rows, self.method_name())
        detector = Learnt.of(sample.vectors, anomalies, self.neighbours)
        return FittedDetector(encoder, detector, sample.settings)

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved detector; see `Method.restore`."""
        from nshot.training.outliers.detector import FittedDetector
        from nshot.training.outliers.labelled import LabelledDistance as Learnt

        return FittedDetector.restore(state, open_backbone, Learnt)
