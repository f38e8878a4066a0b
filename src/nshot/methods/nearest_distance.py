"""What lies far from everything known is strange."""

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


class NearestDistance(PoolOptions, Method):
    """Score a row by its distance to the k-th nearest row of the pool.

    **Idea.** ``s(x) = |f(x) - f(x_(k))|`` with x_(k) the k-th nearest of the rows that are kept.

    **Needs** a backbone that embeds, and unlabelled rows; no label. Its size is that of the rows it keeps.

    **Wins** where usual rows form several heaps of any shape, and on texts. **Loses** where anomalies are so many that
    they are each other's neighbours, and where usual rows lie much denser in one place than in another.

    **Source.** Ramaswamy, Rastogi and Shim 2000, Efficient Algorithms for Mining Outliers from Large Data Sets.

    **Example.** ``nshot fit payments.csv --task detect --method nearest_distance --set neighbours=10 --out model``
    """

    needs: ClassVar[Needs] = Needs(
        tasks=frozenset({TaskKind.DETECT}), abilities=frozenset({Ability.EMBEDS}), fewest_labels=0, pool=True
    )
    family: ClassVar[Family] = Family.UNSUPERVISED
    relative_cost: ClassVar[float] = 0.1

    neighbours: int = Field(default=5, ge=1)
    """k: the distance to which nearest row counts."""

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the detector learnt from the pool; see `Method.fit`."""
        import numpy as np

        from nshot.training import frozen
        from nshot.training.outliers.detector import FittedDetector, learnt_from
        from nshot.training.outliers.neighbours import NeighbourDistance

        self.require(task, train, backbone)
        encoder = frozen.encoder(backbone)
        sample = learnt_from(encoder, pool, self.most_rows, self.method_name())
        detector = NeighbourDistance(sample.vectors, np.array(self.neighbours))
        return FittedDetector(encoder, detector, sample.settings)

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved detector; see `Method.restore`."""
        from nshot.training.outliers.detector import FittedDetector
        from nshot.training.outliers.neighbours import NeighbourDistance

        return FittedDetector.restore(state, open_backbone, NeighbourDistance)
