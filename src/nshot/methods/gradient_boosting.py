"""Gradient-boosted trees on the features of a frozen network, or on the columns of a table."""

from __future__ import annotations

import math
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
    from nshot.training.boosting import Growing, Look
    from nshot.training.frozen import Encoder
    from nshot.training.rowwise import Array
    from nshot.training.trees import Trees
    from nshot.training.values import Scale

_ROUNDS = (10, 20, 40, 80, 160, 320)
_USUAL_ROUNDS = 40
_MOST_TREES = 6_400
_FEW_ROWS = 200
_MANY_ROWS = 1_000
_LEAVES_OF_FEW = (4,)
_LEAVES_BETWEEN = (4, 8)
_LEAVES_OF_MANY = (8, 31)
_MOST_FEWEST_ROWS = 20
_SHARE_IN_A_LEAF = 4
_LOSSES_OF_VALUES = ("regression", "regression_l1")


class GradientBoosting(Method):
    """Add up many small decision trees, each grown to correct the ones before it.

    **Idea.** ``F_t(x) = F_{t-1}(x) + learning_rate * tree_t(x)``, where tree t is fitted to the gradient of the loss at
    ``F_{t-1}``: cross-entropy over the classes, every class counting the same; squared or absolute error of a number. A
    split tries one random threshold of every column. The number of trees, their size, which error, and how much of the
    class frequencies to put back are chosen by cross-validation inside the n labels, by the study's metric; the same
    held-out rows calibrate the probabilities. To detect anomalies, the labelled ones are one class, and at most 20,000
    rows of the pool are the other; the score is ``log p(anomaly | x) - log p(normal | x)``.

    **Needs** a backbone that embeds, and one label. Does not read label names.

    **Wins** on tables with some hundred rows or more, where columns matter by thresholds and together. **Loses** to a
    linear probe with few labels, and on the features of a network, which are made for linear models.

    **Source.** Friedman 2001, Greedy Function Approximation: A Gradient Boosting Machine, algorithms 1 and 6; Ke et al.
    2017, LightGBM: A Highly Efficient Gradient Boosting Decision Tree; random thresholds: Geurts et al. 2006.

    **Example.** ``nshot fit customers.csv --method gradient_boosting --set rounds=200 --out model``
    """

    needs: ClassVar[Needs] = Needs(
        tasks=frozenset({TaskKind.CLASSIFY, TaskKind.REGRESS, TaskKind.DETECT}), abilities=frozenset({Ability.EMBEDS})
    )
    family: ClassVar[Family] = Family.FEW_SHOT
    uses_seed: ClassVar[bool] = True
    default_for: ClassVar[frozenset[str] | None] = frozenset({"row"})

    rounds: int | None = Field(default=None, ge=1)
    """Number of rounds, each of which adds a tree for every class; left out: chosen inside the labels, up to 320."""
    leaves: int | None = Field(default=None, ge=2, le=1024)
    """Most leaves of a tree; left out: chosen inside the labels."""
    learning_rate: float = Field(default=0.1, gt=0, le=1)
    """What a tree adds is multiplied by this."""

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the boosted trees; see `Method.fit`."""
        from nshot.training import detection, frozen

        self.require(task, train, backbone)
        if task.kind is TaskKind.DETECT:
            return detection.fitted(self, task, train, pool, backbone, context)
        encoder = frozen.encoder(backbone)
        rows = frozen.embed(encoder, train.examples)
        if task.kind is TaskKind.REGRESS:
            return self._of_values(encoder, rows, train, context)
        return self._of_classes(task, encoder, rows, train, context)

    def _of_classes(
        self, task: Task, encoder: Encoder, rows: Array, train: Dataset, context: FitContext
    ) -> BoostedClasses:
        import numpy as np

        from nshot.training import boosting, frozen, logistic, selection
        from nshot.training.rowwise import softmax

        targets = train.labelled_targets()
        classes, codes = frozen.numbered(targets)
        if len(classes) == 1:
            return BoostedClasses(task, encoder, classes, None, np.zeros(1), {"calibration": 1.0})
        folds = selection.inner_folds(codes, train.groups)
        held = np.flatnonzero(folds != selection.NEVER)
        true = [targets[row] for row in held.tolist()]

        def judge(scores: Array) -> float:
            return context.objective(true, frozen.answers(task, classes, softmax(scores)))

        sizes = np.bincount(codes)
        log_prior = np.log(sizes / len(codes))

        def share_of_prior(scores: Array) -> float:
            return selection.prior_share(scores, log_prior, judge)

        def best_judgement(scores: Array) -> float:
            """Judge with the frequencies put back: without them a model looks better the less it heeds the weights."""
            per_class = _per_class(scores)
            return judge(per_class + share_of_prior(per_class) * log_prior)

        weights = logistic.balanced_weights(codes)
        data = boosting.Learnt(rows, codes, weights)
        loss, outputs = ("binary", 1) if len(classes) == 2 else ("multiclass", len(classes))
        ways = self._ways((loss,), outputs, len(codes), int(sizes.min()), context)
        looks = boosting.looks(ways, data, folds, self._rounds(outputs), best_judgement)
        growing, rounds = ways[0], self.rounds or _USUAL_ROUNDS
        scores = np.zeros((0, len(classes)))
        if looks:
            surprises = [selection.log_loss(_per_class(look.scores), codes[held], weights[held]) for look in looks]
            best = looks[selection.surest([look.score for look in looks], surprises, len(held))]
            growing, rounds, scores = best.growing, best.rounds, _per_class(best.scores)
        share = share_of_prior(scores)
        factor = selection.calibration(scores + share * log_prior, codes[held])
        chosen = {**_chosen(growing, rounds, looks), "prior_share": share, "calibration": factor}
        trees = boosting.grown(growing, data, rounds)
        return BoostedClasses(task, encoder, classes, trees, share * log_prior, chosen)

    def _of_values(self, encoder: Encoder, rows: Array, train: Dataset, context: FitContext) -> BoostedValues:
        from nshot.training import boosting, selection
        from nshot.training.values import Scale

        targets = train.labelled_targets()
        scale = Scale.of(targets)
        data = boosting.Learnt(rows, scale.standard(targets))
        folds = selection.value_folds(len(targets), train.groups)
        true = [target for target, fold in zip(targets, folds, strict=True) if fold != selection.NEVER]

        def judge(scores: Array) -> float:
            return context.objective(true, scale.answers(scores[:, 0]))

        ways = self._ways(_LOSSES_OF_VALUES, 1, len(targets), len(targets), context)
        looks = boosting.looks(ways, data, folds, self._rounds(1), judge)
        usual = (ways[0], self.rounds or _USUAL_ROUNDS)
        growing, rounds = selection.best_of({(look.growing, look.rounds): look.score for look in looks}, usual)
        trees = boosting.grown(growing, data, rounds)
        return BoostedValues(encoder, scale, trees, _chosen(growing, rounds, looks))

    def _ways(self, losses: Sequence[str], outputs: int, n: int, smallest: int, context: FitContext) -> list[Growing]:
        """Return how trees may be grown on n rows, the usual way first."""
        from nshot.training.boosting import Growing

        usual = _LEAVES_OF_FEW if n < _FEW_ROWS else _LEAVES_BETWEEN if n < _MANY_ROWS else _LEAVES_OF_MANY
        return [
            Growing(
                loss=loss,
                outputs=outputs,
                leaves=leaves,
                fewest_rows=max(1, min(_MOST_FEWEST_ROWS, smallest // _SHARE_IN_A_LEAF)),
                learning_rate=self.learning_rate,
                seed=context.seed,
                # Of few rows each step is over before a second thread has woken up.
                threads=context.threads if n >= _MANY_ROWS else 1,
            )
            for loss in losses
            for leaves in (usual if self.leaves is None else (self.leaves,))
        ]

    def _rounds(self, outputs: int) -> Sequence[int]:
        """Return after how many rounds to look; with many classes there are fewer, of as many trees each."""
        if self.rounds is not None:
            return (self.rounds,)
        return tuple(rounds for rounds in _ROUNDS if rounds * outputs <= _MOST_TREES) or _ROUNDS[:1]

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved trees; see `Method.restore`.

        Raises:
            ModelError: They are damaged.
        """
        from nshot.training import detection, frozen
        from nshot.training.trees import Trees
        from nshot.training.values import Scale

        if task.kind is TaskKind.DETECT:
            return detection.restored(self, task, state, open_backbone)
        settings, tensors = state.settings, state.tensors
        encoder = frozen.encoder(open_backbone(BackboneRef.from_json(settings["backbone"])))
        chosen = dict(settings["chosen"])
        if task.kind is TaskKind.REGRESS:
            trees = Trees.restore(tensors, 1, encoder.width)
            return BoostedValues(encoder, Scale.from_json(settings["scale"]), trees, chosen)
        classes = tuple(settings["classes"])
        if len(classes) == 1:
            return BoostedClasses(task, encoder, classes, None, tensors["offsets"], chosen)
        trees = Trees.restore(tensors, 1 if len(classes) == 2 else len(classes), encoder.width)
        return BoostedClasses(task, encoder, classes, trees, tensors["offsets"], chosen)


@dataclass(frozen=True)
class BoostedClasses:
    """Trees that score classes, None where there is only one; offsets of the scores, float64, shape (classes,)."""

    task: Task
    backbone: Encoder
    classes: tuple[str, ...]
    trees: Trees | None
    offsets: Array
    chosen: dict[str, Any]

    def predict(self, examples: Sequence[Example]) -> Prediction:
        """Return label and probabilities of each example."""
        import numpy as np

        from nshot.training import frozen
        from nshot.training.rowwise import softmax

        rows = frozen.embed(self.backbone, examples)
        scores = np.zeros((len(rows), 1)) if self.trees is None else _per_class(self.trees.scores(rows))
        probabilities = softmax((scores + self.offsets) * self.chosen["calibration"])
        return frozen.answers(self.task, self.classes, probabilities)

    def state(self) -> State:
        """Return the trees, what was chosen and the reference of the backbone."""
        settings = {
            "classes": list(self.classes),
            "chosen": self.chosen,
            "backbone": self.backbone.ref.as_json(),
        }
        trees = {} if self.trees is None else self.trees.tensors()
        return State(settings, {**trees, "offsets": self.offsets})


@dataclass(frozen=True)
class BoostedValues:
    """Trees that say a number on the common scale of the targets."""

    backbone: Encoder
    scale: Scale
    trees: Trees
    chosen: dict[str, Any]

    def predict(self, examples: Sequence[Example]) -> Prediction:
        """Return the value of each example."""
        from nshot.training import frozen

        return self.scale.answers(self.trees.scores(frozen.embed(self.backbone, examples))[:, 0])

    def state(self) -> State:
        """Return the trees, what was chosen and the reference of the backbone."""
        settings = {
            "scale": self.scale.as_json(),
            "chosen": self.chosen,
            "backbone": self.backbone.ref.as_json(),
        }
        return State(settings, self.trees.tensors())


def _per_class(scores: Array) -> Array:
    """Return a score for each class; of two classes the trees say the log-odds of the second."""
    import numpy as np

    return np.concatenate([-scores / 2, scores / 2], axis=1) if scores.shape[1] == 1 else scores


def _chosen(growing: Growing, rounds: int, looks: Sequence[Look]) -> dict[str, Any]:
    """Return a json-able record of what was chosen, and what it was chosen by."""
    judged = {f"{look.growing.loss}, {look.growing.leaves} leaves, {look.rounds} rounds": look.score for look in looks}
    return {
        "loss": growing.loss,
        "leaves": growing.leaves,
        "rounds": rounds,
        "held_out": len(looks[0].scores) if looks else 0,
        "judged": {way: round(score, 6) for way, score in judged.items() if math.isfinite(score)},
    }
