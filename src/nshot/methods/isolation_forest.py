"""What random cuts separate early is strange."""

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


class IsolationForest(PoolOptions, Method):
    """Score a row by how few random cuts through the pool separate it from all other rows.

    **Idea.** A tree cuts a random part of the pool at random places of random columns until every row is alone. With
    E(h) the mean number of cuts that lead to x over all trees, and c what it is for rows of the part itself, the
    score is ``2 ** (-E(h(x)) / c)``: near 1 for what is alone at once, below 0.5 for what is usual.

    **Needs** a backbone that embeds, and unlabelled rows; no label.

    **Wins** on tables with columns of different kinds, whatever their scale, at any size. **Loses** where what is
    strange is so only in a combination of columns, or among its own neighbours.

    **Source.** Liu, Ting and Zhou 2008, Isolation Forest, equations 1 and 2.

    **Example.** ``nshot fit payments.csv --task detect --method isolation_forest --out model``
    """

    needs: ClassVar[Needs] = Needs(
        tasks=frozenset({TaskKind.DETECT}), abilities=frozenset({Ability.EMBEDS}), fewest_labels=0, pool=True
    )
    family: ClassVar[Family] = Family.UNSUPERVISED
    uses_seed: ClassVar[bool] = True
    relative_cost: ClassVar[float] = 0.1

    trees: int = Field(default=100, ge=1)
    """Number of trees."""
    rows_per_tree: int = Field(default=256, ge=2)
    """Rows of the pool that each tree is grown from; of fewer all."""

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the detector learnt from the pool; see `Method.fit`."""
        from nshot.training import frozen
        from nshot.training.outliers.detector import FittedDetector, learnt_from
        from nshot.training.outliers.forest import Forest

        self.require(task, train, backbone)
        encoder = frozen.encoder(backbone)
        sample = learnt_from(encoder, pool, self.most_rows, self.method_name())
        detector = Forest.grown(sample.vectors, trees=self.trees, rows_per_tree=self.rows_per_tree, seed=context.seed)
        return FittedDetector(encoder, detector, sample.settings)

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved detector; see `Method.restore`."""
        from nshot.training.outliers.detector import FittedDetector
        from nshot.training.outliers.forest import Forest

        return FittedDetector.restore(state, open_backbone, Forest)
