"""Metrics of `compress`: how much of an example is lost, and how many bits are left of it.

Targets are the examples as arrays: of images uint8, shape (height, width) or (height, width, 3), of rows float32
vectors. What came back has the same shapes. Every metric is a plain mean over examples, so that a large picture counts
as much as a small one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from nshot.core import Prediction, Task, TaskKind, UnsupportedError
from nshot.metrics.metric import Array, Metric

KINDS = frozenset({TaskKind.COMPRESS})
_WHITE = 255.0
_BEST_PSNR = 100.0
"""Decibels that a picture without any error counts for: less than half a grey level in one of 16,000 pixels."""

_WINDOW = 11
_SIGMA = 1.5
_K1, _K2 = 0.01, 0.03


def _pairs(targets: Sequence[Any], prediction: Prediction) -> list[tuple[Array, Array]]:
    if prediction.decoded is None:
        raise UnsupportedError("This metric needs what came back, and this method has nothing.")
    if len(targets) != len(prediction.decoded):
        raise ValueError(f"{len(prediction.decoded)} answers for {len(targets)} targets")
    pairs = []
    for target, answer in zip(targets, prediction.decoded, strict=True):
        one, other = np.asarray(target), np.asarray(answer)
        if one.shape != other.shape:
            raise ValueError(f"an array of shape {one.shape} came back as {other.shape}")
        pairs.append((one.astype(np.float64), other.astype(np.float64)))
    return pairs


def _decibels(targets: Sequence[Any], prediction: Prediction, task: Task) -> Array:
    errors = np.array([np.square(one - other).mean() for one, other in _pairs(targets, prediction)])
    least = _WHITE**2 / 10 ** (_BEST_PSNR / 10)
    return np.asarray(10.0 * np.log10(_WHITE**2 / np.maximum(errors, least))).reshape(-1, 1)


def _similarities(targets: Sequence[Any], prediction: Prediction, task: Task) -> Array:
    pairs = _pairs(targets, prediction)
    found = np.empty((len(pairs), 1))
    shapes = [one.shape for one, _ in pairs]
    for shape in sorted(set(shapes)):
        alike = [at for at, own in enumerate(shapes) if own == shape]
        for start in range(0, len(alike), step := max(1, (1 << 22) // int(np.prod(shape)))):
            part = alike[start : start + step]
            one, other = (np.stack([pairs[at][side] for at in part]) for side in (0, 1))
            found[part, 0] = structural_similarity(one, other)
    return found


def structural_similarity(one: Array, other: Array) -> Array:
    """Return the mean structural similarity of n pairs of pictures, shape (n,).

    The mean over all places at which the window fits into the picture, and over colours, of

        (2 m m' + c1) (2 s + c2) / ((m^2 + m'^2 + c1) (v + v' + c2)),   c1 = (0.01 x 255)^2,  c2 = (0.03 x 255)^2

    with means m, variances v and covariance s under a Gaussian window of 11 x 11 pixels, standard deviation 1.5 (Wang,
    Bovik, Sheikh and Simoncelli 2004, "Image quality assessment: from error visibility to structural similarity"). In
    a picture with a side below 11 the window is cut to the largest odd one that fits.

    Args:
        one: Shape (n, height, width) or (n, height, width, 3), values from 0 to 255.
        other: The same shape.
    """
    if one.ndim == 4:
        return np.asarray(
            np.mean([structural_similarity(one[..., colour], other[..., colour]) for colour in range(3)], axis=0)
        )
    c1, c2 = (_K1 * _WHITE) ** 2, (_K2 * _WHITE) ** 2
    mean, mean2 = _blurred(one), _blurred(other)
    variance = _blurred(one * one) - mean * mean
    variance2 = _blurred(other * other) - mean2 * mean2
    covariance = _blurred(one * other) - mean * mean2
    above = (2 * mean * mean2 + c1) * (2 * covariance + c2)
    below = (mean**2 + mean2**2 + c1) * (variance + variance2 + c2)
    return np.asarray((above / below).mean(axis=(1, 2)))


def _blurred(pictures: Array) -> Array:
    """Return weighted means over all windows inside each picture."""
    side = min(_WINDOW, *pictures.shape[1:])
    side -= 1 - side % 2
    offsets = np.arange(side) - side // 2
    weights = np.exp(-0.5 * (offsets / _SIGMA) ** 2)
    weights /= weights.sum()
    across = sliding_window_view(pictures, side, axis=2) @ weights
    return np.asarray(sliding_window_view(across, side, axis=1) @ weights)


def _lost(targets: Sequence[Any], prediction: Prediction, task: Task) -> Array:
    pairs = _pairs(targets, prediction)
    if not pairs:
        return np.zeros((0, 1))
    truth, answers = (np.stack([pair[side] for pair in pairs]) for side in (0, 1))
    spread = truth.var(axis=0)
    # What varies by rounding only counts as constant; some encoders have numbers that are 1e-33 whatever the text.
    varies = spread > np.maximum(1e-12 * np.square(truth).mean(axis=0), 1e-20 * spread.mean())
    shares = np.square(truth - answers)[:, varies] / spread[varies]
    return np.asarray(shares.mean(axis=1, keepdims=True)) if varies.any() else np.full((len(truth), 1), np.nan)


def _per_place(targets: Sequence[Any], prediction: Prediction, task: Task) -> Array:
    if prediction.bits is None:
        raise UnsupportedError("This metric needs bits, and this method has none.")
    counts = np.array([np.prod(np.shape(target)[:2]) for target in targets], dtype=np.float64)
    return np.asarray(np.asarray(prediction.bits, dtype=np.float64) / counts).reshape(-1, 1)


psnr = Metric(
    name="psnr",
    task_kinds=KINDS,
    signature="psnr|dB|peak:255|mean over images, each at most 100|v1",
    statistics=_decibels,
    needs="decoded",
    is_mean=True,
    highest=float("inf"),
    point=1.0,
)
"""Peak signal-to-noise ratio in decibels: 10 log10(255^2 / mean squared error) of each image, then the mean."""

lost_variance = Metric(
    name="lost_variance",
    task_kinds=KINDS,
    signature="lost_variance|of each number of a vector, then their mean|v1",
    statistics=_lost,
    needs="decoded",
    higher_is_better=False,
    is_mean=True,
    highest=float("inf"),
)
"""Of vectors: squared error as a share of the variance over the test rows, of each number, then the mean."""

ssim = Metric(
    name="ssim",
    task_kinds=KINDS,
    signature="ssim|Gaussian 11x11, 1.5|K 0.01, 0.03|mean over images|v1",
    statistics=_similarities,
    needs="decoded",
    is_mean=True,
    lowest=-1.0,
)
"""Mean structural similarity, 1 where nothing is lost; see `structural_similarity`."""

bits_per_pixel = Metric(
    name="bits_per_pixel",
    task_kinds=KINDS,
    signature="bits_per_pixel|what is written, without what all share|mean over images|v1",
    statistics=_per_place,
    needs="bits",
    higher_is_better=False,
    is_mean=True,
    highest=float("inf"),
    is_quality=False,
)
"""Bits that an image takes, per pixel whatever its colours."""

bits_per_value = Metric(
    name="bits_per_value",
    task_kinds=KINDS,
    signature="bits_per_value|what is written, without what all share|mean over rows|v1",
    statistics=_per_place,
    needs="bits",
    higher_is_better=False,
    is_mean=True,
    highest=float("inf"),
    is_quality=False,
)
"""Bits that a vector takes, per number."""

METRICS = (psnr, lost_variance, ssim, bits_per_pixel, bits_per_value)
