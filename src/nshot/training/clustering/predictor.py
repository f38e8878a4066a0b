"""Groups with the backbone whose vectors they were found in: what every method of `cluster` returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nshot.core import (
    Backbone,
    BackboneRef,
    DataError,
    Dataset,
    Example,
    FitContext,
    Prediction,
    State,
    Task,
)
from nshot.training import frozen
from nshot.training.clustering.rules import Rule
from nshot.training.clustering.search import MOST_SEARCHED, search
from nshot.training.clustering.space import Space

if TYPE_CHECKING:
    from nshot.training.frozen import Encoder
    from nshot.training.rowwise import Array


@dataclass(frozen=True)
class FoundGroups:
    """Groups that are named by their rank in size; no rule where there are none, all examples then being one group.

    `reason` says in words why there are so many.
    """

    task: Task
    backbone: Encoder
    space: Space
    rule: Rule | None
    reason: str

    def predict(self, examples: Sequence[Example]) -> Prediction:
        """Return the name of each example's group, ``1`` the largest; empty of an example in none."""
        vectors = frozen.embed(self.backbone, examples)
        if self.rule is None:
            return Prediction(labels=["1"] * len(vectors))
        groups, _ = self.rule.assign(self.space.of(vectors))
        return Prediction(labels=[str(group + 1) if group >= 0 else "" for group in groups.tolist()])

    def state(self) -> State:
        """Return the groups and the reference of the backbone."""
        settings: dict[str, Any] = {
            "chosen": {"groups": 0 if self.rule is None else self.rule.n_groups, "reason": self.reason},
            "backbone": self.backbone.ref.as_json(),
        }
        tensors = {f"space.{name}": array for name, array in self.space.tensors().items()}
        if self.rule is not None:
            tensors |= {f"rule.{name}": array for name, array in self.rule.tensors().items()}
        return State(settings, tensors)


def fitted(
    algorithm: str,
    size: int | None,
    task: Task,
    pool: Dataset,
    backbone: Backbone | None,
    context: FitContext,
) -> FoundGroups:
    """Return the groups that an algorithm finds in a pool: in at most 4,000 of its examples, drawn by the seed.

    Args:
        algorithm: A name among `ALGORITHMS`.
        size: How many groups, or what else the algorithm's size means; None: found.
        task: What is asked.
        pool: Unlabelled examples.
        backbone: One that embeds.
        context: Seed and progress.

    Raises:
        DataError: There are no examples.
    """
    if not len(pool):
        raise DataError(f"{algorithm} finds groups among unlabelled examples; {pool.name} has none. Give it some.")
    encoder = frozen.encoder(backbone)
    drawn = np.sort(np.random.default_rng(context.seed).permutation(len(pool))[:MOST_SEARCHED])
    vectors = frozen.embed(encoder, pool.take(drawn.tolist()).examples)
    found = search(vectors, algorithms=(algorithm,), size=size, seed=context.seed, progress=context.progress)
    return FoundGroups(task, encoder, found.space, found.rule, found.reason)


def restored(
    rule: Callable[[Mapping[str, Array]], Rule],
    task: Task,
    state: State,
    open_backbone: Callable[[BackboneRef], Backbone],
) -> FoundGroups:
    """Return the groups whose `state` was saved.

    Args:
        rule: Builds the kind of rule that the method has from its tensors.
        task: What is asked.
        state: From `FoundGroups.state`.
        open_backbone: Opens the backbone.
    """
    settings, tensors = state.settings, state.tensors

    def part(name: str) -> dict[str, Array]:
        return {key.removeprefix(f"{name}."): array for key, array in tensors.items() if key.startswith(f"{name}.")}

    return FoundGroups(
        task,
        frozen.encoder(open_backbone(BackboneRef.from_json(settings["backbone"]))),
        Space.from_tensors(part("space")),
        rule(part("rule")) if settings["chosen"]["groups"] else None,
        settings["chosen"]["reason"],
    )
