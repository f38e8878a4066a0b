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


class LabelSimilarity(Method):
    """Answer the label whose name or description lies nearest to the example; uses no label at all.

    **Idea.** ``p(c | x) = softmax_c(sharpness * cos(f(x), f(words of c)))``, f being the frozen network and the words
    the label's description, or else its name in plain words. No template is put around a name: of twelve templates
    on eight data sets none was better on all, the best on average (0.9 points of macro F1) lost 3 on question types,
    and a template speaks one language.

    **Needs** a backbone that embeds, and label names or descriptions that say something. No labels.

    **Wins** below some two labels per class. **Loses** as soon as examples say more than a name does; descriptions
    (``--labels labels.toml``) raise it more than anything else.

    **Source.** Chang et al. 2008, Importance of Semantic Representation: Dataless Classification; Yin et al. 2019,
    Benchmarking Zero-shot Text Classification.

    **Example.** ``nshot fit tickets.csv --method label_similarity --labels labels.toml --out model``
    """

    needs: ClassVar[Needs] = Needs(
        tasks=frozenset({TaskKind.CLASSIFY}),
        abilities=frozenset({Ability.EMBEDS}),
        fewest_labels=0,
        label_names=True,
    )
    family: ClassVar[Family] = Family.ZERO_SHOT
    takes_in: ClassVar[TakesIn] = TakesIn.BY_NAME

    sharpness: float = Field(default=15.0, gt=0)
    """Factor on the cosines before the softmax; changes probabilities, never labels."""

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the embedded label names; see `Method.fit`."""
        from nshot.training import frozen

        self.require(task, train, backbone)
        encoder = frozen.encoder(backbone)
        return NearestLabel(task, encoder, _directions(task, encoder, task.labels), self.sharpness)

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved label names; see `Method.restore`."""
        from nshot.training import frozen

        encoder = frozen.encoder(open_backbone(BackboneRef.from_json(state.settings["backbone"])))
        return NearestLabel(task, encoder, state.tensors["directions"], self.sharpness)


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


def _directions(task: Task, encoder: Encoder, labels: Sequence[str]) -> Array:
    import numpy as np

    from nshot.training import frozen
    from nshot.training.rowwise import normalised

    return normalised(frozen.embed(encoder, [task.readable(label) for label in labels])).astype(np.float32)
