"""One fit and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from nshot.core.backbone import BackboneRef
from nshot.core.needs import Family


@dataclass(frozen=True)
class Interval:
    """Both ends of a confidence interval."""

    low: float
    high: float
    level: float = 0.95

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def as_json(self) -> list[float]:
        """Return ``[low, high]``."""
        return [self.low, self.high]


@dataclass(frozen=True)
class Cost:
    """What a run took.

    Attributes:
        fit_seconds: Wall time of the fit, a cached feature's first computing added.
        predict_seconds: Wall time of predicting the test examples, likewise; what is loaded once is not in it.
        milliseconds_per_example: `predict_seconds` per test example: many at once.
        milliseconds_alone: Median time for one example at a time, from raw example to answer, cache off; None
            where it was not measured.
        peak_memory_bytes: Highest resident memory of the process during the run, or None where the
            system does not tell. The process holds the libraries, the data and what other runs have loaded as well, so
            a process that only answers needs less.
        artefact_bytes: Size of the predictor's own state.
        examples_seen: Training examples passed through the network, or None for what does not train.
        milliseconds_alone_p95: 95th percentile beside `milliseconds_alone`; None where too few examples were timed.
        examples_per_second: At the batch size that answers most a second, likewise from raw example to answer, cache
            off.
        best_batch: That batch size.
        shipped_bytes: Size of all that has to be there to answer: `artefact_bytes` and the backbone's files.
        tokens_per_example: Mean number of tokens that the backbone reads of a test example; None for what reads none.
        money_per_example: What a model behind an address asked for an answer, by the prices that were named; None for
            what runs here.
    """

    fit_seconds: float
    predict_seconds: float
    milliseconds_per_example: float
    milliseconds_alone: float | None = None
    peak_memory_bytes: int | None = None
    artefact_bytes: int | None = None
    examples_seen: int | None = None
    milliseconds_alone_p95: float | None = None
    examples_per_second: float | None = None
    best_batch: int | None = None
    shipped_bytes: int | None = None
    tokens_per_example: float | None = None
    money_per_example: float | None = None


class RunStatus(StrEnum):
    """How a run ended."""

    COMPLETE = "complete"
    FAILED = "failed"
    KILLED = "killed"


@dataclass(frozen=True)
class Candidate:
    """A method with its options and its backbone: what the leaderboard ranks.

    Attributes:
        method: The method's public name.
        family: What kind of answer it is.
        options: The options that differ from the method's defaults.
        backbone: The backbone, or None.
        version: The method's version.
    """

    method: str
    family: Family
    options: Mapping[str, Any] = field(default_factory=dict)
    backbone: BackboneRef | None = None
    version: int = 1

    @property
    def name(self) -> str:
        """Return the name shown to people, such as ``lora:all-MiniLM-L6-v2``."""
        name = self.method
        if self.options:
            name += "(" + ",".join(f"{key}={value}" for key, value in sorted(self.options.items())) + ")"
        return f"{name}:{self.backbone.name}" if self.backbone else name


@dataclass(frozen=True)
class Run:
    """One candidate fitted on one training subset with one seed.

    Attributes:
        key: Hash of everything that decides the outcome (data, candidate, precision, seed).
        candidate: `Candidate.name`.
        n_labels: Number of labels the fit was given.
        repeat: Which random order of the training rows.
        fold: Which fold of that repeat is the test; 0 for a hold-out.
        seed: The seed of the fit.
        status: How it ended.
        reason: Why, where it did not complete.
        cost: What it takes; None where it did not complete.
        seconds: Wall time that it really took here, with features that were cached already.
        predictions: File name of its predictions, relative to the study's folder.
        settings: What the method chose during the fit.
    """

    key: str
    candidate: str
    n_labels: int
    repeat: int
    fold: int
    seed: int
    status: RunStatus
    reason: str | None = None
    cost: Cost | None = None
    seconds: float = 0.0
    predictions: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
