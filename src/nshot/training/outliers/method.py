"""What every method that detects without labels does alike: one says only what it learns, and by which detector."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

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

if TYPE_CHECKING:
    from nshot.training.outliers.detector import Detector
    from nshot.training.rowwise import Array


class UnlabelledDetection(PoolOptions, Method):
    """Learns from the pool what is usual; a subclass gives `detector` and `learn`."""

    needs: ClassVar[Needs] = Needs(
        tasks=frozenset({TaskKind.DETECT}), abilities=frozenset({Ability.EMBEDS}), fewest_labels=0, pool=True
    )
    family: ClassVar[Family] = Family.UNSUPERVISED

    @classmethod
    def detector(cls) -> type[Detector]:
        """Return the kind of detector that `learn` makes; heavy imports belong in here."""
        raise NotImplementedError

    def learn(self, vectors: Array, context: FitContext) -> tuple[Detector, Mapping[str, Any]]:
        """Return the detector learnt from vectors of shape (n, width), and what to keep of how it was learnt."""
        raise NotImplementedError

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the detector learnt from the pool; see `Method.fit`."""
        from nshot.training import frozen
        from nshot.training.outliers.detector import FittedDetector, learnt_from

        self.require(task, train, backbone)
        encoder = frozen.encoder(backbone)
        sample = learnt_from(encoder, pool, self.most_rows, self.method_name())
        detector, record = self.learn(sample.vectors, context)
        return FittedDetector(encoder, detector, {**sample.settings, **record})

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved detector; see `Method.restore`."""
        from nshot.training.outliers.detector import FittedDetector

        return FittedDetector.restore(state, open_backbone, self.detector())
