"""How answers are judged: one file per task kind; every metric can be resampled.

To add a metric, write it into the file of its task kind and name it in that file's ``METRICS``; the first one there
is the kind's default. A user's own scoring function is a metric too, see `own_function`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nshot.core import OptionError, Task, TaskKind, closest
from nshot.metrics import classify, cluster, compress, detect, extract, generate, regress, tag
from nshot.metrics.metric import Array, Metric
from nshot.metrics.own_function import own_function

_METRICS: dict[str, Metric] = {
    metric.name: metric
    for file in (classify, tag, regress, detect, cluster, compress, extract, generate)
    for metric in file.METRICS
}

_SPELLINGS = {"rouge_l": "rougeL", "rougel": "rougeL", "recall_at_far": "recall_at_far:0.01"}

__all__ = ["Array", "Metric", "deciding", "default_metric", "get", "names"]


def get(name: str) -> Metric:
    """Return the metric of this name; ``get(metric.name)`` is that metric, whatever it is.

    Args:
        name: One of `names`; ``number_match:PATTERN`` with a regular expression; ``recall_at_far:RATE`` with a
            false-alarm rate; or a scoring function of the user's, ``module:function`` or ``file.py:function``, whose
            module is then run.

    Raises:
        OptionError: There is none; the message names the nearest and all others.
    """
    found = _METRICS.get(_SPELLINGS.get(name, name))
    if found is not None:
        return found
    kind, colon, rest = name.partition(":")
    if colon and kind == generate.NUMBER_MATCH:
        return generate.number_match(rest)
    if colon and kind == detect.RECALL_AT:
        return detect.recall_at(rest)
    if colon:
        return own_function(name)
    raise OptionError(
        f"Metric must be one of {', '.join(_METRICS)}, or a scoring function of your own, MODULE:FUNCTION. "
        f"Got '{name}' instead.{closest(name, _METRICS)}"
    )


def deciding(name: str) -> Metric:
    """Return the metric of this name, to rank by.

    Raises:
        OptionError: There is none, or it only informs: no better value of it is a better answer.
    """
    metric = get(name)
    if not metric.is_quality:
        kinds = {other for kind in metric.task_kinds for other in names(kind) if _METRICS[other].is_quality}
        listed = ", ".join(other for other in _METRICS if other in kinds)
        raise OptionError(f"{name} informs, it does not say which answers are better. Rank by one of: {listed}.")
    return metric


def names(kind: TaskKind | str | None = None) -> tuple[str, ...]:
    """Return the names of all metrics, or of those for one kind of task; the default one comes first."""
    if kind is None:
        return tuple(_METRICS)
    return tuple(name for name, metric in _METRICS.items() if TaskKind(kind) in metric.task_kinds)


def default_metric(task: Task, targets: Sequence[Any] = ()) -> Metric:
    """Return the metric to rank by when nobody named one, for most kinds of task the first.

    For `classify` this is macro F1, for balanced and unbalanced labels alike: with 19 % positives, answering "no"
    always has an accuracy of 81 % and a macro F1 of 45 %. One rule for all labels also keeps the metric from flipping
    when rows are added. For `generate` the references decide, see `generate.default`.

    Args:
        task: Its kind decides.
        targets: Of the labelled rows.

    Raises:
        OptionError: No metric is known for this kind of task.
    """
    known = names(task.kind)
    if not known:
        raise OptionError(f"No metric is known for the task '{task.kind}'. Metrics exist for: {_kinds()}.")
    if task.kind == TaskKind.GENERATE:
        return generate.default(targets)
    return _METRICS[known[0]]


def _kinds() -> str:
    return ", ".join(kind for kind in TaskKind if names(kind))
