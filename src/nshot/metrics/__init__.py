"""How answers are judged: one file per task kind; every metric can be resampled.

To add a metric, write it into the file of its task kind and name it in that file's ``METRICS``; the first one there
is the kind's default.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nshot.core import OptionError, Task, TaskKind, closest
from nshot.metrics import classify, detect, extract, generate, regress
from nshot.metrics.metric import Array, Metric

_METRICS: dict[str, Metric] = {
    metric.name: metric for file in (classify, regress, detect, extract, generate) for metric in file.METRICS
}

__all__ = ["Array", "Metric", "default_metric", "get", "names"]


def get(name: str) -> Metric:
    """Return the metric of this name.

    Raises:
        OptionError: There is none; the message names the nearest and all others.
    """
    try:
        return _METRICS[name]
    except KeyError:
        raise OptionError(
            f"Metric must be one of {', '.join(_METRICS)}. Got '{name}' instead.{closest(name, _METRICS)}"
        ) from None


def names(kind: TaskKind | str | None = None) -> tuple[str, ...]:
    """Return the names of all metrics, or of those for one kind of task; the default one comes first."""
    if kind is None:
        return tuple(_METRICS)
    return tuple(name for name, metric in _METRICS.items() if TaskKind(kind) in metric.task_kinds)


def default_metric(task: Task, targets: Sequence[Any] = ()) -> Metric:
    """Return the metric to rank by when nobody named one: the first of the task kind.

    For `classify` this is macro F1, for balanced and unbalanced labels alike: with 19 % positives, answering "no"
    always has an accuracy of 81 % and a macro F1 of 45 %. One rule for all data also keeps the metric from flipping
    when rows are added, so `targets` decide nothing today.

    Raises:
        OptionError: No metric is known for this kind of task.
    """
    known = names(task.kind)
    if not known:
        raise OptionError(f"No metric is known for the task '{task.kind}'. Metrics exist for: {_kinds()}.")
    return _METRICS[known[0]]


def _kinds() -> str:
    return ", ".join(kind for kind in TaskKind if names(kind))
