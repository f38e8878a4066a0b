"""Dense groups, with examples left over that are in none."""

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


class Hdbscan(Method):
    """Find regions that are denser than what surrounds them; an example outside of all of them is in no group.

    **Idea.** Two examples are connected at a density if both have 5 neighbours nearer than that density asks for, and
    so on from one to the next. Groups are what stays connected over the widest range of densities. A new example
    joins the group of its nearest member, if it is as near as members of that group are to their neighbours.

    **Needs** a backbone that embeds, and unlabelled examples; no label.

    **Wins** where groups have any shape and much lies between them, which no other method leaves out. **Loses** in many
    dimensions, where everything is about equally dense.

    **Source.** Campello, Moulavi and Sander 2013, Density-based clustering based on hierarchical density estimates.

    **Example.** ``nshot fit customers.csv --task cluster --method hdbscan --set smallest=0.05 --out model``
    """

    needs: ClassVar[Needs] = Needs(
        tasks=frozenset({TaskKind.CLUSTER}), abilities=frozenset({Ability.EMBEDS}), fewest_labels=0, pool=True
    )
    family: ClassVar[Family] = Family.UNSUPERVISED
    uses_seed: ClassVar[bool] = True

    smallest: float | None = Field(default=None, gt=0, le=0.5)
    """The smallest share of the examples that is taken for a group; left out: of 0.02, 0.05 and 0.1 the one whose
    groups are most stable."""

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the groups of the pool; see `Method.fit`."""
        from nshot.training.clustering import predictor

        self.require(task, train, backbone)
        return predictor.fitted(
            self.method_name(),
            None if self.smallest is None else max(1, round(1000 * self.smallest)),
            task,
            pool,
            backbone,
            context,
        )

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved groups; see `Method.restore`."""
        from nshot.training.clustering import predictor
        from nshot.training.clustering.rules import NearestMember

        return predictor.restored(NearestMember.from_tensors, task, state, open_backbone)
