"""What falls into rare bins of its columns is strange."""

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


class Hbos(PoolOptions, Method):
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

    needs: ClassVar[Needs] = Needs(
        tasks=frozenset({TaskKind.DETECT}), abilities=frozenset({Ability.EMBEDS}), fewest_labels=0, pool=True
    )
    family: ClassVar[Family] = Family.UNSUPERVISED
    relative_cost: ClassVar[float] = 0.05
    by_default: ClassVar[bool] = False

    bins: int = Field(default=10, ge=2)
    """Number of bins of each column."""

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the detector learnt from the pool; see `Method.fit`."""
        from nshot.training import frozen
        from nshot.training.outliers.columns import Histograms
        from nshot.training.outliers.detector import FittedDetector, learnt_from

        self.require(task, train, backbone)
        encoder = frozen.encoder(backbone)
        sample = learnt_from(encoder, pool, self.most_rows, self.method_name())
        detector = Histograms.of(sample.vectors, self.bins)
        return FittedDetector(encoder, detector, sample.settings)

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved detector; see `Method.restore`."""
        from nshot.training.outliers.columns import Histograms
        from nshot.training.outliers.detector import FittedDetector

        return FittedDetector.restore(state, open_backbone, Histograms)
