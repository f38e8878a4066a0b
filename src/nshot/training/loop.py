"""The only training loop.

Full fine-tuning, adapters, contrastive learning, language modelling and training from scratch differ in three things
that are handed in: what is trainable (`Group`), how a batch is built, and what the loss is.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from nshot.core import FitContext, OutOfMemoryError, TrainingError, silent, untracked
from nshot.training import checkpoints, distributed, memory, snapshots
from nshot.training.averaging import RunningAverage
from nshot.training.batching import Batch, Step
from nshot.training.checkpoints import Checkpoint, CheckpointFolder, every_example, training_key
from nshot.training.gradients import Cut, StepGradients
from nshot.training.losses import Loss

_STEPS_BETWEEN_READINGS = 20
"""Reading a number waits for the device: not at every step."""
_POINTS = 100
"""The most points of the loss curve that are kept."""
_FEWEST_STEPS_TO_JUDGE = 10
_LATE_SHARE = 0.1
_FEWEST_LATE_STEPS = 5
_AT_CHANCE = 0.98
"""A share of the chance loss that counts as having learnt nothing."""
_RESTART_FACTOR = 0.2
_GRADIENT_AND_MOMENTS = 3
"""Copies of the trained parameters that AdamW needs."""
_DIVERGED = 1.5
"""A multiple of the chance loss that no run ends at unless its steps were far too long."""


@dataclass(frozen=True)
class TrainingSettings:
    """How the optimiser goes.

    Attributes:
        learning_rate: The highest rate, reached at the end of the warm-up; a cosine leads from there to zero.
        weight_decay: Decoupled, on matrices only: neither on biases nor on the weights of a normalisation.
        warmup: Share of the steps in which the rate rises linearly.
        clip_norm: The longest gradient; a longer one is shortened.
        average: Share of the last steps over whose weights the final weights are averaged; 0: the last weights.
        stop_after: Leave the plan after this many steps, the rate following the whole plan; None: go through all.
    """

    learning_rate: float
    weight_decay: float = 0.01
    warmup: float = 0.1
    clip_norm: float = 1.0
    average: float = 0.0
    stop_after: int | None = None


@dataclass(frozen=True)
class Group:
    """Parameters that are trained, and at which multiple of the learning rate."""

    parameters: Sequence[nn.Parameter]
    rate: float = 1.0


@dataclass(frozen=True)
class Watch:
    """Somebody who looks at the network on its way.

    Attributes:
        steps: After which steps; 1 is after the first.
        look: ``look(network, step)``, called with the network in evaluation mode, which with FSDP is one of shards.
            After the last step the weights are the final ones, averaged where the settings ask for it. A training that
            is begun again is looked at again, from its first step on.
    """

    steps: frozenset[int]
    look: Callable[[nn.Module, int], None]


@dataclass(frozen=True)
class TrainingRecord:
    """What a training took and how it went.

    Attributes:
        steps: Optimiser steps of the run that counts.
        examples_seen: Examples passed through the network, those of a run that was restarted included.
        seconds: Wall time of all steps.
        examples_per_second: `examples_seen` per second.
        losses: Mean loss per unit in at most 100 equal stretches of the run, in order.
        learning_rate: The highest rate of the run that counts.
        precision: ``fp32`` or ``bf16``: of the matrix products; weights and optimiser are always float32.
        restarts: How often the run was begun again because it had learnt nothing.
        micro_batch_halvings: How often micro-batches were halved because they did not fit into the device's memory.
    """

    steps: int
    examples_seen: int
    seconds: float
    examples_per_second: float
    losses: tuple[float, ...]
    learning_rate: float
    precision: str
    restarts: int
    micro_batch_halvings: int

    def as_json(self) -> dict[str, Any]:
        """Return the record json-able, without the two figures of the clock: a saved model is the same every time."""
        timed = {"seconds", "examples_per_second"}
        record = {name: value for name, value in asdict(self).items() if name not in timed}
        return {**record, "losses": list(self.losses)}


def train(
    network: nn.Module,
    plan: Sequence[Step],
    *,
    groups: Sequence[Group],
    batch: Callable[[Sequence[int]], Batch],
    loss: Loss,
    settings: TrainingSettings,
    context: FitContext,
    chance: float | None = None,
    watch: Watch | None = None,
) -> TrainingRecord:
    """Train `network` in place; it is in evaluation mode afterwards.

    Weights and optimiser state are float32; with ``context.precision == "bf16"`` the matrix products are done in
    bf16 (autocast). The gradient of a step is that of the mean over all its units, however it is cut into
    micro-batches.

    Args:
        network: On the processor or already on ``context.device``.
        plan: The steps, from `batching`.
        groups: What is trainable; everything else keeps its value.
        batch: Builds the batch of some positions, of one alone too. What it leaves to chance it draws from torch's
            global random state.
        loss: Sums over a batch.
        settings: How the optimiser goes.
        context: Seed, device, precision, threads, memory, and where progress, figures and checkpoints go. With a
            folder for checkpoints, a training that was killed goes on from its last one, to the same weights, and one
            that was finished is not done again.
        chance: The mean loss of the best constant answer. A run whose loss stays there is begun again once, from the
            same weights at a fifth of the learning rate. None: no such answer is known, nothing is begun again.
        watch: Looks at the network after some steps.

    Raises:
        TrainingError: There is nothing to train on, or the training diverged.
        OutOfMemoryError: One example does not fit into the memory of the device.
        OutputError: A checkpoint cannot be written.
        UnsupportedError: Several processes were launched in a way that is not supported.
    """
    if not plan or settings.stop_after == 0:
        raise TrainingError("There is nothing to train on. Give at least one labelled example and one step.")
    processes = distributed.processes(context.device)
    context = replace(context, device=processes.device)
    if processes.index:
        context = replace(context, progress=silent, track=untracked)
    processes.copy_from_main([parameter for group in groups for parameter in group.parameters])
    with (
        _threads(context.threads),
        _random_state_kept(context.device),
        _memory_in_words(),
        _placed(network, groups, processes) as (placed, own_groups),
    ):
        # Every process drops out something else.
        torch.manual_seed(context.seed + (processes.index << 32))
        trained = [parameter for group in own_groups for parameter in group.parameters]
        gradients = StepGradients(placed, batch, loss, trained, context, processes)
        watch = watch or Watch(frozenset(), _look_away)
        return _Training(placed, plan, own_groups, gradients, settings, context, chance, watch).to_the_end()


def matrices_and_vectors(parameters: Sequence[nn.Parameter]) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Return the parameters that weight decay applies to, and those (biases, scales) that it does not."""
    return [p for p in parameters if p.ndim > 1], [p for p in parameters if p.ndim <= 1]


@dataclass
class _Stand:
    """Where a training stands, apart from its tensors; `TrainingRecord` says what the fields mean."""

    learning_rate: float
    step: int = 0
    restarts: int = 0
    examples_seen: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    finished: bool = False


class _Training:
    """One training: begun or taken up, looked at, perhaps begun again, ended."""

    def __init__(
        self,
        network: nn.Module,
        plan: Sequence[Step],
        groups: Sequence[Group],
        gradients: StepGradients,
        settings: TrainingSettings,
        context: FitContext,
        chance: float | None,
        watch: Watch,
    ) -> None:
        self.network = network
        self.plan = plan
        self.groups = groups
        self.gradients = gradients
        self.settings = settings
        self.context = context
        self.chance = chance
        self.watch = watch
        self.processes = gradients.processes
        self.total = len(plan) if settings.stop_after is None else min(len(plan), settings.stop_after)
        self.parameters = gradients.trained
        self.before = [parameter.detach().clone() for parameter in self.parameters] if chance else []
        self.at = _Stand(settings.learning_rate)
        self.optimiser, self.peaks = self._new_optimiser()
        self.average = RunningAverage(self.parameters, round(settings.average * self.total))
        self.unread: list[tuple[Tensor, Tensor]] = []
        self.stretch_began = self.kept_at = time.perf_counter()
        self.speed = 0.0
        self.checkpoints = CheckpointFolder(context.checkpoints, self._key()) if context.checkpoints else None

    def to_the_end(self) -> TrainingRecord:
        self._go_on_from_checkpoint()
        if not self.at.finished:
            self._train()
            self.at.finished = True
            self._keep_checkpoint()
        at = self.at
        return TrainingRecord(
            steps=len(at.losses),
            examples_seen=at.examples_seen,
            seconds=at.seconds,
            examples_per_second=at.examples_seen / at.seconds,
            losses=_thinned(at.losses),
            learning_rate=at.learning_rate,
            precision=self.context.precision,
            restarts=at.restarts,
            micro_batch_halvings=self.gradients.cut.halvings,
        )

    def _train(self) -> None:
        cuts_on_the_way = self.context.device != "cpu" and self.processes.sharding is None
        if self.gradients.cut.most_entries is None and not cuts_on_the_way:
            self._measure_memory()
        self._attempt()
        if self._at_chance() and not self.at.restarts:
            self._begin_again()
            self._attempt()
        at = self.at
        if self._at_chance() and self.chance and _late(at.losses) > _DIVERGED * self.chance:
            raise TrainingError(
                f"Training diverged: the loss ended at {_late(at.losses):.3g}, where a constant answer has "
                f"{self.chance:.3g}. Lower learning_rate, which was {self.settings.learning_rate:g}."
            )
        self.average.swap_in()
        self._let_look(self.total)

    def _attempt(self) -> None:
        """Go through the plan from where the training stands; half-way, a first attempt at chance is left."""
        at, half = self.at, self.total // 2
        self.network.train()
        self.stretch_began = time.perf_counter()
        while at.step < self.total:
            self._step(self.plan[at.step])
            is_reading = at.step in (1, half, self.total) or at.step % _STEPS_BETWEEN_READINGS == 0
            is_kept = self._checkpoint_is_due(is_reading)
            if is_reading or is_kept:
                self._read()
            self.context.progress(at.step, self.total, self._in_words())
            if at.step == half and not at.restarts and self._at_chance():
                break
            if at.step < self.total:
                self._let_look(at.step)
            if is_kept:
                self._keep_checkpoint()
        self.network.eval()
        if not all(bool(self.processes.whole(parameter.isfinite().all())) for parameter in self.parameters):
            raise self._diverged("a weight became infinite", at.step)

    def _begin_again(self) -> None:
        at = self.at
        with torch.no_grad():
            for parameter, value in zip(self.parameters, self.before, strict=True):
                parameter.copy_(value)
        at.step, at.losses = 0, []
        at.restarts += 1
        at.learning_rate *= _RESTART_FACTOR
        self.optimiser, self.peaks = self._new_optimiser()
        self.average.begin_again()

    def _step(self, step: Step) -> None:
        factor = self._rate_factor(self.at.step)
        for options, peak in zip(self.optimiser.param_groups, self.peaks, strict=True):
            options["lr"] = peak * factor
        value = self.gradients.add_up(step)
        self.processes.sum_gradients(self.parameters)
        present = [parameter for parameter in self.parameters if parameter.grad is not None]
        norm = self.processes.whole(nn.utils.get_total_norm([p.grad for p in present if p.grad is not None]))
        nn.utils.clip_grads_with_norm_(present, self.settings.clip_norm, norm)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.unread.append((value, norm))
        self.at.step += 1
        self.at.examples_seen += sum(map(len, step))
        if self.at.step > self.total - self.average.steps:
            self.average.add()

    def _read(self) -> None:
        """Take the figures of the steps since the last reading: the device is waited for here and nowhere else.

        Raises:
            TrainingError: A loss or the length of a gradient is not finite.
        """
        at, first = self.at, len(self.at.losses)
        values = self.processes.summed(torch.stack([value for value, _ in self.unread]))
        norms = torch.stack([norm for _, norm in self.unread])
        rows: list[list[float]] = torch.stack([values, norms], dim=1).tolist()
        self.unread = []
        for number, (value, norm) in enumerate(rows, start=first + 1):
            if not math.isfinite(value) or not math.isfinite(norm):
                what = f"the loss was {value}" if not math.isfinite(value) else f"the gradient was {norm}"
                raise self._diverged(what, number)
        now = time.perf_counter()
        seconds, self.stretch_began = now - self.stretch_began, now
        at.seconds += seconds
        at.losses += [value for value, _ in rows]
        self.speed = sum(len(part) for step in self.plan[first : at.step] for part in step) / seconds
        for number, (value, norm) in enumerate(rows, start=first + 1):
            figures = {
                "loss": value,
                "learning_rate": at.learning_rate * self._rate_factor(number - 1),
                "gradient_norm": norm,
                "examples_per_second": self.speed,
            }
            self.context.track(number, figures)

    def _in_words(self) -> str:
        doing = "training again, at a lower rate" if self.at.restarts else "training"
        if self.at.losses:
            doing += f", loss {_smoothed(self.at.losses):.3f}, {self.speed:.0f} examples/s"
        if self.gradients.cut.halvings:
            doing += f", micro-batches halved {self.gradients.cut.halvings}x for lack of memory"
        return doing

    def _let_look(self, step: int) -> None:
        if step not in self.watch.steps:
            return
        began = time.perf_counter()
        if self.checkpoints and step < self.total:
            # What a look finds lives in this process alone; one that goes on has to be able to look again.
            weights = self.processes.whole_in_main(snapshots.weights(self.network, self.parameters))
            if self.processes.index == 0:
                self.checkpoints.write(Checkpoint({}, weights), _look_file(self.at.restarts, step))
        self._show(step)
        if step < self.total:
            self.network.train()
        # Looking is not training: it stays out of the seconds and the speed.
        self.stretch_began += time.perf_counter() - began

    def _show(self, step: int) -> None:
        self.network.eval()
        with _random_state_kept(self.context.device), torch.no_grad():
            self.watch.look(self.network, step)

    def _at_chance(self) -> bool:
        """Return whether a run that was long enough to learn something has not."""
        losses = self.at.losses
        return bool(self.chance and len(losses) >= _FEWEST_STEPS_TO_JUDGE and _late(losses) >= _AT_CHANCE * self.chance)

    def _rate_factor(self, step: int) -> float:
        return _rate_factor(step, len(self.plan), self.settings.warmup)

    def _new_optimiser(self) -> tuple[torch.optim.Optimizer, list[float]]:
        options: list[dict[str, Any]] = []
        for group in self.groups:
            matrices, vectors = matrices_and_vectors(group.parameters)
            for parameters, decay in ((matrices, self.settings.weight_decay), (vectors, 0.0)):
                if parameters:
                    peak = self.at.learning_rate * group.rate
                    options.append({"params": parameters, "lr": peak, "weight_decay": decay})
        return torch.optim.AdamW(options, fused=True), [each["lr"] for each in options]

    def _measure_memory(self) -> None:
        """Find out how large a micro-batch may be."""
        self.network.train()
        with _random_state_kept(self.context.device):
            self.gradients.cut.most_entries = memory.most_entries(
                self.network,
                self.gradients.loss_of,
                self.gradients.batch,
                memory.longest_example(self.plan, self.gradients.batch),
                trained=[self.processes.own(parameter) for parameter in self.parameters],
                weights=[self.processes.own(tensor) for tensor in self.network.state_dict().values()],
                copies=_GRADIENT_AND_MOMENTS + bool(self.before) + bool(self.average.steps),
                device=self.context.device,
                neighbours=self.processes.neighbours,
                memory_bytes=self.context.memory_bytes,
            )

    def _key(self) -> str:
        """Return what tells this training from others whose checkpoints lie in the same folder."""
        facts = {
            "plan": [[list(positions) for positions in step] for step in self.plan],
            "groups": [[group.rate, [list(p.shape) for p in group.parameters]] for group in self.groups],
            "settings": asdict(self.settings),
            "seed": self.context.seed,
            "device": torch.device(self.context.device).type,
            "precision": self.context.precision,
            "processes": self.processes.count,
            "shards": self.processes.sharding is not None,
            "chance": self.chance,
            "watch": sorted(self.watch.steps),
        }
        with _random_state_kept(self.context.device):
            torch.manual_seed(self.context.seed)
            tensors = [*self.network.state_dict().values(), *self.parameters]
            return training_key(
                facts, map(self.processes.whole, tensors), every_example(self.plan, self.gradients.batch)
            )

    def _checkpoint_is_due(self, is_reading: bool) -> bool:
        if self.checkpoints is None:
            return False
        is_due = time.perf_counter() - self.kept_at >= checkpoints.SECONDS_BETWEEN_CHECKPOINTS
        if self.processes.count == 1:
            return is_due
        # Clocks differ, and asking costs: the main process decides, where all wait for each other anyway.
        return is_reading and self.processes.main_says(is_due)

    def _keep_checkpoint(self) -> None:
        if self.checkpoints is None:
            return
        tensors = snapshots.weights(self.network, self.parameters) | snapshots.random_states(self.processes)
        if not self.at.finished:
            tensors |= snapshots.moments(self.optimiser, self.average, self.parameters)
        tensors = self.processes.whole_in_main(tensors)
        if self.processes.index == 0:
            facts = {"stand": asdict(self.at), "averaged": self.average.count, "cut": asdict(self.gradients.cut)}
            self.checkpoints.write(Checkpoint(facts, tensors))
        self.kept_at = time.perf_counter()

    def _go_on_from_checkpoint(self) -> None:
        """Take up a training that was left, with all that was drawn, added up and looked at; else change nothing."""
        if self.checkpoints is None:
            return
        found = self.checkpoints.read()
        at = _Stand(**found.facts["stand"]) if found else self.at
        looked = [step for step in sorted(self.watch.steps) if step <= min(at.step, self.total - 1)]
        looks = [_look_file(at.restarts, step) for step in looked]
        is_usable = found is not None and all(self.checkpoints.read(file) for file in looks)
        # Either all processes go on from the same step, or none does.
        steps = self.processes.gathered(torch.tensor([at.step if is_usable else 0]))
        if found is None or not is_usable or len({int(step) for step in steps}) > 1:
            if self.checkpoints.exists():
                self.context.progress(0, self.total, "training from the start, the checkpoint cannot be used")
            return
        for step, file in zip(looked, looks, strict=True):
            if look := self.checkpoints.read(file):  # one at a time: each is as large as the network
                snapshots.take_weights(look.tensors, self.network, self.parameters, self.processes)
                self._show(step)
        snapshots.take_weights(found.tensors, self.network, self.parameters, self.processes)
        self.at = at
        self.gradients.cut = Cut(**found.facts["cut"])
        if at.finished:
            self._let_look(self.total)
            self.network.eval()
            return
        self.optimiser, self.peaks = self._new_optimiser()
        snapshots.take_moments(found.tensors, self.optimiser, self.average, self.parameters, self.processes)
        self.average.count = found.facts["averaged"]
        snapshots.take_random_states(found.tensors, self.processes)

    def _diverged(self, what: str, step: int) -> TrainingError:
        rate = self.at.learning_rate
        return TrainingError(
            f"Training diverged: {what} at step {step} of {self.total}, with learning_rate {rate:g} in "
            f"{self.context.precision}. Lower learning_rate, for example to {rate / 10:g}."
        )


def _look_file(restarts: int, step: int) -> str:
    return f"look-{restarts}-{step}"


def _look_away(network: nn.Module, step: int) -> None:
    """Look at nothing."""


def _rate_factor(step: int, steps: int, warmup: float) -> float:
    """Return the share of the highest rate at a step: a line up, then half a cosine down to almost zero."""
    rising = max(1, round(warmup * steps))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step + 1 - rising) / (steps + 1 - rising)))


def _late(losses: Sequence[float]) -> float:
    count = max(_FEWEST_LATE_STEPS, round(_LATE_SHARE * len(losses)))
    late = losses[-count:]
    return sum(late) / len(late)


def _smoothed(losses: Sequence[float]) -> float:
    recent = losses[-_STEPS_BETWEEN_READINGS:]
    return sum(recent) / len(recent)


def _thinned(losses: Sequence[float]) -> tuple[float, ...]:
    points = min(_POINTS, len(losses))
    edges = [round(i * len(losses) / points) for i in range(points + 1)]
    return tuple(sum(losses[a:b]) / (b - a) for a, b in itertools.pairwise(edges))


@contextmanager
def _placed(
    network: nn.Module, groups: Sequence[Group], processes: distributed.Processes
) -> Iterator[tuple[nn.Module, Sequence[Group]]]:
    """Yield what is trained on the device: the network, or shards of it whose values it has afterwards."""
    if processes.sharding is None:
        yield network.to(processes.device), groups
        return
    with processes.sharding.shards(network, processes.device, processes.count) as (cut, part_of):
        parts = [[part_of[id(parameter)] for parameter in group.parameters] for group in groups]
        yield cut, [replace(group, parameters=own) for group, own in zip(groups, parts, strict=True)]
    network.eval()


@contextmanager
def _threads(wanted: int) -> Iterator[None]:
    """Compute with this many processor threads, then with as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(wanted)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _random_state_kept(device: str) -> AbstractContextManager[None]:
    found = torch.device(device)
    return torch.random.fork_rng(devices=[found] if found.type == "cuda" else [])


@contextmanager
def _memory_in_words() -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise OutOfMemoryError(
            f"The device has not enough memory for a training step ({str(error).splitlines()[0]}). "
            "Use a smaller backbone or a device with more memory."
        ) from None
