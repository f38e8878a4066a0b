"""Methods that learn from how sure another model is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from nshot.core.backbone import Backbone
from nshot.core.context import FitContext
from nshot.core.dataset import Dataset
from nshot.core.prediction import Predictor
from nshot.core.task import Task

if TYPE_CHECKING:
    import numpy as np


@runtime_checkable
class Distils(Protocol):
    """A method that can learn to classify from a teacher's probabilities; others learn from its answers by a fit."""

    def distilled(
        self, task: Task, train: Dataset, probabilities: np.ndarray, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return a predictor that answers like the teacher, cross-entropy against its probabilities being minimised.

        Args:
            task: What is asked, to classify.
            train: n examples with the labels that the teacher answers; there is no true label in it.
            probabilities: How sure it is of each label of the task, float32, shape (n, labels), rows summing to one and
                largest at the label that it answers.
            backbone: As in `Method.fit`.
            context: As in `Method.fit`.

        Raises:
            UnsupportedError: With the text of `Method.supports`, where that is not None.
        """
