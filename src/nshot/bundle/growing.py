"""New labels, and further examples of known ones, for a model that takes them in without being fitted again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

from nshot import methods
from nshot.bundle.manifest import BundleInfo, GrowthRecord
from nshot.bundle.reference import Reference
from nshot.core import (
    DataError,
    Example,
    Growable,
    OptionError,
    Predictor,
    TakesIn,
    Task,
    UnsupportedError,
    shortened,
)
from nshot.spec import Method

LONGEST_LABEL = 200
"""Letters of a label; a longer one is a text that somebody took for a label."""
LONGEST_DESCRIPTION = 2000
"""Letters of a description; models read no more than some hundred words of one."""
_SHOWN = 60

_Info = TypeVar("_Info", bound=BundleInfo)


@dataclass(frozen=True)
class LabelGiven:
    """What a model is told of one label.

    Attributes:
        label: A new one, or one that it answers already.
        description: What it means, for methods that read names.
        examples: Inputs with this label; those without any text are left out.
        data_fingerprint: Of the data that they stand in, or None.
    """

    label: str
    description: str | None = None
    examples: Sequence[Example] = ()
    data_fingerprint: str | None = None


@dataclass(frozen=True)
class Grown(Generic[_Info]):
    """A model that has taken in a label.

    Attributes:
        task: With the label.
        predictor: What answers.
        about: Without a score, and with the growth in its history.
    """

    task: Task
    predictor: Growable
    about: _Info


def require_growable(method: Method, task: Task, predictor: Predictor) -> Growable:
    """Return the predictor, which takes in labels.

    Raises:
        UnsupportedError: It does not; the text says what to do instead.
    """
    name = method.method_name()
    if not task.labels:
        raise UnsupportedError(f"{name} was fitted to {task.kind}, not to answer labels, so there is none to add.")
    if isinstance(predictor, Growable):
        return predictor
    able = [other for other in methods.names() if methods.get(other).takes_in is not TakesIn.BY_TRAINING]
    raise UnsupportedError(
        f"{name} has to be fitted again for a new label: nshot fit DATA --method {name} --out DIR, where DATA holds "
        f"the examples of all labels. Methods that take a label in without that: {', '.join(able)}."
    )


def grow(
    method: Method, task: Task, predictor: Predictor, about: _Info, given: LabelGiven, grown_from: str | None
) -> Grown[_Info]:
    """Return a model that also answers a label, or that knows more of it; the one handed over stays as it is.

    Its score no longer holds. Of what later answers are held against, the shares of the labels and of the numbers no
    longer do either; where the inputs of the fit lie stays.

    Args:
        method: What was fitted.
        task: What the model answers.
        predictor: The model.
        about: Where it comes from.
        given: The label, and what is known of it.
        grown_from: Hash of the manifest of the saved model that it comes from, or None.

    Raises:
        UnsupportedError: The method has to be fitted again for a new label.
        OptionError: There is a description, and the method reads none.
        DataError: The label is empty or far too long, or nothing new is said of it.
    """
    growable = require_growable(method, task, predictor)
    label, description = given.label, given.description
    _require_words("A label", label, LONGEST_LABEL)
    examples = _with_content(given)
    is_new = label not in task.labels
    reads_names = method.takes_in is TakesIn.BY_NAME
    if description is not None:
        _require_words(f"The description of {_shown(label)}", description, LONGEST_DESCRIPTION)
        if not reads_names:
            raise OptionError(
                f"{method.method_name()} learns labels from examples and reads no description. Leave the description "
                f"of {_shown(label)} out, and give examples of it."
            )
    elif reads_names and not is_new:
        raise DataError(
            f"{method.method_name()} answers {_shown(label)} already. It knows a label by its name or description, so "
            "that examples teach it nothing: describe the label in other words, or name a new one."
        )
    growth = GrowthRecord(
        label=label,
        is_new=is_new,
        n_examples=0 if reads_names else len(examples),
        at=datetime.now(UTC).replace(microsecond=0),
        grown_from=grown_from,
        data_fingerprint=None if reads_names else given.data_fingerprint,
    )
    changes = {
        "score": None,
        "model_n_labels": about.model_n_labels + growth.n_examples,
        "reference": _inputs_only(about.reference),
        "grown": (*about.grown, growth),
    }
    return Grown(
        task.with_label(label, description),
        growable.with_label(label, description, examples),
        about.model_copy(update=changes),
    )


def _with_content(given: LabelGiven) -> Sequence[Example]:
    kept = [example for example in given.examples if not isinstance(example, str) or example.strip()]
    if len(given.examples) and not kept:
        raise DataError(f"All {len(given.examples):,} examples of {_shown(given.label)} are empty texts.")
    return kept


def _require_words(what: str, text: str, longest: int) -> None:
    if not text.strip():
        raise DataError(f"{what} is empty. Expected words.")
    if len(text) > longest:
        raise DataError(
            f"{what} has {len(text):,} letters, and may have {longest:,}: {_shown(text)}. Look whether it was read "
            "from the right column."
        )


def _shown(text: str) -> str:
    return f"'{shortened(text, _SHOWN)}'"


def _inputs_only(reference: Reference | None) -> Reference | None:
    if reference is None or reference.features is None:
        return None
    return Reference(measured_on=reference.measured_on, features=reference.features)
