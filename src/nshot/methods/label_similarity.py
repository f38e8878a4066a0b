"""Zero-shot: the label whose name lies nearest to the example."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

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
    TakesIn,
    Task,
    TaskKind,
)
from nshot.spec import Method

if TYPE_CHECKING:
    from nshot.training.frozen import Encoder
    from nshot.training.readout import Readout
    from nshot.training.rowwise import Array


_MOST_OF_POOL = 2_000
_LIMIT = 0.3
"""The cosine from which on a label is given where there is no pool to see what is usual."""


class LabelSimilarity(Method):
    """Answer the label whose name or description lies nearest to the example; uses no label at all.

    **Idea.** ``p(c | x) = softmax_c(sharpness * cos(f(x), f(words of c)))``, f being the frozen network and the words
    the label's description, or else its name in plain words. No template is put around a name: of twelve templates
    on eight data sets none was better on all, the best on average (0.9 points of macro F1) lost 3 on question types,
    and a template speaks one language. Where several labels may apply, each is given to what is at least as near to it
    as the nearest `share` of the pool, ``p(c | x) = sigmoid(sharpness * (cos - limit_c))``: on clauses of contracts and
    genres of films that had a macro F1 of 0.14 and 0.21, always the nearest label 0.12 and 0.14.

    **Needs** a backbone that embeds, and label names or descriptions that say something. No labels.

    **Wins** below some two labels per class. **Loses** as soon as examples say more than a name does; descriptions
    (``--labels labels.toml``) raise it more than anything else.

    **Source.** Chang et al. 2008, Importance of Semantic Representation: Dataless Classification; Yin et al. 2019,
    Benchmarking Zero-shot Text Classification.

    **Example.** ``nshot fit tickets.csv --method label_similarity --labels labels.toml --out model``
    """

    needs: ClassVar[Needs] = Needs(
        tasks=frozenset({TaskKind.CLASSIFY, TaskKind.TAG}),
        abilities=frozenset({Ability.EMBEDS}),
        fewest_labels=0,
        label_names=True,
    )
    family: ClassVar[Family] = Family.ZERO_SHOT
    takes_in: ClassVar[TakesIn] = TakesIn.BY_NAME

    sharpness: float = Field(default=15.0, gt=0)
    """Factor on the cosines before the softmax; changes probabilities, never labels."""
    share: float = Field(default=0.05, gt=0, lt=1)
    """Where several labels may apply: the share of the unlabelled examples that each label is given to."""

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the embedded label names; see `Method.fit`."""
        from nshot.training import frozen

        self.require(task, train, backbone)
        encoder = frozen.encoder(backbone)
        directions = _directions(task, encoder, task.labels)
        if task.kind is TaskKind.TAG:
            return NearLabels(task, encoder, directions, _limits(encoder, directions, pool, self.share), self.sharpness)
        return NearestLabel(task, encoder, directions, self.sharpness)

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved label names; see `Method.restore`."""
        from nshot.training import frozen

        encoder = frozen.encoder(open_backbone(BackboneRef.from_json(state.settings["backbone"])))
        tensors = state.tensors
        if task.kind is TaskKind.TAG:
            return NearLabels(task, encoder, tensors["directions"], tensors["limits"], self.sharpness)
        return NearestLabel(task, encoder, tensors["directions"], self.sharpness)


@dataclass(frozen=True)
class NearestLabel:
    """One direction per label of the task, in its order; shape (labels, width), float32, length one."""

    task: Task
    backbone: Encoder
    directions: Array
    sharpness: float

    def predict(self, examples: Sequence[Example]) -> Prediction:
        """Return the nearest label and the softmax over all, for each example."""
        from nshot.training import frozen
        from nshot.training.rowwise import normalised, products, softmax

        cosines = products(normalised(frozen.embed(self.backbone, examples)), self.directions)
        return frozen.answers(self.task, self.task.labels, softmax(cosines * self.sharpness))

    def readout(self) -> Readout:
        """Return the directions as plain numbers."""
        from nshot.training.readout import towards

        return towards(self.backbone, self.task.labels, self.directions, self.sharpness)

    def state(self) -> State:
        """Return the directions and the reference of the backbone."""
        return State({"backbone": self.backbone.ref.as_json()}, {"directions": self.directions})

    def with_label(self, label: str, description: str | None = None, examples: Sequence[Example] = ()) -> NearestLabel:
        """Return a predictor that also answers `label`, by its description or name; `examples` are not looked at."""
        import numpy as np

        task = self.task.with_label(label, description)
        known = self.task.index()
        new = _directions(task, self.backbone, [label])[0]
        directions = [self.directions[known[name]] if name != label else new for name in task.labels]
        return NearestLabel(task, self.backbone, np.stack(directions), self.sharpness)


@dataclass(frozen=True)
class NearLabels:
    """One direction per label of the task, shape (labels, width), and the cosine from which on each label is given.

    Both float32, the directions of length one.
    """

    task: Task
    backbone: Encoder
    directions: Array
    limits: Array
    sharpness: float

    def predict(self, examples: Sequence[Example]) -> Prediction:
        """Return the labels that are near enough, and the probability of each, for each example."""
        import numpy as np

        from nshot.training import frozen, tagging
        from nshot.training.rowwise import normalised, products

        cosines = products(normalised(frozen.embed(self.backbone, examples)), self.directions)
        probabilities = tagging.sigmoid(self.sharpness * (cosines - self.limits))
        half = np.full(len(self.limits), tagging.HALF)
        return tagging.answers(self.task, self.task.labels, probabilities, half)

    def state(self) -> State:
        """Return directions, limits and the reference of the backbone."""
        return State({"backbone": self.backbone.ref.as_json()}, {"directions": self.directions, "limits": self.limits})

    def with_label(self, label: str, description: str | None = None, examples: Sequence[Example] = ()) -> NearLabels:
        """Return a predictor that also gives `label`, by its description or name, from the usual limit on."""
        import numpy as np

        task = self.task.with_label(label, description)
        known = self.task.index()
        new = _directions(task, self.backbone, [label])[0]
        usual = self.limits.mean() if len(self.limits) else _LIMIT
        directions = [self.directions[known[name]] if name != label else new for name in task.labels]
        limits = [self.limits[known[name]] if name in known else usual for name in task.labels]
        return NearLabels(task, self.backbone, np.stack(directions), np.array(limits, dtype=np.float32), self.sharpness)


def _limits(encoder: Encoder, directions: Array, pool: Dataset, share: float) -> Array:
    """Return the cosine that a share of the pool reaches, for each label, float32, shape (labels,)."""
    import numpy as np

    from nshot.training import frozen
    from nshot.training.rowwise import normalised, products

    if not len(pool):
        return np.full(len(directions), _LIMIT, dtype=np.float32)
    rows = np.unique(np.linspace(0, len(pool) - 1, min(_MOST_OF_POOL, len(pool))).astype(int))
    cosines = products(normalised(frozen.embed(encoder, pool.take(rows).examples)), directions)
    return np.asarray(np.quantile(cosines.astype(np.float64), 1 - share, axis=0), dtype=np.float32)


def _directions(task: Task, encoder: Encoder, labels: Sequence[str]) -> Array:
    import numpy as np

    from nshot.training import frozen
    from nshot.training.rowwise import normalised

    return normalised(frozen.embed(encoder, [task.readable(label) for label in labels])).astype(np.float32)
