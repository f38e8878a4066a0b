"""What lies beside the plane in which rows differ is strange."""

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


class PcaResidual(PoolOptions, Method):
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

    needs: ClassVar[Needs] = Needs(
        tasks=frozenset({TaskKind.DETECT}), abilities=frozenset({Ability.EMBEDS}), fewest_labels=0, pool=True
    )
    family: ClassVar[Family] = Family.UNSUPERVISED
    relative_cost: ClassVar[float] = 0.05
    by_default: ClassVar[bool] = False

    share: float = Field(default=0.5, ge=0, lt=1)
    """The share of the variance that the plane holds."""

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the detector learnt from the pool; see `Method.fit`."""
        from nshot.training import frozen
        from nshot.training.outliers.detector import FittedDetector, learnt_from
        from nshot.training.outliers.directions import SubspaceResidual

        self.require(task, train, backbone)
        encoder = frozen.encoder(backbone)
        sample = learnt_from(encoder, pool, self.most_rows, self.method_name())
        detector = SubspaceResidual.of(sample.vectors, self.share)
        return FittedDetector(encoder, detector, sample.settings)

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved detector; see `Method.restore`."""
        from nshot.training.outliers.detector import FittedDetector
        from nshot.training.outliers.directions import SubspaceResidual

        return FittedDetector.restore(state, open_backbone, SubspaceResidual)
