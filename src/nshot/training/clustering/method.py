"""What every method that finds groups does alike: one says only by which rule new examples join them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

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
from nshot.spec import Method, Spec

if TYPE_CHECKING:
    from nshot.training.clustering.rules import Rule


class GroupOptions(Spec):
    """The option of the methods that are told a number of groups, stated once."""

    groups: int | None = Field(default=None, ge=2)
    """Number of groups; left out: found by how stable they are, none being an answer."""

    @property
    def size(self) -> int | None:
        """What the search is told; None: it finds it."""
        return self.groups


class FindsGroups(Method):
    """Finds groups in the pool by the algorithm of its own name; a subclass gives `size` and `rule`."""

    needs: ClassVar[Needs] = Needs(
        tasks=frozenset({TaskKind.CLUSTER}), abilities=frozenset({Ability.EMBEDS}), fewest_labels=0, pool=True
    )
    family: ClassVar[Family] = Family.UNSUPERVISED
    uses_seed: ClassVar[bool] = True

    @property
    def size(self) -> int | None:
        """What the search is told, see `algorithms.ALGORITHMS`; None: it finds it."""
        raise NotImplementedError

    @classmethod
    def rule(cls) -> type[Rule]:
        """Return the kind of rule by which examples join groups; heavy imports belong in here."""
        raise NotImplementedError

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the groups of the pool; see `Method.fit`."""
        from nshot.training.clustering import predictor

        self.require(task, train, backbone)
        return predictor.fitted(self.method_name(), self.size, task, pool, backbone, context)

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved groups; see `Method.restore`."""
        from nshot.training.clustering import predictor

        return predictor.restored(self.rule().from_tensors, task, state, open_backbone)
