"""What lies far from everything known is strange."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from nshot.core import FitContext
from nshot.training.outliers.method import UnlabelledDetection

if TYPE_CHECKING:
    from nshot.training.outliers.detector import Detector
    from nshot.training.rowwise import Array


class NearestDistance(UnlabelledDetection):
    """Score a row by its distance to the k-th nearest row of the pool.

    **Idea.** ``s(x) = |f(x) - f(x_(k))|`` with x_(k) the k-th nearest of the rows that are kept.

    **Needs** a backbone that embeds, and unlabelled rows; no label. Its size is that of the rows it keeps.

    **Wins** where usual rows form several heaps of any shape, and on texts. **Loses** where anomalies are so many that
    they are each other's neighbours, and where usual rows lie much denser in one place than in another.

    **Source.** Ramaswamy, Rastogi and Shim 2000, Efficient Algorithms for Mining Outliers from Large Data Sets.

    **Example.** ``nshot fit payments.csv --task detect --method nearest_distance --set neighbours=10 --out model``
    """

    relative_cost: ClassVar[float] = 0.1

    neighbours: int = Field(default=5, ge=1)
    """k: the distance to which nearest row counts."""

    @classmethod
    def detector(cls) -> type[Detector]:
        """Return the kind of detector."""
        from nshot.training.outliers.neighbours import NeighbourDistance

        return NeighbourDistance

    def learn(self, vectors: Array, context: FitContext) -> tuple[Detector, Mapping[str, Any]]:
        """Return the detector learnt from these vectors."""
        import numpy as np

        from nshot.training.outliers.neighbours import NeighbourDistance

        return NeighbourDistance(vectors, np.array(self.neighbours)), {}
