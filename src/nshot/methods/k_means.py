"""Groups around centres."""

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


class KMeans(Method):
    """Put every example into the group whose centre is nearest.

    **Idea.** ``minimise sum_i |z(x_i) - m_g(i)|^2`` over the groups g and their centres m, z being at most 20 principal
    components of the backbone's vectors. The number of groups is the one whose groups are found again on other rows,
    if rows are rarer between them than in them; otherwise everything is one group.

    **Needs** a backbone that embeds, and unlabelled examples; no label.

    **Wins** where groups are round and about equally wide; nothing is quicker. **Loses** where they are stretched, or
    of very different widths.

    **Source.** Lloyd 1982, Least squares quantization in PCM; Arthur and Vassilvitskii 2007, k-means++, for the start.

    **Example.** ``nshot fit customers.csv --task cluster --method k_means --set groups=5 --out model``
    """

    needs: ClassVar[Needs] = Needs(
        tasks=frozenset({TaskKind.CLUSTER}), abilities=frozenset({Ability.EMBEDS}), fewest_labels=0, pool=True
    )
    family: ClassVar[Family] = Family.UNSUPERVISED
    uses_seed: ClassVar[bool] = True

    groups: int | None = Field(default=None, ge=2)
    """Number of groups; left out: found by how stable they are, none being an answer."""

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the groups of the pool; see `Method.fit`."""
        from nshot.training.clustering import predictor

        self.require(task, train, backbone)
        return predictor.fitted(self.method_name(), self.groups, task, pool, backbone, context)

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved groups; see `Method.restore`."""
        from nshot.training.clustering import predictor
        from nshot.training.clustering.rules import NearestCentre

        return predictor.restored(NearestCentre.from_tensors, task, state, open_backbone)
