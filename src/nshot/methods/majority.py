"""The frequencies of the labels: what any method has to beat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from nshot.core import (
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
    from nshot.training.rowwise import Array


class Majority(Method):
    """Answer the most frequent label, whatever the example.

    **Idea.** ``p(c | x) = n_c / n``: the share of label c among the n labels. Of two equally frequent labels the one
    seen first is answered. Where several may apply, each is answered that more than half of the examples have: often
    none at all.

    **Needs** one label; no backbone, any modality.

    **Wins** nowhere on purpose; where it does, the data or the metric says nothing. **Loses** to everything that
    looks at its input. Its accuracy is what a figure of another method has to be read against.

    **Source.** The usual no-information baseline.

    **Example.** ``nshot compare tickets.csv --methods majority,linear_probe``
    """

    needs: ClassVar[Needs] = Needs(
        tasks=frozenset({TaskKind.CLASSIFY, TaskKind.TAG}),
        modalities=frozenset({"text", "row", "image", "conversation", "history"}),
    )
    family: ClassVar[Family] = Family.BASELINE

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the counted frequencies; see `Method.fit`."""
        import numpy as np

        from nshot.training import frozen, tagging

        self.require(task, train, backbone)
        if task.kind is TaskKind.TAG:
            names, marks = tagging.numbered(train.labelled_targets())
            return Frequencies(task, names, marks.mean(axis=0))
        classes, codes = frozen.numbered(train.labelled_targets())
        return Frequencies(task, classes, (np.bincount(codes) / len(codes)).astype(np.float32))

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved frequencies; see `Method.restore`."""
        return Frequencies(task, tuple(state.settings["classes"]), state.tensors["frequencies"])


@dataclass(frozen=True)
class Frequencies:
    """The same answer for every example."""

    task: Task
    classes: tuple[str, ...]
    frequencies: Array

    def predict(self, examples: Sequence[Example]) -> Prediction:
        """Return the most frequent label and all frequencies, for each example."""
        import numpy as np

        from nshot.training import frozen, tagging

        shares = np.tile(self.frequencies, (len(examples), 1))
        if self.task.kind is TaskKind.TAG:
            more_than_half = np.full(len(self.classes), np.nextafter(np.float32(tagging.HALF), np.float32(1)))
            return tagging.answers(self.task, self.classes, shares, more_than_half)
        return frozen.answers(self.task, self.classes, shares)

    def state(self) -> State:
        """Return classes and frequencies."""
        return State({"classes": list(self.classes)}, {"frequencies": self.frequencies})
