"""Groups merged from single examples."""

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


class Agglomerative(Method):
    """Merge the two nearest groups again and again; a new example joins the group of the nearest that was merged.

    **Idea.** Ward's method: of all pairs of groups those are merged whose merging raises
    ``sum_i |z(x_i) - m_g(i)|^2`` least, z being at most 20 principal components of the backbone's vectors, m the means
    of groups. The number at which merging stops is found as in `k_means`.

    **Needs** a backbone that embeds, and unlabelled examples; no label.

    **Wins** where groups are small, many or of odd shapes. **Loses** where a few rows lie between two groups, which
    merges them early; its size grows with the rows, of which at most 4,000 are kept.

    **Source.** Ward 1963, Hierarchical grouping to optimize an objective function.

    **Example.** ``nshot fit customers.csv --task cluster --method agglomerative --set groups=5 --out model``
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
        from nshot.training.clustering.rules import NearestMember

        return predictor.restored(NearestMember.from_tensors, task, state, open_backbone)
