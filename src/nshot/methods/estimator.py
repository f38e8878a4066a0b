"""Any estimator with scikit-learn's interface that the user names, on the features of a frozen network or a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

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
    from nshot.training.estimators import Fitted
    from nshot.training.frozen import Encoder
    from nshot.training.rowwise import Array
    from nshot.training.values import Scale


class Estimator(Method):
    """Fit an estimator of another package, such as a pre-trained model for tables.

    **Idea.** What the named class learns from features and targets, by its own defaults: anything with scikit-learn's
    ``fit`` and ``predict`` (``predict_proba``, where it has that). It is given the seed as ``random_state`` and the
    threads as ``n_jobs``, where it takes them. Fitted objects have no data format, so what is saved is what it learnt
    from: features and targets. Loading the model fits again, and runs the named package; only well-known ones can
    therefore be named.

    **Needs** a backbone that embeds, one label, and the package, which nshot does not install.

    **Wins** where the package holds a model that was pre-trained on many tables, with few rows. **Loses** where loading
    has to be quick, or where rows must not leave with the model.

    **Source.** Hollmann et al. 2025, Accurate predictions on small data with a tabular foundation model, for the best
    known of such models; the interface is that of Buitinck et al. 2013, API design for machine learning software.

    **Example.** ``nshot compare customers.csv --also estimator --set estimator.estimator=tabpfn:TabPFNClassifier``
    """

    needs: ClassVar[Needs] = Needs(
        tasks=frozenset({TaskKind.CLASSIFY, TaskKind.REGRESS}), abilities=frozenset({Ability.EMBEDS})
    )
    family: ClassVar[Family] = Family.FEW_SHOT
    uses_seed: ClassVar[bool] = True
    by_default: ClassVar[bool] = False

    estimator: str = ""
    """``module:Class`` of an installed package, such as xgboost:XGBRegressor or tabpfn:TabPFNClassifier."""

    def supports(self, task: Task, backbone: Backbone | None) -> str | None:
        """Return None, or the reason why not: see `Method.supports`; the package has to be there."""
        from nshot.training import estimators

        return super().supports(task, backbone) or estimators.unavailable(self.estimator)

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the fitted estimator; see `Method.fit`.

        Raises:
            TrainingError: The estimator failed.
        """
        from nshot.training import estimators, frozen
        from nshot.training.values import Scale

        self.require(task, train, backbone)
        encoder = frozen.encoder(backbone)
        rows = frozen.embed(encoder, train.examples)
        targets = train.labelled_targets()
        how = {"seed": context.seed, "threads": context.threads}
        if task.kind is TaskKind.REGRESS:
            scale = Scale.of(targets)
            learnt = scale.standard(targets)
            fitted = estimators.fitted(self.estimator, rows, learnt, **how)
            return EstimatedValues(encoder, fitted, rows, learnt, how, scale)
        classes, codes = frozen.numbered(targets)
        one = len(classes) == 1
        found = None if one else estimators.fitted(self.estimator, rows, codes, **how)
        return EstimatedClasses(task, encoder, found, rows, codes, how, classes)

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved estimator, fitted again; see `Method.restore`."""
        from nshot.training import estimators, frozen
        from nshot.training.values import Scale

        settings, tensors = state.settings, state.tensors
        encoder = frozen.encoder(open_backbone(BackboneRef.from_json(settings["backbone"])))
        rows, learnt, how = tensors["rows"], tensors["targets"], dict(settings["how"])
        if task.kind is TaskKind.REGRESS:
            fitted = estimators.fitted(self.estimator, rows, learnt, **how)
            return EstimatedValues(encoder, fitted, rows, learnt, how, Scale.from_json(settings["scale"]))
        classes = tuple(settings["classes"])
        found = None if len(classes) == 1 else estimators.fitted(self.estimator, rows, learnt, **how)
        return EstimatedClasses(task, encoder, found, rows, learnt, how, classes)


@dataclass(frozen=True)
class EstimatedClasses:
    """An estimator of classes, None where there is only one; rows (n, d), codes (n,), seed and threads of its fit."""

    task: Task
    backbone: Encoder
    fitted: Fitted | None
    rows: Array
    codes: Array
    how: dict[str, int]
    classes: tuple[str, ...]

    def predict(self, examples: Sequence[Example]) -> Prediction:
        """Return label and probabilities of each example."""
        import numpy as np

        from nshot.training import frozen

        rows = frozen.embed(self.backbone, examples)
        shares = np.ones((len(rows), len(self.classes)))
        if self.fitted is not None and len(rows):
            shares = self.fitted.probabilities(rows, len(self.classes))
        return frozen.answers(self.task, self.classes, shares)

    def state(self) -> State:
        """Return what the estimator learnt from, and the reference of the backbone."""
        settings: dict[str, Any] = {
            "classes": list(self.classes),
            "how": self.how,
            "backbone": self.backbone.ref.as_json(),
        }
        return State(settings, {"rows": self.rows, "targets": self.codes})


@dataclass(frozen=True)
class EstimatedValues:
    """An estimator of values; rows (n, d), targets on their scale (n,), seed and threads of its fit."""

    backbone: Encoder
    fitted: Fitted
    rows: Array
    standard: Array
    how: dict[str, int]
    scale: Scale

    def predict(self, examples: Sequence[Example]) -> Prediction:
        """Return the value of each example."""
        import numpy as np

        from nshot.training import frozen

        rows = frozen.embed(self.backbone, examples)
        return self.scale.answers(self.fitted.values(rows) if len(rows) else np.zeros(0))

    def state(self) -> State:
        """Return what the estimator learnt from, and the reference of the backbone."""
        settings: dict[str, Any] = {
            "scale": self.scale.as_json(),
            "how": self.how,
            "backbone": self.backbone.ref.as_json(),
        }
        return State(settings, {"rows": self.rows, "targets": self.standard})
