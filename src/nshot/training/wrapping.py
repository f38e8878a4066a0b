"""What methods that wrap another method have in common: its options, its nature, its state inside their own."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar, cast

from pydantic import AfterValidator, BeforeValidator, PlainSerializer

from nshot.core import (
    Decoding,
    Example,
    FitContext,
    Needs,
    Prediction,
    Predictor,
    State,
    TaskKind,
    UnsupportedError,
    Writer,
    untracked,
)

if TYPE_CHECKING:
    import numpy as np

    from nshot.training.readout import Readout

_INNER = "inner"
_PREFIX = _INNER + "."

T = TypeVar("T")


def _read(value: Any) -> Any:
    """Return a table written as JSON or as an inline table of TOML; everything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        pass
    try:
        return tomllib.loads(f"table = {value}")["table"]
    except tomllib.TOMLDecodeError:
        raise ValueError('a table in JSON, such as {"learning_rate": 1e-4}') from None


class Table(Mapping[str, Any]):
    """A mapping that never changes, so that a spec which holds one can be hashed like any other."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        """Copy `values`."""
        self._values = dict(values)

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return hash(json.dumps(self._values, sort_keys=True, default=repr))

    def __repr__(self) -> str:
        return repr(self._values)


Options = Annotated[
    Mapping[str, Any],
    BeforeValidator(_read),
    AfterValidator(Table),
    PlainSerializer(dict, return_type=dict[str, Any]),
]
"""The options of a wrapped method: a mapping, or JSON, or an inline table of TOML."""


class _Following(Generic[T]):
    def __init__(self, usual: T, of: Callable[[Any], T]) -> None:
        self.usual = usual
        self.of = of

    def __get__(self, instance: object | None, owner: type) -> T:
        return self.usual if instance is None else self.of(instance)


def following(usual: T, of: Callable[[Any], T]) -> T:
    """Return a class variable that an instance takes from the method that it wraps.

    Args:
        usual: The value of the class.
        of: From an instance to its own value.
    """
    # Typed as what it yields, the way `dataclasses.field` is.
    return cast("T", _Following(usual, of))


def classifying(needs: Needs) -> Needs:
    """Return the needs of a method around one with these `needs`, which can do no more than classify."""
    return replace(needs, tasks=needs.tasks & {TaskKind.CLASSIFY})


def with_pool(needs: Needs) -> Needs:
    """Return these needs, unlabelled examples added."""
    return replace(needs, pool=True)


@dataclass(frozen=True)
class Wrapped:
    """A predictor of the inner method, saved with what the outer one says of it.

    Attributes:
        inner: Answers.
        saved: From `around`.
    """

    inner: Predictor
    saved: State

    def predict(self, examples: Sequence[Example]) -> Prediction:
        """Return the answers of the inner predictor."""
        return self.inner.predict(examples)

    def readout(self) -> Readout:
        """Return that of the inner predictor.

        Raises:
            UnsupportedError: It has none.
        """
        from nshot.training.readout import required

        return required(self.inner)

    def state(self) -> State:
        """Return the state of both."""
        return self.saved


@dataclass(frozen=True)
class WrappedWriter(Wrapped):
    """A `Wrapped` predictor that writes."""

    inner: Writer

    @property
    def decoding(self) -> Decoding:
        """How the inner predictor writes unless told otherwise."""
        return self.inner.decoding

    def likelihoods(self, examples: Sequence[Example], answers: Sequence[str]) -> np.ndarray | None:
        """Return what the inner predictor says."""
        return self.inner.likelihoods(examples, answers)

    def stream(self, example: Example, decoding: Decoding) -> Iterator[str]:
        """Yield what the inner predictor writes."""
        return self.inner.stream(example, decoding)


def wrapped(inner: Predictor, saved: State) -> Wrapped:
    """Return `inner` saved as `saved`; it writes if the inner one does."""
    return WrappedWriter(inner, saved) if isinstance(inner, Writer) else Wrapped(inner, saved)


def around(inner: State, settings: Mapping[str, Any], tensors: Mapping[str, Any] | None = None) -> State:
    """Return a state that holds another one.

    Args:
        inner: The state of the inner predictor.
        settings: What the outer method adds; no key is ``inner``.
        tensors: What the outer method adds; no name begins with ``inner.``.
    """
    return State(
        {**settings, _INNER: dict(inner.settings)},
        {**(tensors or {}), **{_PREFIX + name: value for name, value in inner.tensors.items()}},
        {_PREFIX + name: value for name, value in inner.blobs.items()},
    )


def within(state: State) -> State:
    """Return the inner state of what `around` made."""
    return State(
        state.settings[_INNER],
        {name.removeprefix(_PREFIX): value for name, value in state.tensors.items() if name.startswith(_PREFIX)},
        {name.removeprefix(_PREFIX): value for name, value in state.blobs.items() if name.startswith(_PREFIX)},
    )


def part_of(context: FitContext, number: int, fits: int, doing: str) -> FitContext:
    """Return the context of one of several fits: progress is that of all, checkpoints are its own.

    Args:
        context: Of the whole.
        number: Which fit, from 0.
        fits: How many there are.
        doing: What it is, in words.
    """
    what = doing

    def progress(done: int, total: int, doing: str = "") -> None:
        context.progress(number * 1000 + round(1000 * done / max(1, total)), fits * 1000, what)

    # Two fits of equal size look the same to whoever goes on with a training that was killed.
    checkpoints = context.checkpoints / f"fit-{number}" if context.checkpoints else None
    return replace(context, progress=progress, track=untracked, checkpoints=checkpoints)


def examples_seen(predictor: Predictor) -> int:
    """Return how many examples the fit of `predictor` passed through its network."""
    training = predictor.state().settings.get("training")
    return int(training["examples_seen"]) if training else 0


def training_record(predictor: Predictor, seen: int) -> dict[str, Any] | None:
    """Return the training record of a predictor with `seen` examples in all, or None where nothing was trained."""
    training = predictor.state().settings.get("training")
    return {**training, "examples_seen": seen} if training else None


def probabilities_of(prediction: Prediction, name: str) -> Any:
    """Return the probabilities, shape (n, labels).

    Raises:
        UnsupportedError: The method called `name` has none.
    """
    if prediction.probabilities is None:
        raise UnsupportedError(f"{name} gives no probabilities, and they are needed here. Use another method.")
    return prediction.probabilities
