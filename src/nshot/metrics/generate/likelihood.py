"""How likely a model finds the reference: perplexity and bits per byte, from `Prediction.likelihoods`.

Both judge the model, not what it wrote: a model can find a reference likely and write something else. They are of the
first text of each target, its end included, since that is what a fit learns from.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from nshot.core import Prediction, Task, UnsupportedError
from nshot.metrics.generate.texts import KINDS, accepted, ratio, ratio_without_one
from nshot.metrics.metric import Array, Metric


def _likelihoods(targets: Sequence[Any], prediction: Prediction) -> Array:
    """Return (log-probability in nats, tokens) per row."""
    if prediction.likelihoods is None:
        raise UnsupportedError("This metric needs likelihoods, and this method has none.")
    found = np.asarray(prediction.likelihoods, dtype=np.float64)
    if found.shape != (len(targets), 2):
        raise ValueError(f"likelihoods have shape {found.shape} for {len(targets)} targets")
    return found


def _nats_and_tokens(targets: Sequence[Any], prediction: Prediction, task: Task) -> Array:
    return np.asarray(_likelihoods(targets, prediction) * (-1.0, 1.0))


def _bits_and_bytes(targets: Sequence[Any], prediction: Prediction, task: Task) -> Array:
    bits = -_likelihoods(targets, prediction)[:, 0] / math.log(2.0)
    sizes = (len(accepted(target)[0].encode("utf-8", "replace")) for target in targets)
    return np.stack([bits, np.fromiter(sizes, np.float64, count=len(targets))], axis=1)


def _perplexity(statistics: Array, weights: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.asarray(np.exp(ratio(statistics, weights)))


def _perplexity_without_one(statistics: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.asarray(np.exp(ratio_without_one(statistics)))


perplexity = Metric(
    name="perplexity",
    task_kinds=KINDS,
    signature="perplexity|of:first reference and its end|per:token of the model|v1",
    statistics=_nats_and_tokens,
    weighted=_perplexity,
    leave_one_out=_perplexity_without_one,
    needs="likelihoods",
    higher_is_better=False,
    is_quality=False,
    lowest=1.0,
    highest=float("inf"),
)
"""exp of the mean negative log-probability per token; models with other tokenisers are on other scales."""

bits_per_byte = Metric(
    name="bits_per_byte",
    task_kinds=KINDS,
    signature="bits_per_byte|of:first reference and its end|per:byte of UTF-8|v1",
    statistics=_bits_and_bytes,
    weighted=ratio,
    leave_one_out=ratio_without_one,
    needs="likelihoods",
    higher_is_better=False,
    highest=float("inf"),
)
"""Negative log2-probability of the references over their bytes, comparable between tokenisers."""
