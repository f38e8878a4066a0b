"""The mean of each class's features stands for the class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from nshot.core import (
    Ability,
    Backbone,
    BackboneRef,
    DataError,
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

_USUAL_SHARPNESS = 15.0


class Prototypes(Method):
    """Answer the class whose mean feature vector points most nearly where the example's does.

    **Idea.** With u(x) = f(x) / |f(x)|, a class's prototype is ``m_c = sum of u(x_i) over its examples``, and
    ``p(c | x) = softmax_c(sharpness * cos(u(x), m_c))``. The sharpness is chosen by leave-one-out log-loss inside the
    n labels (an example's own group is taken out of its class's mean); it changes probabilities, never labels.

    **Needs** a backbone that embeds, and one label. Does not read label names. New classes can be added
    from a few examples without fitting again.

    **Wins** at one to five labels per class and where classes come and go. **Loses** to a probe once there are
    enough labels to see in which directions a class may vary.

    **Source.** Snell et al. 2017, Prototypical Networks for Few-shot Learning, equations 1 and 2, with cosines on a
    frozen network.

    **Example.** ``nshot fit tickets.csv --method prototypes --out model``
    """

    needs: ClassVar[Needs] = Needs(tasks=frozenset({TaskKind.CLASSIFY}), abilities=frozenset({Ability.EMBEDS}))
    family: ClassVar[Family] = Family.FEW_SHOT
    takes_in: ClassVar[TakesIn] = TakesIn.BY_EXAMPLES

    sharpness: float | None = Field(default=None, gt=0)
    """Factor on the cosines before the softmax; left out: chosen inside the labels."""

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the prototypes; see `Method.fit`."""
        import numpy as np

        from nshot.training import frozen

        self.require(task, train, backbone)
        encoder = frozen.encoder(backbone)
        classes, codes = frozen.numbered(train.labelled_targets())
        vectors = frozen.directions(encoder, train.examples)
        sums = np.zeros((len(classes), vectors.shape[1]))
        np.add.at(sums, codes, vectors)
        sharpness = self.sharpness
        if sharpness is None:
            sharpness = _by_leaving_out(vectors, codes, sums, train.groups)
        return NearestPrototype(task, encoder, classes, sums.astype(np.float32), sharpness)

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved prototypes; see `Method.restore`."""
        from nshot.training import frozen

        settings = state.settings
        encoder = frozen.encoder(open_backbone(BackboneRef.from_json(settings["backbone"])))
        return NearestPrototype(
            task, encoder, tuple(settings["classes"]), state.tensors["sums"], settings["chosen"]["sharpness"]
        )


@dataclass(frozen=True)
class NearestPrototype:
    """Per class the sum of its examples' unit vectors, shape (classes, width), float32: a sum can be added to."""

    task: Task
    backbone: Encoder
    classes: tuple[str, ...]
    sums: Array
    sharpness: float

    def predict(self, examples: Sequence[Example]) -> Prediction:
        """Return the nearest class and the softmax over all, for each example."""
        from nshot.training import frozen
        from nshot.training.rowwise import normalised, products, softmax

        cosines = products(frozen.directions(self.backbone, examples), normalised(self.sums))
        return frozen.answers(self.task, self.classes, softmax(cosines * self.sharpness))

    def readout(self) -> Readout:
        """Return the prototypes as plain numbers."""
        from nshot.training.readout import towards

        return towards(self.backbone, self.classes, self.sums, self.sharpness)

    def state(self) -> State:
        """Return the sums, the sharpness and the reference of the backbone."""
        settings: dict[str, Any] = {
            "classes": list(self.classes),
            "chosen": {"sharpness": self.sharpness},
            "backbone": self.backbone.ref.as_json(),
        }
        return State(settings, {"sums": self.sums})

    def with_label(
        self, label: str, description: str | None = None, examples: Sequence[Example] = ()
    ) -> NearestPrototype:
        """Return a predictor that also answers `label`; examples of a label it has are added to that.

        Raises:
            DataError: There is no example.
        """
        import numpy as np

        from nshot.training import frozen

        if len(examples) == 0:
            raise DataError(f"A prototype of '{label}' needs at least one example of it; none was given.")
        added = frozen.directions(self.backbone, examples).sum(axis=0).astype(np.float32)
        classes = self.classes if label in self.classes else (*self.classes, label)
        sums = np.zeros((len(classes), self.sums.shape[1]), dtype=np.float32)
        sums[: len(self.classes)] = self.sums
        sums[classes.index(label)] += added
        return NearestPrototype(self.task.with_label(label, description), self.backbone, classes, sums, self.sharpness)


def _by_leaving_out(vectors: Array, codes: Array, sums: Array, groups: Sequence[Any] | None) -> float:
    """Return the sharpness with the smallest log-loss when each example's group is left out of its class."""
    import numpy as np

    from nshot.training.rowwise import normalised, products
    from nshot.training.selection import log_loss

    keys = range(len(codes)) if groups is None else groups
    members: dict[Any, list[int]] = {}
    for row, key in enumerate(zip(keys, codes.tolist(), strict=True)):
        members.setdefault(key, []).append(row)
    own = np.empty_like(vectors)
    for rows in members.values():
        own[rows] = vectors[rows].sum(axis=0)
    units_per_class = np.bincount([code for _, code in members], minlength=len(sums))
    kept = np.flatnonzero(units_per_class[codes] > 1)
    if not len(kept):
        return _USUAL_SHARPNESS
    without = (normalised(sums[codes[kept]] - own[kept]) * vectors[kept]).sum(axis=1)
    cosines = products(vectors[kept], normalised(sums))
    cosines[np.arange(len(kept)), codes[kept]] = without
    tried = [_USUAL_SHARPNESS * 2 ** (i / 2) for i in range(-4, 7)]
    return min(tried, key=lambda sharpness: log_loss(cosines * sharpness, codes[kept]))
