"""A training that is tracked, and that goes on where an earlier process was stopped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nshot.core import FitContext, Track
from nshot.spec import Method
from nshot.study.watch import Watch

if TYPE_CHECKING:
    from nshot.training.tracking import Tracking


class Speed:
    """Adds up how fast the steps of a training were; hands their figures on."""

    def __init__(self, track: Track) -> None:
        self._track = track
        self._steps = 0
        self._seconds_per_example = 0.0

    def __call__(self, step: int, figures: Mapping[str, float]) -> None:
        """Count one step's speed, and hand its figures on."""
        speed = figures.get("examples_per_second", 0.0)
        if speed > 0:
            self._steps += 1
            self._seconds_per_example += 1 / speed
        self._track(step, figures)

    @property
    def examples_per_second(self) -> float | None:
        """Return the speed over all steps, which are of one size."""
        return self._steps / self._seconds_per_example if self._steps else None


@dataclass(frozen=True)
class LongFit:
    """What a long fit is handed, and what is watched meanwhile."""

    context: FitContext
    speed: Speed
    tracking: Tracking
    was_resumed: bool


@contextmanager
def long_fit(
    method: Method,
    context: FitContext,
    track: Sequence[str],
    decisive: Mapping[str, Any],
    data_name: str,
    out: str | Path | None,
    watch: Watch,
) -> Iterator[LongFit]:
    """Let a training be tracked, and go on where an earlier process was stopped.

    Args:
        method: What is fitted.
        context: What it is handed, but for checkpoints and track.
        track: Where to track, as in `FitOptions.track`.
        decisive: Everything that decides the weights.
        data_name: What people call the data.
        out: Where the model goes, or None: nothing is kept on the way.
        watch: Shown what is going on.
    """
    from nshot.training import tracking, unfinished
    from nshot.training.distributed import is_main_process

    key = unfinished.key_of(decisive)
    name = f"{method.method_name()}-{Path(data_name).stem}"
    chosen = method.model_dump(mode="json")
    facts = {"method": method.method_name(), "version": method.version, **chosen, "data": data_name}
    facts |= {name: value for name, value in decisive.items() if not isinstance(value, list | Mapping)}
    entries = track if is_main_process() else ()
    keeps = out is not None and method.trains_network
    place = Path(out).expanduser().resolve() if out is not None else Path()
    with (
        unfinished.kept_beside(place, key) if keeps and is_main_process() else nullcontext() as kept,
        tracking.tracked(entries, tracking.TrackedFit(name, key, facts), watch.say) as tracked,
    ):
        was_resumed = kept is not None and kept.has_begun
        if kept is not None and kept.has_begun:
            watch.say(f"Going on where the same command was stopped before; what it had done lies in {kept.folder}.")
        speed = Speed(tracked)
        folder = unfinished.folder_beside(place, key) if keeps else None
        yield LongFit(replace(context, track=speed, checkpoints=folder), speed, tracked, was_resumed)
