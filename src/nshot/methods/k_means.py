"""Groups around centres."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nshot.training.clustering.method import FindsGroups, GroupOptions

if TYPE_CHECKING:
    from nshot.training.clustering.rules import Rule


class KMeans(GroupOptions, FindsGroups):
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

    @classmethod
    def rule(cls) -> type[Rule]:
        """Return the kind of rule."""
        from nshot.training.clustering.rules import NearestCentre

        return NearestCentre
