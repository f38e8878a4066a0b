"""Frozen pydantic bases for everything that comes from outside.

A field of a `Spec` is stated once and is at the same time the Python argument, the command-line flag, the TOML key,
the row in the docs and the record in a manifest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from nshot.core import (
    Ability,
    Backbone,
    BackboneRef,
    DataError,
    Dataset,
    Family,
    FitContext,
    Needs,
    OptionError,
    Predictor,
    State,
    TakesIn,
    Task,
    TaskKind,
    UnsupportedError,
    closest,
)

_NEEDS_NO_LABELS = {
    TaskKind.CLASSIFY: "label_similarity",
    TaskKind.GENERATE: "prompt",
    TaskKind.DETECT: "isolation_forest",
}


class Spec(BaseModel):
    """Options from outside: frozen, unknown keys refused with a suggestion, bad values refused in plain words."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=True)

    @classmethod
    def called(cls) -> str:
        """Return what messages call this spec."""
        return cls.__name__

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """Return the spec with these values.

        Raises:
            OptionError: A key is unknown or a value is not allowed; the text names both and what is allowed.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            raise OptionError(cls._in_words(error)) from None

    @classmethod
    def _in_words(cls, error: ValidationError) -> str:
        lines = []
        for problem in error.errors():
            option = ".".join(str(part) for part in problem["loc"]) or "options"
            if problem["type"] == "extra_forbidden":
                known = list(cls.model_fields)
                listed = ", ".join(known) if known else "none"
                lines.append(f"{cls.called()} has no option '{option}'.{closest(option, known)} It has: {listed}.")
            elif problem["type"] == "missing":
                lines.append(f"{cls.called()} needs the option '{option}'; it was not given.")
            else:
                wish = problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
                found = problem["input"]
                if isinstance(found, tuple) and len(found) == 1:  # a flag that may be repeated, given once
                    found = found[0]
                lines.append(f"The option '{option}' of {cls.called()} must be {wish}. Got {found!r} instead.")
        return "\n".join(lines)

    def changed(self) -> dict[str, Any]:
        """Return the options that differ from the defaults, json-able."""
        return self.model_dump(mode="json", exclude_defaults=True)


class Method(Spec):
    """One way of adapting: validated options whose `fit` returns a new predictor.

    A subclass lives alone in ``methods/<name>.py``; the file name is its public name. It knows neither its modality
    nor the test data, metrics, files or the study.
    """

    version: ClassVar[int] = 1
    """Raised when the same options give other numbers."""
    needs: ClassVar[Needs]
    family: ClassVar[Family]
    takes_in: ClassVar[TakesIn] = TakesIn.BY_TRAINING
    """What its predictor needs to answer a label that arrives later; unless that is a new fit, it is `Growable`."""
    uses_seed: ClassVar[bool] = False
    """Whether another seed gives another predictor on the same data."""
    trains_network: ClassVar[bool] = False
    """Whether the fit runs the network's weights through an optimiser: the clock may then limit how often it is run."""
    relative_cost: ClassVar[float] = 1.0
    """What a training example costs beside one of full fine-tuning: orders runs before any was timed."""
    by_default: ClassVar[bool] = True
    """Whether a comparison runs it without being asked to."""
    default_for: ClassVar[frozenset[str] | None] = None
    """Of which modalities it then does; None: of all that it can be fitted on."""

    @classmethod
    def method_name(cls) -> str:
        """Return the public name: the file's."""
        return cls.__module__.rsplit(".", 1)[-1]

    @classmethod
    def called(cls) -> str:
        """Return what messages call this method: its public name."""
        return cls.method_name()

    def supports(self, task: Task, backbone: Backbone | None) -> str | None:
        """Return None, or the reason why this method cannot do `task` with `backbone`; nothing is downloaded for it."""
        name, needs = self.method_name(), self.needs
        if task.kind not in needs.tasks:
            able = ", ".join(sorted(needs.tasks))
            return f"{name} cannot {task.kind}; it can: {able}."
        if needs.label_names and not task.names_say_something:
            shown = ", ".join(repr(label) for label in task.labels[:4])
            return (
                f"{name} reads the label names, and these say nothing ({shown}). "
                "Describe them in a file and name it: --labels labels.toml."
            )
        if needs.abilities is not None:
            if backbone is None:
                return f"{name} needs a backbone that {_listed(needs.abilities)}; none was given."
            missing = needs.abilities - backbone.abilities
            if missing:
                return f"{name} needs a backbone that {_listed(missing)}; {backbone.ref.name} does not."
            if needs.label_names and "text" not in backbone.modalities:
                return (
                    f"{name} reads the label names, and {backbone.ref.name} takes {_listed(backbone.modalities)} "
                    "examples only. Use a backbone that takes texts."
                )
        return None

    def require(self, task: Task, train: Dataset, backbone: Backbone | None) -> None:
        """Raise what makes a fit impossible: the first line of every `fit`.

        Raises:
            UnsupportedError: With the text of `supports`, where that is not None.
            DataError: `train` has too few examples, no target for some, or examples of a modality that is not read.
        """
        reason = self.supports(task, backbone)
        if reason is not None:
            raise UnsupportedError(reason)
        fewest = self.needs.fewest_labels
        if len(train) < fewest:
            without = _NEEDS_NO_LABELS.get(task.kind)
            instead = f", or use a method that needs none: {without}" if without else ""
            raise DataError(
                f"{self.method_name()} needs at least {fewest} labelled {'example' if fewest == 1 else 'examples'}; "
                f"{train.name} has {len(train)}. Label more{instead}."
            )
        if len(train) and train.targets is None:
            raise DataError(f"{self.method_name()} learns from labelled examples; {train.name} has no labels.")
        readable = self.needs.modalities if backbone is None else backbone.modalities
        if len(train) and train.modality not in readable:
            raise DataError(
                f"{self.method_name()} was to read {', '.join(sorted(readable))} examples; "
                f"{train.name} holds {train.modality} examples. Use a method or a backbone for these."
            )

    def planned_examples(self, n_labels: int) -> int:
        """Return how many training examples a fit on `n_labels` passes through the network; 0 where none does."""
        return 0

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return a new predictor adapted to `train`.

        Args:
            task: What is asked; may have labels that do not occur in `train`.
            train: The n labelled examples; may be empty for a method with ``needs.fewest_labels == 0``.
            pool: All training examples without their targets.
            backbone: The pre-trained model, or None for a method that needs none.
            context: Seed, objective, device and so on.

        Raises:
            UnsupportedError: With the text of `supports`, where that is not None.
        """
        raise NotImplementedError

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the predictor whose `state` was saved; `self` has the options that it was fitted with.

        A predictor that uses a backbone keeps its reference in ``state.settings["backbone"]``
        (`BackboneRef.as_json`).
        """
        raise NotImplementedError


def _listed(names: frozenset[Ability] | frozenset[str]) -> str:
    return " and ".join(sorted(str(name) for name in names))
