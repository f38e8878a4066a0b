"""What the ledger holds, as blocks of per-example statistics that the evaluation can work with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nshot.core import Cost, Family, Interval, Run, RunStatus
from nshot.evaluation.comparison import Difference, as_constant, paired_difference
from nshot.evaluation.intervals import Block, Estimate, Usual, estimate, target_of, usual_draws
from nshot.evaluation.protocol import Design
from nshot.metrics import Metric
from nshot.study.spec import RunSpec


@dataclass(frozen=True)
class Entrant:
    """What the evaluation needs to know of a candidate.

    Attributes:
        name: The name shown to people.
        method: Its method's name.
        family: What kind of answer it is.
        backbone: Short name of its backbone, or None.
        options: Its options.
        specs: Its executed runs.
    """

    name: str
    method: str
    family: Family
    backbone: str | None
    options: Mapping[str, Any]
    specs: tuple[RunSpec, ...]


class Evidence:
    """The completed runs of a study.

    Args:
        folder: The study's folder; runs name their predictions relative to it.
        design: How the data was divided.
        entrants: The candidates with their executed runs.
        runs: The ledger's runs by key.
        groups: Shape (rows,): group id of each row that may be tested, near-duplicates and users' groups together.
        answers: For candidates that were not run but whose answers were given: per-example statistics by metric, for
            all rows that may be tested.
    """

    def __init__(
        self,
        folder: Path,
        design: Design,
        *,
        entrants: Sequence[Entrant],
        runs: Mapping[str, Run],
        groups: NDArray[np.int64],
        answers: Mapping[str, Mapping[str, NDArray[Any]]],
    ) -> None:
        self._folder = folder
        self.design = design
        self.entrants = {entrant.name: entrant for entrant in entrants}
        self._runs = runs
        self._groups = groups
        self._answers = answers
        self._arrays = cache(self._load)
        self._draws_at = cache(self._usual_draws)
        self._estimate_at = cache(self._estimate)

    def _load(self, file: str) -> dict[str, NDArray[Any]]:
        from safetensors.numpy import load_file

        return dict(load_file(self._folder / file))

    def completed(self, name: str, n_labels: int | None = None) -> list[Run]:
        """Return a candidate's completed runs, at one n or at all."""
        runs = (self._runs[spec.key] for spec in self.entrants[name].specs)
        return [
            run for run in runs if run.status == RunStatus.COMPLETE and (n_labels is None or run.n_labels == n_labels)
        ]

    @cached_property
    def sizes(self) -> dict[str, tuple[int, ...]]:
        """Return the numbers of labels at which each candidate was measured, ascending."""
        return {
            name: (0,) if name in self._answers else tuple(sorted({run.n_labels for run in self.completed(name)}))
            for name in self.entrants
        }

    def measured_today(self) -> list[str]:
        """Return the candidates that can be compared today: measured at all rows, or at none for zero-shot.

        A comparison needs a draw that all have. Where a run failed, a candidate may have none in common with those that
        have more draws; then it is left out.
        """
        today = self.design.n_train
        names = [name for name, sizes in self.sizes.items() if sizes and (sizes[-1] == today or sizes == (0,))]
        draws = {name: self._draws_today(name) for name in names}
        common: set[tuple[int, int]] = {(draw.repeat, draw.fold) for draw in self.design.draws}
        for name in sorted(names, key=lambda name: -len(draws[name])):
            if common & draws[name]:
                common &= draws[name]
            else:
                names.remove(name)
        return names

    def _draws_today(self, name: str) -> set[tuple[int, int]]:
        """Return the draws with which a candidate enters today's comparison; see `comparable`."""
        every = {(draw.repeat, draw.fold) for draw in self.design.draws}
        if name in self._answers:
            return {(repeat, fold) for repeat, fold in every if repeat == 0}
        n = self.sizes[name][-1]
        own = {(run.repeat, run.fold) for run in self.completed(name, n)}
        return every if len(own) == self.design.folds and self._is_constant(n) else own

    def _is_constant(self, n_labels: int) -> bool:
        """Return whether no draw changes what is fitted on so many rows."""
        return n_labels == 0 or (self.design.folds == 1 and n_labels == self.design.n_train)

    def arrays(self, run: Run) -> dict[str, NDArray[Any]]:
        """Return what a run wrote: ``label``, ``confidence`` and per-example statistics by metric."""
        return self._arrays(str(run.predictions))

    def has(self, name: str, n_labels: int, metric: Metric) -> bool:
        """Return whether this metric could be computed for the candidate."""
        if name in self._answers:
            return f"metric.{metric.name}" in self._answers[name]
        runs = self.completed(name, n_labels)
        return bool(runs) and all(f"metric.{metric.name}" in self.arrays(run) for run in runs)

    def blocks(self, name: str, n_labels: int, metric: Metric) -> list[Block]:
        """Return a candidate's blocks at n; one that no draw changes stands for every repeat."""
        if name in self._answers:
            statistics = np.asarray(self._answers[name][f"metric.{metric.name}"], dtype=np.float64)
            return [
                Block(0, draw.fold, draw.test, statistics[draw.test], self._groups[draw.test])
                for draw in self.design.draws
                if draw.repeat == 0
            ]
        found = []
        for run in self.completed(name, n_labels):
            rows = self.design.draw(run.repeat, run.fold).test
            statistics = np.asarray(self.arrays(run)[f"metric.{metric.name}"], dtype=np.float64)
            found.append(Block(run.repeat, run.fold, rows, statistics, self._groups[rows]))
        found.sort(key=lambda block: (block.repeat, block.fold))
        return found

    def comparable(self, name: str, metric: Metric) -> list[Block]:
        """Return the blocks with which a candidate enters today's comparison."""
        n = self.sizes[name][-1]
        blocks = self.blocks(name, n, metric)
        complete = len(blocks) == self.design.folds
        return as_constant(blocks, self._every_draw) if complete and self._is_constant(n) else blocks

    def difference(self, one: str, other: str, metric: Metric) -> Difference:
        """Return today's paired difference of two candidates: the first one's score minus the other's."""
        n_train, n_test = self.fold_sizes
        today = self.design.n_train
        return paired_difference(
            self.comparable(one, metric),
            self.comparable(other, metric),
            metric,
            rho=self.rho(today),
            target=target_of(today, today),
            n_train=n_train,
            n_test=n_test,
        )

    @cached_property
    def _every_draw(self) -> list[Block]:
        """Return the shape of every draw that was run on all rows: who is tested, without answers.

        Those of the candidate that has the most. What no draw changes would otherwise have more than anybody else, and
        all others would be held against each other by way of it.
        """
        most = max((self.completed(name, self.design.n_train) for name in self.entrants), key=len, default=[])
        run = {(one.repeat, one.fold) for one in most}
        return [
            Block(draw.repeat, draw.fold, draw.test, np.zeros((len(draw.test), 1)), self._groups[draw.test])
            for draw in self.design.draws
            if not run or (draw.repeat, draw.fold) in run
        ]

    def usual_draws(self, n_labels: int, metric: Metric) -> Usual | None:
        """Return how much draws of n labels differ among all candidates; in a hold-out only."""
        return self._draws_at(n_labels, metric)

    def _usual_draws(self, n_labels: int, metric: Metric) -> Usual | None:
        if self.design.kind == "kfold":
            return None
        there = [name for name, sizes in self.sizes.items() if n_labels in sizes]
        return usual_draws(
            [self.blocks(name, n_labels, metric) for name in there if self.has(name, n_labels, metric)],
            metric,
            rho=self.rho(n_labels),
            target=target_of(n_labels, self.design.n_train),
        )

    def estimate(self, name: str, n_labels: int, metric: Metric) -> Estimate:
        """Return a candidate's score at n with its interval and what it speaks for."""
        return self._estimate_at(name, n_labels, metric)

    def _estimate(self, name: str, n_labels: int, metric: Metric) -> Estimate:
        return estimate(
            self.blocks(name, n_labels, metric),
            metric,
            rho=self.rho(n_labels),
            target=target_of(n_labels, self.design.n_train),
            n_train=self.fold_sizes[0],
            n_test=self.fold_sizes[1],
            usual=self.usual_draws(n_labels, metric),
        )

    def target_words(self, found: Estimate, n_labels: int) -> str:
        """Return what a number speaks for; in k-fold no single model was tested on all rows."""
        if self.design.kind == "kfold" and n_labels > 0 and found.target == "this model":
            return "a fresh draw"
        return found.target

    def rho(self, n_labels: int) -> float:
        """Return which share of its pool a training subset is."""
        return n_labels / self.design.n_train if self.design.n_train else 1.0

    @cached_property
    def fold_sizes(self) -> tuple[int | None, int | None]:
        """Return the rows that a fold learns from and is tested on; None for a hold-out."""
        if self.design.kind != "kfold":
            return None, None
        return self.design.n_learnt, round(self.design.n_test / self.design.folds)

    def cost(self, name: str, n_labels: int) -> Cost | None:
        """Return the median costs of a candidate's runs at n."""
        costs = [run.cost for run in self.completed(name, n_labels) if run.cost]
        if not costs:
            return None

        def median(values: list[float | None]) -> float | None:
            known = [value for value in values if value is not None]
            return float(np.median(known)) if known else None

        def whole(values: list[int | None]) -> int | None:
            middle = median([None if value is None else float(value) for value in values])
            return None if middle is None else round(middle)

        return Cost(
            fit_seconds=median([cost.fit_seconds for cost in costs]) or 0.0,
            predict_seconds=median([cost.predict_seconds for cost in costs]) or 0.0,
            milliseconds_per_example=median([cost.milliseconds_per_example for cost in costs]) or 0.0,
            milliseconds_alone=median([cost.milliseconds_alone for cost in costs]),
            peak_memory_bytes=whole([cost.peak_memory_bytes for cost in costs]),
            artefact_bytes=whole([cost.artefact_bytes for cost in costs]),
            examples_seen=whole([cost.examples_seen for cost in costs]),
            milliseconds_alone_p95=median([cost.milliseconds_alone_p95 for cost in costs]),
            examples_per_second=median([cost.examples_per_second for cost in costs]),
            best_batch=whole([cost.best_batch for cost in costs]),
            shipped_bytes=whole([cost.shipped_bytes for cost in costs]),
            tokens_per_example=median([cost.tokens_per_example for cost in costs]),
            money_per_example=median([cost.money_per_example for cost in costs]),
        )


def clipped(interval: Interval | None) -> list[float] | None:
    """Return both ends for a record."""
    return None if interval is None else [round(interval.low, 6), round(interval.high, 6)]
