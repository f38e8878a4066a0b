"""Metrics of what was compressed."""

from __future__ import annotations

import numpy as np
import pytest

from nshot import metrics
from nshot.core import Prediction, Task, TaskKind
from nshot.metrics.compress import structural_similarity

TASK = Task(TaskKind.COMPRESS, metric="psnr")


def noisy(shape: tuple[int, ...], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    one = generator.integers(0, 256, shape, dtype=np.uint8)
    return one, np.clip(one + generator.normal(0, 20, shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("shape", [(28, 28), (11, 40), (33, 50, 3)])
def test_structural_similarity_is_that_of_scikit_image(shape: tuple[int, ...]) -> None:
    reference = pytest.importorskip("skimage.metrics")
    one, other = noisy(shape)
    expected = reference.structural_similarity(
        one,
        other,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
        channel_axis=2 if len(shape) == 3 else None,
    )
    assert structural_similarity(one[None].astype(float), other[None].astype(float))[0] == pytest.approx(
        expected, abs=1e-4
    )


def test_pictures_of_several_sizes_are_each_judged_alone() -> None:
    pairs = [noisy((28, 28)), noisy((40, 12, 3), 1), noisy((28, 28), 2), noisy((5, 3), 3)]
    targets, decoded = zip(*pairs, strict=True)
    for name in ("psnr", "ssim"):
        metric = metrics.get(name)
        together = metric.statistics(targets, Prediction(decoded=decoded), TASK)[:, 0]
        alone = [metric.score([one], Prediction(decoded=[other]), TASK) for one, other in pairs]
        np.testing.assert_allclose(together, alone)


def test_decibels_are_of_each_image_and_end_at_a_hundred() -> None:
    one = np.full((10, 10), 100, dtype=np.uint8)
    decoded = [one + np.uint8(1), one + np.uint8(10), one]
    expected = [10 * np.log10(255**2), 10 * np.log10(255**2 / 100), 100.0]
    found = metrics.get("psnr").statistics([one] * 3, Prediction(decoded=decoded), TASK)[:, 0]
    np.testing.assert_allclose(found, expected)
    assert metrics.get("ssim").score([one], Prediction(decoded=[one]), TASK) == pytest.approx(1.0)


def test_bits_are_counted_by_pixel_whatever_the_colours_and_by_number() -> None:
    prediction = Prediction(bits=np.array([200.0, 100.0]))
    pictures = [np.zeros((10, 10, 3), np.uint8), np.zeros((10, 5), np.uint8)]
    assert metrics.get("bits_per_pixel").score(pictures, prediction, TASK) == 2.0
    assert metrics.get("bits_per_value").score([np.zeros(50), np.zeros(100)], prediction, TASK) == 2.5
    assert metrics.get("bits_per_pixel").unavailable(Prediction()) is not None


def test_lost_variance_does_not_depend_on_units_and_passes_over_what_never_varies() -> None:
    truth = np.random.default_rng(0).normal(size=(50, 4)) * [1, 1e6, 1, 1e-33] + [0, 0, 5, 0]
    truth[:, 2] = 5.0
    answers = truth.copy()
    answers[:, 0] = truth[:, 0].mean()
    found = metrics.get("lost_variance").score(list(truth), Prediction(decoded=list(answers)), TASK)
    assert found == pytest.approx(0.5)  # all of one column and nothing of the other


def test_what_comes_back_in_another_shape_is_a_mistake_of_the_method() -> None:
    with pytest.raises(ValueError, match="came back as"):
        metrics.get("psnr").statistics([np.zeros((2, 2))], Prediction(decoded=[np.zeros((2, 3))]), TASK)
