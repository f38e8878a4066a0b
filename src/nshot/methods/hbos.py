"""What falls into rare bins of its columns is strange."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from nshot.core import FitContext
from nshot.training.outliers.method import UnlabelledDetection

if TYPE_CHECKING:
    from nshot.training.outliers.detector import Detector
    from nshot.training.rowwise import Array


class Hbos(UnlabelledDetection):
    """Score a row by how rare the bins are that its values fall into (histogram-based outlier score).

    **Idea.** Each column has a histogram of equally wide bins; ``s(x) = -sum_j log2(density_j(x_j) + 0.1)``, densities
    being those of columns brought to spread 1.

    **Needs** a backbone that embeds, and unlabelled rows; no label.

    **Wins** on tables with values that hardly ever occur, in the middle of a column as well, in next to no time.
    **Loses** where what is strange is so only in a combination of columns.

    **Source.** Goldstein and Dengel 2012, Histogram-based Outlier Score (HBOS): A fast Unsupervised Anomaly Detection
    Algorithm.

    **Example.** ``nshot compare payments.csv --task detect --also hbos``
    """

    relative_cost: ClassVar[float] = 0.05
    by_default: ClassVar[bool] = False

    bins: int = Field(default=10, ge=2)
    """Number of bins of each column."""

    @classmethod
    def detector(cls) -> type[Detector]:
        """Return the kind of detector."""
        from nshot.training.outliers.columns import Histograms

        return Histograms

    def learn(self, vectors: Array, context: FitContext) -> tuple[Detector, Mapping[str, Any]]:
        """Return the detector learnt from these vectors."""
        from nshot.training.outliers.columns import Histograms

        return Histograms.of(vectors, self.bins), {}
