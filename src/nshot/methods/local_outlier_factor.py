"""What lies in a thinner place than its neighbours is strange."""

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


class LocalOutlierFactor(PoolOptions, Method):
    """Score a row by how much thinner the place where it lies is than the places of its neighbours.

    **Idea.** The density at x is one over its mean reach from its k nearest rows o, the reach from o being at least o's
    own distance to its k-th nearest. The score is the mean density at those o divided by the density at x: about 1
    for what lies among its like, several for what stands outside.

    **Needs** a backbone that embeds, and two unlabelled rows or more; no label. Its size is that of the rows it keeps.

    **Wins** where heaps of usual rows differ in density, with few anomalies. **Loses** where anomalies come in heaps
    of their own of more than k rows, and with many columns of noise.

    **Source.** Breunig, Kriegel, Ng and Sander 2000, LOF: Identifying Density-Based Local Outliers, definitions 5 to 7.

    **Example.** ``nshot compare payments.csv --task detect --also local_outlier_factor``
    """

    needs: ClassVar[Needs] = Needs(
        tasks=frozenset({TaskKind.DETECT}), abilities=frozenset({Ability.EMBEDS}), fewest_labels=0, pool=True
    )
    family: ClassVar[Family] = Family.UNSUPERVISED
    relative_cost: ClassVar[float] = 0.1
    by_default: ClassVar[bool] = False

    neighbours: int = Field(default=20, ge=1)
    """k: how many nearest rows are compared with."""

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the detector learnt from the pool; see `Method.fit`."""
        from nshot.training import frozen
        from nshot.training.outliers.detector import FittedDetector, learnt_from
        from nshot.training.outliers.neighbours import LocalFactor

        self.require(task, train, backbone)
        encoder = frozen.encoder(backbone)
        sample = learnt_from(encoder, pool, self.most_rows, self.method_name())
        detector = LocalFactor.of(sample.vectors, self.neighbours, self.method_name())
        return FittedDetector(encoder, detector, sample.settings)

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved detector; see `Method.restore`."""
        from nshot.training.outliers.detector import FittedDetector
        from nshot.training.outliers.neighbours import LocalFactor

        return FittedDetector.restore(state, open_backbone, LocalFactor)
