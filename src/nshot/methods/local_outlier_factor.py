"""What lies in a thinner place than its neighbours is strange."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from nshot.core import FitContext
from nshot.training.outliers.method import UnlabelledDetection

if TYPE_CHECKING:
    from nshot.training.outliers.detector import Detector
    from nshot.training.rowwise import Array


class LocalOutlierFactor(UnlabelledDetection):
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

    relative_cost: ClassVar[float] = 0.1
    by_default: ClassVar[bool] = False

    neighbours: int = Field(default=20, ge=1)
    """k: how many nearest rows are compared with."""

    @classmethod
    def detector(cls) -> type[Detector]:
        """Return the kind of detector."""
        from nshot.training.outliers.neighbours import LocalFactor

        return LocalFactor

    def learn(self, vectors: Array, context: FitContext) -> tuple[Detector, Mapping[str, Any]]:
        """Return the detector learnt from these vectors."""
        from nshot.training.outliers.neighbours import LocalFactor

        return LocalFactor.of(vectors, self.neighbours, self.method_name()), {}
