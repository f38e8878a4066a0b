"""What lies beside the plane in which rows differ is strange."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from nshot.core import FitContext
from nshot.training.outliers.method import UnlabelledDetection

if TYPE_CHECKING:
    from nshot.training.outliers.detector import Detector
    from nshot.training.rowwise import Array


class PcaResidual(UnlabelledDetection):
    """Score a row by its distance from the plane of the pool's first principal components.

    **Idea.** With V the first components of the scaled columns, as many as hold a share of the variance,
    ``s(x) = |z - V'V z|`` for the scaled row z.

    **Needs** a backbone that embeds, and unlabelled rows; no label.

    **Wins** where many columns hang together, as in measurements of one machine, and what is strange breaks that.
    **Loses** where it is strange by its size alone; with ``share=0`` the plane is the middle, and only size counts.

    **Source.** Jackson and Mudholkar 1979, Control Procedures for Residuals Associated With Principal Component
    Analysis.

    **Example.** ``nshot compare payments.csv --task detect --also pca_residual``
    """

    relative_cost: ClassVar[float] = 0.05
    by_default: ClassVar[bool] = False

    share: float = Field(default=0.5, ge=0, lt=1)
    """The share of the variance that the plane holds."""

    @classmethod
    def detector(cls) -> type[Detector]:
        """Return the kind of detector."""
        from nshot.training.outliers.directions import SubspaceResidual

        return SubspaceResidual

    def learn(self, vectors: Array, context: FitContext) -> tuple[Detector, Mapping[str, Any]]:
        """Return the detector learnt from these vectors."""
        from nshot.training.outliers.directions import SubspaceResidual

        return SubspaceResidual.of(vectors, self.share), {}
