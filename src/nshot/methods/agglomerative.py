"""Groups merged from single examples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nshot.training.clustering.method import FindsGroups, GroupOptions

if TYPE_CHECKING:
    from nshot.training.clustering.rules import Rule


class Agglomerative(GroupOptions, FindsGroups):
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

    @classmethod
    def rule(cls) -> type[Rule]:
        """Return the kind of rule."""
        from nshot.training.clustering.rules import NearestMember

        return NearestMember
