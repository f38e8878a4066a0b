"""Groups that are Gaussian, each with its own shape."""

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


class GaussianMixture(Method):
    """Put every example into the component of a Gaussian mixture that most probably made it.

    **Idea.** ``maximise sum_i log sum_g w_g N(z(x_i); m_g, S_g)`` by expectation maximisation, z being at most 20
    principal components of the backbone's vectors. The covariance S of each group is its own, full where there are rows
    enough for it and diagonal otherwise. The number of groups is found as in `k_means`.

    **Needs** a backbone that embeds, and unlabelled examples; no label.

    **Wins** where groups are stretched, or of very different widths. **Loses** where rows are few for the
    number of dimensions, and where groups have no such shape.

    **Source.** Dempster, Laird and Rubin 1977, Maximum likelihood from incomplete data via the EM algorithm.

    **Example.** ``nshot fit customers.csv --task cluster --method gaussian_mixture --set groups=5 --out model``
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
        from nshot.training.clustering.rules import LikeliestComponent

        return predictor.restored(LikeliestComponent.from_tensors, task, state, open_backbone)
