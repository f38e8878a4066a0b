"""Dense groups, with examples left over that are in none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from nshot.training.clustering.method import FindsGroups

if TYPE_CHECKING:
    from nshot.training.clustering.rules import Rule


class Hdbscan(FindsGroups):
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

    smallest: float | None = Field(default=None, gt=0, le=0.5)
    """The smallest share of the examples that is taken for a group; left out: of 0.02, 0.05 and 0.1 the one whose
    groups are most stable."""

    @property
    def size(self) -> int | None:
        """What the search is told: thousandths of the examples; None: it finds it."""
        return None if self.smallest is None else max(1, round(1000 * self.smallest))

    @classmethod
    def rule(cls) -> type[Rule]:
        """Return the kind of rule."""
        from nshot.training.clustering.rules import NearestMember

        return NearestMember
