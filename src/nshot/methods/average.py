"""The mean or the median of the targets: what any regression has to beat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

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


class Average(Method):
    """Answer the same number, whatever the example.

    **Idea.** The mean of the n targets, or their median where the study's metric likes that better on these targets:
    the mean has the smallest squared error, the median the smallest absolute error.

    **Needs** one target; no backbone, any modality.

    **Wins** nowhere on purpose; where it does, the data says nothing about the target. **Loses** to everything that
    looks at its input. Its R2 is about 0, and its absolute error is what that of another method has to be read against.

    **Source.** The usual no-information baseline.

    **Example.** ``nshot compare houses.csv --methods average,linear_probe``
    """

    needs: ClassVar[Needs] = Needs(
        tasks=frozenset({TaskKind.REGRESS}),
        modalities=frozenset({"text", "row", "image", "conversation", "history"}),
    )
    family: ClassVar[Family] = Family.BASELINE

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the average; see `Method.fit`."""
        import numpy as np

        from nshot.training.selection import best_of
        from nshot.training.values import as_numbers

        self.require(task, train, backbone)
        targets = train.labelled_targets()
        numbers = as_numbers(targets)
        found = {"mean": float(numbers.mean()), "median": float(np.median(numbers))}
        judged = {
            name: context.objective(targets, SameValue(value, name).predict(train.examples))
            for name, value in found.items()
        }
        chosen = best_of(judged, "mean")
        return SameValue(found[chosen], chosen)

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved average; see `Method.restore`."""
        return SameValue(state.settings["value"], state.settings["average"])


@dataclass(frozen=True)
class SameValue:
    """The same answer for every example, and which average it is."""

    value: float
    average: str

    def predict(self, examples: Sequence[Example]) -> Prediction:
        """Return the value, for each example."""
        import numpy as np

        return Prediction(values=np.full(len(examples), self.value))

    def state(self) -> State:
        """Return the value and its name."""
        return State({"value": self.value, "average": self.average})
