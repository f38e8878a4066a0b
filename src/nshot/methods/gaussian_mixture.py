"""Groups that are Gaussian, each with its own shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nshot.training.clustering.method import FindsGroups, GroupOptions

if TYPE_CHECKING:
    from nshot.training.clustering.rules import Rule


class GaussianMixture(GroupOptions, FindsGroups):
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

    @classmethod
    def rule(cls) -> type[Rule]:
        """Return the kind of rule."""
        from nshot.training.clustering.rules import LikeliestComponent

        return LikeliestComponent
