"""Training on labels: what every method does that puts a head on a network and trains both."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from nshot.core import Backbone, BackboneRef, Dataset, FitContext, State, Task, TaskKind
from nshot.training import batching, encoders, frozen, selection, tagging
from nshot.training.averaging import drawn_back
from nshot.training.classifier import (
    Classifier,
    FineTuned,
    StartableEncoder,
    TrainableEncoder,
    changed,
    reopened,
    startable,
)
from nshot.training.goals import Goal, goal
from nshot.training.layers import layers
from nshot.training.logistic import Logistic
from nshot.training.loop import Group, TrainingRecord, Watch, train
from nshot.training.options import TrainingOptions

if TYPE_CHECKING:
    from nshot.training.rowwise import Array

_LOOKS = 8
"""At how many lengths of the training early stopping looks."""

Build = Callable[[Logistic], tuple[Classifier, Sequence[Group]]]
"""A fresh network with this head on it, and what of it is trained: the same every time it is called."""


@dataclass(frozen=True)
class Labelled:
    """The training examples as network and head take them.

    Attributes:
        goal: What the head is to say, with the targets.
        features: Of the network before training, shape (n, width): what the head starts from.
        prepared: n items for `collate`; ``len(item)`` is the cost of one in tokens.
        collate: From some prepared items to the keyword arguments of the network.
        groups: n group keys, or None.
        unseen: Unlabelled examples for `collate`, where the goal looks at what is usual among such; none: it does not.
    """

    goal: Goal
    features: Array
    prepared: Sequence[Any]
    collate: Callable[[Sequence[Any]], Mapping[str, torch.Tensor]]
    groups: Sequence[Hashable] | None = None
    unseen: Sequence[Any] = ()

    @classmethod
    def of(
        cls,
        task: Task,
        train: Dataset,
        source: StartableEncoder,
        features: Array | None = None,
        probabilities: Array | None = None,
        pool: Dataset | None = None,
    ) -> Labelled:
        """Return the rows of `train` as the network of `source` takes them.

        Args:
            task: What is asked.
            train: n labelled examples.
            source: Prepares them, and computes the features.
            features: What the head starts from instead, shape (n, width).
            probabilities: As in `goals.goal`.
            pool: Unlabelled examples, the labelled ones possibly among them.
        """
        if features is None:
            features = frozen.embed(source, train.examples)
        prepared = source.tokenize(train.examples)
        asked = goal(task, train.labelled_targets(), features, train.groups, probabilities)
        unseen = () if pool is None or task.kind is not TaskKind.TAG else tagging.unseen(pool, train)
        return cls(asked, features, prepared, source.collate, train.groups, source.tokenize(unseen) if unseen else ())

    def part(self, rows: Array) -> Labelled:
        """Return these rows only; the head stays that of all."""
        return replace(
            self,
            goal=self.goal.part(rows),
            features=self.features[rows],
            prepared=[self.prepared[row] for row in rows],
            groups=None if self.groups is None else [self.groups[row] for row in rows],
        )


@dataclass(frozen=True)
class Trained:
    """A trained network.

    Attributes:
        goal: What its head says.
        network: In evaluation mode; where all targets are the same, untrained.
        training: Json-able: how the training went, None where there was nothing to train.
        chosen: Json-able: what was chosen inside the labels.
    """

    goal: Goal
    network: Classifier
    training: dict[str, Any] | None
    chosen: dict[str, Any] = field(default_factory=dict)

    def state(self, ref: BackboneRef, tensors: Mapping[str, np.ndarray], **more: Any) -> State:
        """Return what is saved of it.

        Args:
            ref: Of the backbone that was trained.
            tensors: What of it has changed; the head is added.
            more: Further settings, json-able.
        """
        settings = {
            **self.goal.settings(),
            "backbone": ref.as_json(),
            **more,
            "training": self.training,
            "chosen": self.chosen,
        }
        return State(settings, {**tensors, **self.network.head_for_unit_vectors()})


def fit(
    labelled: Labelled, build: Build, options: TrainingOptions, learning_rate: float, context: FitContext
) -> Trained:
    """Return the network of `build` trained on all of `labelled`.

    Raises:
        TrainingError: The training diverged.
    """
    if labelled.goal.is_settled:
        return Trained(labelled.goal, build(_start(labelled))[0], None)
    fraction, chosen = (
        _stop_early(labelled, build, options, learning_rate, context) if options.early_stopping else (1.0, {})
    )
    network, record = _train(labelled, build, options, learning_rate, context, fraction=fraction)
    if len(labelled.unseen):
        scores = _scores(network, replace(labelled, prepared=labelled.unseen), context)
        labelled = replace(labelled, goal=labelled.goal.among(scores, options.label_smoothing))
    return Trained(labelled.goal, network, record.as_json(), chosen)


def fine_tuned(task: Task, source: TrainableEncoder, trained: Trained, label_smoothing: float) -> FineTuned:
    """Return the predictor of a network whose own weights were trained; its state holds those that have changed."""
    weights = changed(source, trained.network.encoder)
    state = trained.state(source.ref, encoders.as_tensors(weights))
    return FineTuned(task, source.adapted(weights), label_smoothing, state)


def restored(
    task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone], label_smoothing: float
) -> FineTuned:
    """Return the predictor of `fine_tuned` whose `state` was saved."""
    source = reopened(state, open_backbone)
    return FineTuned(task, source.adapted(encoders.of_tensors(state.tensors)), label_smoothing, state)


def from_scratch(task: Task, source: StartableEncoder, trained: Trained, label_smoothing: float) -> FineTuned:
    """Return the predictor of a network that began at random; its state holds all weights."""
    weights = {
        name: value.detach().cpu().numpy().copy() for name, value in trained.network.encoder.state_dict().items()
    }
    state = trained.state(source.ref, encoders.as_tensors(weights))
    return FineTuned(task, source.adapted(weights), label_smoothing, state)


def from_scratch_restored(
    task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone], label_smoothing: float
) -> FineTuned:
    """Return the predictor of `from_scratch` whose `state` was saved."""
    source = startable(open_backbone(BackboneRef.from_json(state.settings["backbone"])))
    return FineTuned(task, source.adapted(encoders.of_tensors(state.tensors)), label_smoothing, state)


def with_head(encoder: nn.Module, start: Logistic) -> tuple[Classifier, list[Group]]:
    """Return the head `start` on `encoder`, and what is trained: the head, and what of the encoder wants a gradient."""
    network = Classifier(encoder, start)
    return network, [Group([parameter for parameter in network.parameters() if parameter.requires_grad])]


def layered(encoder: nn.Module, trained: Sequence[nn.Parameter], decay: float) -> list[Group]:
    """Return groups whose rate falls by `decay` from each layer to the one below it.

    The layers are those of the longest list of modules in the encoder. What comes before them has the lowest rate,
    what comes after them the full one. Source: Howard and Ruder 2018, https://arxiv.org/abs/1801.06146, section 3.2.

    Args:
        encoder: Holds the layers.
        trained: The parameters of the encoder that are trained.
        decay: Factor from layer to layer; 1: one rate for all.
    """
    if decay == 1.0:
        return [Group(trained)]
    stack = layers(encoder)
    depth_of = {id(p): depth for depth, layer in enumerate(stack, start=1) for p in layer.parameters()}
    by_depth: dict[int, list[nn.Parameter]] = {}
    below = True
    for parameter in encoder.parameters():
        depth = depth_of.get(id(parameter), 0 if below and stack else len(stack))
        below = below and id(parameter) not in depth_of
        if any(parameter is each for each in trained):
            by_depth.setdefault(depth, []).append(parameter)
    return [Group(parameters, decay ** (len(stack) - depth)) for depth, parameters in sorted(by_depth.items())]


def _start(labelled: Labelled) -> Logistic:
    return labelled.goal.start(labelled.features)


def _train(
    labelled: Labelled,
    build: Build,
    options: TrainingOptions,
    learning_rate: float,
    context: FitContext,
    *,
    fraction: float = 1.0,
    look: Callable[[nn.Module, int], None] | None = None,
) -> tuple[Classifier, TrainingRecord]:
    """Return the trained network; `look` is called at `_LOOKS` equal distances with the number of the look."""
    network, groups = build(_start(labelled))
    plan = batching.schedule(len(labelled.prepared), epochs=options.epochs, batch_size=options.batch_size)
    trained = [parameter for group in groups for parameter in group.parameters]
    numbers = {math.ceil(plan.steps * (k + 1) / _LOOKS): k for k in range(_LOOKS)}
    watch = Watch(frozenset(numbers), lambda network, step: look(network, numbers[step])) if look else None
    with drawn_back(trained, options.keep):
        record = train(
            network,
            plan.plan([len(item) for item in labelled.prepared], context.seed),
            groups=groups,
            batch=batching.labelled_batches(labelled.collate, labelled.prepared, labelled.goal.targets),
            loss=labelled.goal.loss(options.label_smoothing),
            settings=options.settings(
                learning_rate, stop_after=math.ceil(plan.steps * fraction) if fraction < 1 else None
            ),
            context=context,
            chance=labelled.goal.chance(options.label_smoothing),
            watch=watch,
        )
    return network, record


def _stop_early(
    labelled: Labelled, build: Build, options: TrainingOptions, learning_rate: float, context: FitContext
) -> tuple[float, dict[str, Any]]:
    """Return the share of the steps after which held-out rows were answered best, and what it was chosen by."""
    folds = labelled.goal.folds(labelled.groups)
    held_out = np.flatnonzero(folds != selection.NEVER)
    shares = [(k + 1) / _LOOKS for k in range(_LOOKS)]
    if not len(held_out):
        return 1.0, {"steps_share": 1.0, "scores": []}
    found = np.zeros((_LOOKS, len(labelled.prepared), labelled.goal.outputs), dtype=np.float32)
    for fold in range(int(folds.max()) + 1):
        rows = np.flatnonzero(folds == fold)

        def look(network: nn.Module, number: int, rows: Array = rows) -> None:
            found[number, rows] = _scores(network, labelled.part(rows), context)

        _train(labelled.part(np.flatnonzero(folds != fold)), build, options, learning_rate, context, look=look)
    targets = labelled.goal.true(held_out)
    scores = [
        context.objective(targets, labelled.goal.answers(answers[held_out], options.label_smoothing))
        for answers in found
    ]
    best = labelled.goal.preferred(scores, len(held_out))
    return shares[best], {"steps_share": shares[best], "scores": [round(score, 6) for score in scores]}


@torch.no_grad()
def _scores(network: nn.Module, rows: Labelled, context: FitContext) -> Array:
    """Return what the network on its way says, shape (n, outputs)."""
    scores = np.zeros((len(rows.prepared), rows.goal.outputs), dtype=np.float32)
    kind = torch.device(context.device).type
    lengths = [len(item) for item in rows.prepared]
    for part in batching.micro_batches(range(len(lengths)), lengths, batching.MICRO_BATCH_TOKENS):
        arguments = rows.collate([rows.prepared[at] for at in part])
        with torch.autocast(kind, torch.bfloat16, enabled=context.precision == "bf16"):
            answered = network(**{name: value.to(context.device) for name, value in arguments.items()})
        scores[part] = answered.float().cpu().numpy()
    return scores
