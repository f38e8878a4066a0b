"""Groups found without labels, named by the few labelled examples that lie in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from nshot.core import (
    Ability,
    Backbone,
    BackboneRef,
    Dataset,
    Example,
    Family,
    FitContext,
    Needs,
    Prediction,
    Predictor,
    State,
    Task,
    TaskKind,
)
from nshot.spec import Method

if TYPE_CHECKING:
    from nshot.training.frozen import Encoder
    from nshot.training.rowwise import Array

_MOST_CLUSTERED = 4_000
_ROUNDS = 10
_SHARPNESS = 20.0


class ClusterThenLabel(Method):
    """Group all examples without their labels, then let the few labelled ones name the groups.

    **Idea.** k-means on the pool's features, each scaled to length one: nearly ``maximise sum_i cos(f(x_i), m_g(i))``
    over groups g and their centres m. Each labelled example votes in its group, with the weight
    ``exp(20 (cos(f(x_i), m_g) - the group's largest))``; a group without any takes the votes of the most similar group
    that has some. ``p(c | x)`` is c's share of the votes in the group whose centre is most similar to x, one more vote
    being spread evenly over the classes. At most 4,000 pool examples, drawn by the seed, are clustered.

    **Needs** a backbone that embeds, a pool of unlabelled examples, and one label.

    **Wins** where the groups are the classes, labels are few and texts many. **Loses** where classes differ by
    something that the features do not put first (sentiment within topics). How well it does says how far the structure
    of the data is from the question asked of it.

    **Source.** Lloyd 1982, Least squares quantization in PCM; Dhillon and Modha 2001, Concept decompositions, for
    cosines; Zeng et al. 2003, CBC: Clustering Based Text Classification Requiring Minimal Labeled Data.

    **Example.** ``nshot fit tickets.csv --method cluster_then_label --set groups=50 --out model``
    """

    version: ClassVar[int] = 2
    needs: ClassVar[Needs] = Needs(
        tasks=frozenset({TaskKind.CLASSIFY}), abilities=frozenset({Ability.EMBEDS}), pool=True
    )
    family: ClassVar[Family] = Family.UNSUPERVISED
    uses_seed: ClassVar[bool] = True

    groups: int | None = Field(default=None, ge=1)
    """Number of groups; left out: half the number of labelled examples, but at least 3 and at most 8 per class."""

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the named groups; see `Method.fit`."""
        import numpy as np

        from nshot.training import frozen
        from nshot.training.clustering import algorithms
        from nshot.training.rowwise import normalised, products

        self.require(task, train, backbone)
        encoder = frozen.encoder(backbone)
        rng = np.random.default_rng(context.seed)
        source = pool if len(pool) else train
        drawn = rng.permutation(len(source))[:_MOST_CLUSTERED]
        unlabelled = frozen.directions(encoder, source.take(drawn.tolist()).examples).astype(np.float32)
        n_classes = len(task.labels)
        wanted = self.groups or min(max(len(train) // 2, 3 * n_classes), 8 * n_classes)
        means = algorithms.centres(unlabelled, min(wanted, len(unlabelled)), context.seed, starts=1, rounds=_ROUNDS)
        centres = normalised(means).astype(np.float32)

        classes, codes = frozen.numbered(train.labelled_targets())
        cosines = products(frozen.directions(encoder, train.examples), centres)
        group = cosines.argmax(axis=1)
        # Weights within a group are relative to its own nearest labelled example.
        closest = cosines.max(axis=1).astype(np.float64)
        highest = np.full(len(centres), -np.inf)
        np.maximum.at(highest, group, closest)
        votes = np.zeros((len(centres), len(classes)))
        np.add.at(votes, (group, codes), np.exp(_SHARPNESS * (closest - highest[group])))
        named = np.unique(group)
        source_of = named[products(centres, centres[named]).argmax(axis=1)]
        source_of[named] = named
        votes = votes[source_of] + 1 / len(classes)
        shares = votes / votes.sum(axis=1, keepdims=True)
        return NamedGroups(task, encoder, classes, centres, shares.astype(np.float32), len(named))

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved groups; see `Method.restore`."""
        from nshot.training import frozen

        settings, tensors = state.settings, state.tensors
        encoder = frozen.encoder(open_backbone(BackboneRef.from_json(settings["backbone"])))
        return NamedGroups(
            task,
            encoder,
            tuple(settings["classes"]),
            tensors["centres"],
            tensors["shares"],
            settings["chosen"]["groups_with_labels"],
        )


@dataclass(frozen=True)
class NamedGroups:
    """Centres of length one, shape (groups, width), and each group's shares of the classes, shape (groups, classes)."""

    task: Task
    backbone: Encoder
    classes: tuple[str, ...]
    centres: Array
    shares: Array
    n_named: int

    def predict(self, examples: Sequence[Example]) -> Prediction:
        """Return the label and the shares of the most similar group, for each example."""
        from nshot.training import frozen
        from nshot.training.rowwise import products

        cosines = products(frozen.directions(self.backbone, examples), self.centres)
        return frozen.answers(self.task, self.classes, self.shares[cosines.argmax(axis=1)])

    def state(self) -> State:
        """Return the groups and the reference of the backbone."""
        settings: dict[str, Any] = {
            "classes": list(self.classes),
            "chosen": {"groups": len(self.centres), "groups_with_labels": self.n_named},
            "backbone": self.backbone.ref.as_json(),
        }
        return State(settings, {"centres": self.centres, "shares": self.shares})
