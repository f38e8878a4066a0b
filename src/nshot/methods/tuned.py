"""Another method with options that were chosen inside the labels."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from nshot.core import (
    Ability,
    Backbone,
    BackboneRef,
    Dataset,
    Family,
    FitContext,
    Needs,
    OptionError,
    Predictor,
    State,
    Task,
    TaskKind,
)
from nshot.spec import Method
from nshot.training.wrapping import Options, classifying, following

_FACTORS = (1 / 3, 3.0)
"""What the usual learning rate is multiplied by where no grid is given."""


class Tuned(Method):
    """Choose the options of another method by cross-validation inside its labels, then fit it on all of them.

    **Idea.** Every trial, a combination from the grid, is fitted on the folds of the labels and scored on the held-out
    rows by the study's metric. The method's own defaults are always the first trial, and are left only for what is
    clearly better: by half a standard error of a share over as many rows. A grid with more combinations than `trials`
    is sampled, so that every method gets the same budget.

    **Needs** what the method needs, and two rows in each of two classes to have anything to choose by.

    **Wins** with some hundred labels and a method whose defaults do not suit the data. **Loses** time: up to
    ``5 * trials + 1`` fits; and with few labels nothing is chosen, because the held-out score is mostly chance.

    **Source.** Bergstra and Bengio 2012, Random Search for Hyper-Parameter Optimization; choosing inside the labels:
    Perez et al. 2021, https://arxiv.org/abs/2105.11447.

    **Example.** ``nshot fit tickets.csv --method tuned --set method=lora --set grid='{"rank": [4, 16]}' --out model``
    """

    needs: ClassVar[Needs] = following(
        Needs(tasks=frozenset({TaskKind.CLASSIFY}), abilities=frozenset({Ability.EMBEDS, Ability.TRAINS})),
        lambda tuned: classifying(tuned.inner.needs),
    )
    family: ClassVar[Family] = following(Family.FINE_TUNING, lambda tuned: tuned.inner.family)
    uses_seed: ClassVar[bool] = following(True, lambda tuned: tuned.inner.uses_seed or tuned.samples)
    trains_network: ClassVar[bool] = following(True, lambda tuned: tuned.inner.trains_network)
    by_default: ClassVar[bool] = False

    method: str = "full_finetune"
    """The method whose options are chosen."""
    grid: Options = Field(default={})
    """For each option the values to try, such as {"learning_rate": [1e-4, 3e-4]}; left out: a third of the method's
    learning rate, and three times as much."""
    options: Options = Field(default={})
    """Options of the method that stay as they are."""
    trials: int = Field(default=8, ge=1)
    """The most combinations that are tried, the defaults included."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        for option, values in self.values.items():
            if not isinstance(values, list | tuple) or not values:
                raise OptionError(
                    f"The grid of tuned must give a list of values for each option. Got {values!r} for '{option}'."
                )
            for value in values:
                self._with({option: value})
        return self

    @cached_property
    def inner(self) -> Method:
        """Return the method with the options that stay."""
        return self._with({})

    @cached_property
    def values(self) -> Mapping[str, Any]:
        """Return the values to try by option.

        Raises:
            OptionError: None were given, and the method has no learning rate.
        """
        if self.grid:
            return self.grid
        usual = self.inner.model_dump().get("learning_rate")
        if usual is None:
            known = ", ".join(type(self.inner).model_fields) or "none"
            raise OptionError(
                f"tuned knows no usual grid for {self.method}, which has no learning rate. Give one, such as "
                f"grid='{{\"OPTION\": [1, 2]}}'. Options of {self.method}: {known}."
            )
        return {"learning_rate": [usual * factor for factor in _FACTORS]}

    @cached_property
    def samples(self) -> bool:
        """Whether the grid holds more than the trials, so that the seed decides which are made."""
        return len(self._combinations) + 1 > self.trials

    @cached_property
    def _combinations(self) -> list[dict[str, Any]]:
        """Return all combinations but the one that the method has anyway."""
        names = list(self.values)
        every = [dict(zip(names, values, strict=True)) for values in itertools.product(*self.values.values())]
        return [combination for combination in every if self._with(combination) != self.inner]

    def _with(self, options: dict[str, Any]) -> Method:
        from nshot.methods import build

        return build(self.method, {**self.options, **options})

    def supports(self, task: Task, backbone: Backbone | None) -> str | None:
        """Return None, or the reason why this cannot be done; see `Method.supports`."""
        return super().supports(task, backbone) or self.inner.supports(task, backbone)

    def planned_examples(self, n_labels: int) -> int:
        """Return how many training examples all fits on `n_labels` pass through the network at most."""
        from nshot.training.selection import n_inner_folds

        trials = min(self.trials, len(self._combinations) + 1)
        return self.inner.planned_examples(n_labels) * (1 + trials * n_inner_folds(n_labels))

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the predictor of the chosen trial, fitted on all labels; see `Method.fit`.

        Raises:
            TrainingError: The training diverged in every trial.
        """
        self.require(task, train, backbone)
        from nshot.training.trials import choose
        from nshot.training.wrapping import Wrapped, around, examples_seen, part_of, training_record

        drawn = self._drawn(context.seed)
        trials = [self._with(options) for options in drawn]
        choice = choose(trials, task, train, pool, backbone, context)
        last = part_of(context, choice.fits, choice.fits + 1, "fitting the chosen trial")
        predictor = trials[choice.best].fit(task, train, pool, backbone, last)
        seen = choice.examples_seen + examples_seen(predictor)
        settings = {
            "chosen": drawn[choice.best],
            "trials": len(trials),
            "fits": choice.fits + 1,
            "held_out": choice.held_out,
            "judged": [
                {"options": options, "score": score} for options, score in zip(drawn, choice.scores, strict=True)
            ],
            "training": training_record(predictor, seen),
        }
        return Wrapped(predictor, around(predictor.state(), settings))

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved predictor; see `Method.restore`."""
        from nshot.training.wrapping import Wrapped, within

        chosen = self._with(state.settings["chosen"])
        return Wrapped(chosen.restore(task, within(state), open_backbone), state)

    def _drawn(self, seed: int) -> list[dict[str, Any]]:
        """Return the options of every trial, the first being the method's own."""
        if not self.samples:
            return [{}, *self._combinations]
        import numpy as np

        generator = np.random.default_rng(seed)
        chosen = generator.choice(len(self._combinations), size=self.trials - 1, replace=False)
        return [{}, *(self._combinations[at] for at in sorted(chosen.tolist()))]
