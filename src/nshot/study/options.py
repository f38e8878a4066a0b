"""The options of a study, each stated once: Python argument, command-line flag, TOML key and record."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from nshot.backbones.remote_options import RemoteOptions
from nshot.core import OptionError
from nshot.evaluation.costs import CostOptions
from nshot.spec import Spec

if TYPE_CHECKING:
    from nshot.metrics import Metric

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
WRITTEN_TEST_ROWS = 250
"""Rows that are tested where answers are written or paid for, unless told otherwise."""
_BYTES = {"": 1, "b": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "kb": 10**3, "mb": 10**6, "gb": 10**9}


def _quantity(value: Any, units: Mapping[str, float], plain: float, example: str) -> Any:
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([a-zA-Z]*)\s*", value)
    unit = found[2].lower() if found else ""
    if found is None or (unit and unit not in units):
        raise ValueError(f"a quantity such as {example}")
    return float(found[1]) * (units[unit] if unit else plain)


def _as_seconds(value: Any) -> Any:
    return _quantity(value, _SECONDS, 1.0, "30s, 5m or 1h")


def _as_milliseconds(value: Any) -> Any:
    seconds = _quantity(value, _SECONDS, 0.001, "20ms")
    return seconds * 1000 if isinstance(value, str) else value


def _as_bytes(value: Any) -> Any:
    return _quantity(value, _BYTES, 1, "512MiB or 2GiB")


def _known_device(value: str) -> str:
    if re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", value) is None:
        raise ValueError("auto, cpu, mps, cuda or cuda:1")
    return value


Seconds = Annotated[float, BeforeValidator(_as_seconds), Field(gt=0)]
Milliseconds = Annotated[float, BeforeValidator(_as_milliseconds), Field(gt=0)]
Bytes = Annotated[float, BeforeValidator(_as_bytes), Field(gt=0)]
Device = Annotated[str, AfterValidator(_known_device)]


class ComputingOptions(Spec):
    """Where and how a network computes."""

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Number format of the network; measured unless given."""
    threads: int | None = Field(default=None, ge=1)
    """Processor threads; all cores unless given."""
    device: Device = "auto"
    """Where the network runs: auto, cpu, cuda or cuda:1."""


class StudyOptions(CostOptions, RemoteOptions, ComputingOptions):
    """What to compare and how."""

    methods: tuple[str, ...] = ()
    """Methods to compare; the usual ones that fit the task unless named. Repeat, or separate by commas."""
    also: tuple[str, ...] = ()
    """Methods to compare besides the usual ones, such as ia3 or from_scratch."""
    without: tuple[str, ...] = ()
    """Methods to leave out."""
    set: tuple[str, ...] = ()
    """An option of a method, as METHOD.OPTION=VALUE, such as lora.rank=16."""
    backbone: tuple[str, ...] = ()
    """Pre-trained model: a name, a local folder or a hub id; repeat to compare several."""
    metric: str | None = None
    """Primary metric, such as macro_f1, accuracy or mcc; chosen for the task unless named."""
    budget: Seconds = 60.0
    """How long the comparison may take, in seconds or such as 90s, 5m or 1h; it ends earlier once more time would not
    change the answer. With a larger one, the same command goes on from where it is."""
    seed: int = Field(default=0, ge=0)
    """The source of every random choice."""
    repeats: int | None = Field(default=None, ge=1, le=50)
    """Number of random draws of the training rows; 5 for a hold-out, 3 rounds of k-fold unless given."""
    sizes: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """Numbers of labels to measure on the way to all of them, instead of the usual ladder."""
    test_rows: int | None = Field(default=None, ge=10)
    """Most rows to test, drawn at random; all of them unless given, and 250 where answers are written or a remote model
    is asked."""
    per_class: bool = False
    """Take equal numbers of rows per class (1, 2, 4, ... shots), as papers do."""
    worth: float = Field(default=0.5, ge=0, le=100)
    """How many points of the metric a more expensive way must gain to be picked."""
    prefer: Literal["cost", "score", "latency"] = "cost"
    """What decides among ways that score the same: their cost (in money where --price-per-hour is given, else in time),
    their score, or their time for one example."""
    max_latency: Milliseconds | None = None
    """Never pick what needs longer for one example (the median), such as 20ms; if nothing keeps to it, exit code 1."""
    max_memory: Bytes | None = None
    """Never pick what needs more memory to fit and test, libraries included, such as 2GiB; else exit code 1."""
    price_per_hour: float | None = Field(default=None, ge=0)
    """Price of an hour of this machine, for costs in money."""
    price_per_label: float | None = Field(default=None, ge=0)
    """Price of labelling one example, for costs in money."""
    price_per_mistake: float | None = Field(default=None, ge=0)
    """What one wrong answer costs, for costs in money."""
    predictions_per_month: int = Field(default=10_000, ge=1)
    """How many answers are going to be asked for: weighs the cost of a fit against that of answering."""
    hold_out_labels: float | None = Field(default=None, gt=0, lt=1)
    """Also measure what happens when categories arrive later: hold out this share of the labels, such as 0.2. The
    comparison itself then gets 70 % of the budget."""
    pool: Literal["all", "normal"] = "all"
    """To detect: what else a detector learns from: all other training rows, some of which may be anomalies that nobody
    knows of, or only those that are labelled as normal."""
    candidate: tuple[Path, ...] = ()
    """A file with the answers of a present system for the test rows (or for all rows), to enter the leaderboard."""

    def worth_in(self, metric: Metric) -> float:
        """Return `worth` in the unit of a metric: of its range, or where that has no end, of what its points are."""
        of_all = metric.highest - metric.lowest if metric.bounded else 100 * metric.point
        return self.worth / 100 * of_all

    def method_options(self) -> dict[str, dict[str, Any]]:
        """Return the options given by `set`, by method.

        Raises:
            OptionError: An entry is not METHOD.OPTION=VALUE.
        """
        found: dict[str, dict[str, Any]] = {}
        for entry in self.set:
            parts = re.fullmatch(r"([a-z0-9_]+)\.([a-z0-9_]+)=(.*)", entry.strip(), flags=re.DOTALL)
            if parts is None:
                raise OptionError(f"--set expects METHOD.OPTION=VALUE, such as lora.rank=16. Got: {entry}")
            found.setdefault(parts[1], {})[parts[2]] = parts[3]
        return found


class CompressionOptions(Spec):
    """What only `compress` is told."""

    rate: float = Field(default=1.0, gt=0, le=64)
    """To compress: the bits that are to be written on average, per pixel of an image, per number of a vector."""
    rates: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0)
    """To compress: the rates to measure besides."""

    def measured(self) -> tuple[float, ...]:
        """Return all rates to fit for, rising.

        Raises:
            OptionError: One is not positive.
        """
        if any(not 0 < rate <= 64 for rate in self.rates):
            raise OptionError(f"--rates must be between 0 and 64 bits. Got {', '.join(map(str, self.rates))}.")
        # On either side of the rate there is one: methods are compared at exactly the rate, between two settings.
        return tuple(sorted({*self.rates, self.rate, min(*self.rates, self.rate / 2), max(*self.rates, self.rate * 2)}))
