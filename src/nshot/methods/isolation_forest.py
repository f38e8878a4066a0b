"""What random cuts separate early is strange."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from nshot.core import FitContext
from nshot.training.outliers.method import UnlabelledDetection

if TYPE_CHECKING:
    from nshot.training.outliers.detector import Detector
    from nshot.training.rowwise import Array


class IsolationForest(UnlabelledDetection):
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

    uses_seed: ClassVar[bool] = True
    relative_cost: ClassVar[float] = 0.1

    trees: int = Field(default=100, ge=1)
    """Number of trees."""
    rows_per_tree: int = Field(default=256, ge=2)
    """Rows of the pool that each tree is grown from; of fewer all."""

    @classmethod
    def detector(cls) -> type[Detector]:
        """Return the kind of detector."""
        from nshot.training.outliers.forest import Forest

        return Forest

    def learn(self, vectors: Array, context: FitContext) -> tuple[Detector, Mapping[str, Any]]:
        """Return the detector learnt from these vectors."""
        from nshot.training.outliers.forest import Forest

        return Forest.grown(vectors, trees=self.trees, rows_per_tree=self.rows_per_tree, seed=context.seed), {}
