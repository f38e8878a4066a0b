"""Detectors against the programs and formulas that they follow."""

from __future__ import annotations

import numpy as np
import pytest

from nshot.core import DataError, Dataset
from nshot.training.outliers.columns import Histograms, TailProbabilities
from nshot.training.outliers.detector import learnt_from
from nshot.training.outliers.directions import MahalanobisDistance, SubspaceResidual
from nshot.training.outliers.forest import Forest, average_path
from nshot.training.outliers.labelled import LabelledDistance, OutlierProbe
from nshot.training.outliers.neighbours import LocalFactor, NeighbourDistance, Search


def rows(n: int, width: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    found = generator.normal(size=(n, width))
    found[:, 0] = found[:, -1] * 3 + 0.1 * found[:, 0]
    return found.astype(np.float32)


def odd(width: int) -> np.ndarray:
    """Return rows that a detector may meet: usual, far, huge, and on the training rows themselves."""
    return np.concatenate(
        [rows(40, width, 1), 5 * rows(5, width, 2), np.full((1, width), 1e12, np.float32), rows(3, width)]
    ).astype(np.float32)


def every(train: np.ndarray) -> list:
    forest = Forest.grown(train, trees=20, rows_per_tree=32, seed=3)
    anomalies = rows(4, train.shape[1], 9) + 4
    return [
        forest,
        NeighbourDistance(train, np.array(3)),
        LocalFactor.of(train, 5, "lof"),
        TailProbabilities.of(train),
        Histograms.of(train, 10),
        MahalanobisDistance.of(train),
        SubspaceResidual.of(train, 0.7),
        LabelledDistance.of(train, anomalies, 3),
        OutlierProbe.of(train, anomalies, k=3, strength=100.0, forest=forest),
    ]


@pytest.mark.parametrize("width", [1, 4, 23])
def test_a_score_does_not_depend_on_the_rows_beside_it(width: int) -> None:
    asked = odd(width)
    for detector in every(rows(60, width)):
        together = detector.scores(asked)
        assert together.shape == (len(asked),)
        assert np.isfinite(together).all(), type(detector)
        alone = np.concatenate([detector.scores(asked[i : i + 1]) for i in range(len(asked))])
        np.testing.assert_array_equal(alone.astype(np.float32), together.astype(np.float32))


@pytest.mark.parametrize(
    "train",
    [np.zeros((2, 3), np.float32), np.ones((30, 2), np.float32), rows(1, 4), rows(2, 4), rows(6, 300)],
    ids=["two equal rows", "constant columns", "one row", "two rows", "more columns than rows"],
)
def test_data_with_little_in_it_still_gets_finite_scores(train: np.ndarray) -> None:
    asked = np.concatenate([train, train + 2]).astype(np.float32)
    if len(train) == 1:
        with pytest.raises(DataError, match="only one"):
            LocalFactor.of(train, 5, "local_outlier_factor")
        return
    for detector in every(train):
        assert np.isfinite(detector.scores(asked)).all(), type(detector)


@pytest.mark.parametrize("n", [1, 2, 3, 50, 700])
def test_the_forest_scores_as_scikit_learn_does(n: int) -> None:
    from sklearn.ensemble import IsolationForest

    train, asked = rows(n, 5), odd(5)
    theirs = IsolationForest(n_estimators=30, max_samples=min(256, n), random_state=7).fit(train)
    ours = Forest.grown(train, trees=30, rows_per_tree=256, seed=7)
    np.testing.assert_allclose(ours.scores(asked), -theirs.score_samples(asked), rtol=0, atol=1e-12)


def test_the_expected_number_of_cuts_is_that_of_a_search_tree() -> None:
    harmonic = np.cumsum(1 / np.arange(1, 300))
    exact = 2 * harmonic[254] - 2 * 255 / 256  # equation 1 with H(255) itself
    assert average_path(np.array([1, 2])).tolist() == [0.0, 1.0]
    assert average_path(np.array([256]))[0] == pytest.approx(exact, abs=0.01)


@pytest.mark.parametrize("width", [3, 20])
def test_neighbours_are_found_and_measured_exactly(width: int) -> None:
    kept, asked = rows(200, width), rows(30, width, 5)
    near = Search(kept).nearest(asked, 4)
    every_distance = np.sqrt(np.square(asked[:, None].astype(float) - kept[None].astype(float)).sum(axis=2))
    np.testing.assert_allclose(near.distances, np.sort(every_distance, axis=1)[:, :4], rtol=1e-12)
    np.testing.assert_allclose(np.take_along_axis(every_distance, near.positions, axis=1), near.distances, rtol=1e-12)


def test_the_local_outlier_factor_is_scikit_learns() -> None:
    from sklearn.neighbors import LocalOutlierFactor

    train, asked = rows(300, 6), odd(6)[:-4]
    theirs = LocalOutlierFactor(n_neighbors=10, novelty=True).fit(train.astype(np.float64))
    ours = LocalFactor.of(train, 10, "lof").scores(asked)
    np.testing.assert_allclose(ours, -theirs.score_samples(asked.astype(np.float64)), rtol=1e-9)


TRAINED_ON = np.stack([np.arange(40) % 7, np.arange(40) ** 2 / 100, np.sin(np.arange(40))], axis=1).astype(np.float32)
ASKED = np.array([[3, 1, 0], [9, 0, 0.5], [0, 20, -1], [-1, 8, 2], [3, 15.5, 1]], dtype=np.float32)


def test_tails_are_counted_as_if_the_row_were_one_more_of_the_training_rows() -> None:
    # pyod 3.6, ECOD().fit(TRAINED_ON), each row asked alone. Asked together, its first score is 2.54512.
    by_pyod = [2.475793, 7.739519, 9.194806, 8.65581, 8.005222]
    np.testing.assert_allclose(TailProbabilities.of(TRAINED_ON).scores(ASKED), by_pyod, atol=1e-6)


def test_histograms_score_as_pyods_do_on_columns_of_spread_one() -> None:
    # pyod 3.6, HBOS(), both divided by the columns' standard deviations.
    by_pyod = [4.648265, 4.33583, 3.22193, 6.779702, 5.08709]
    np.testing.assert_allclose(Histograms.of(TRAINED_ON, 10).scores(ASKED), by_pyod, atol=1e-6)


def test_histograms_do_not_depend_on_the_unit_of_a_column() -> None:
    train, asked = rows(400, 5), odd(5)[:-4]
    metres, millimetres = (Histograms.of(train * factor, 10).scores(asked * factor) for factor in (1, 1024))
    np.testing.assert_allclose(metres, millimetres, rtol=1e-6)


def test_the_mahalanobis_distance_is_that_of_the_usual_rows() -> None:
    generator = np.random.default_rng(4)
    usual = generator.multivariate_normal([1, -2], [[2.0, 1.8], [1.8, 2.0]], size=3000)
    train = np.concatenate([usual, generator.normal(20, 0.1, size=(150, 2))]).astype(np.float32)
    asked = np.array([[1, -2], [3, 0], [3, -4]], dtype=np.float32)
    centre, along, across = MahalanobisDistance.of(train).scores(asked)
    assert centre < 0.3
    # Equally far from the centre, but one of them across the direction in which rows differ.
    assert across > 3 * along


def test_what_hangs_together_with_many_columns_is_missed_by_none_of_them_alone() -> None:
    generator = np.random.default_rng(1)
    hidden = generator.normal(size=(500, 2))
    train = (hidden @ generator.normal(size=(2, 8)) + 0.05 * generator.normal(size=(500, 8))).astype(np.float32)
    strange = train[:20].copy()
    strange[:, 0] *= -1  # every column keeps its range
    scores = SubspaceResidual.of(train[100:], 0.9).scores(np.concatenate([train[20:100], strange]))
    assert np.median(scores[80:]) > 1.5 * np.quantile(scores[:80], 0.95)


def test_labelled_anomalies_draw_the_score_to_them() -> None:
    train = rows(300, 3)
    heap = np.full((5, 3), 1.5, np.float32)
    asked = np.stack([np.full(3, 1.6), np.full(3, -1.6)]).astype(np.float32)
    forest = Forest.grown(train, trees=20, rows_per_tree=64, seed=0)
    for detector in (
        LabelledDistance.of(train, heap, 5),
        OutlierProbe.of(train, heap, k=5, strength=100.0, forest=forest),
    ):
        like_them, unlike = detector.scores(asked)
        assert like_them > unlike + 1


class Counting:
    """Embeds, and says how many rows it was asked for."""

    def __init__(self, width: int) -> None:
        self.width, self.asked = width, 0

    def embed(self, examples: object) -> np.ndarray:
        self.asked += len(examples)
        return np.repeat(np.asarray(list(examples), dtype=np.float32)[:, None], self.width, axis=1)


def test_of_a_large_pool_a_part_is_embedded_the_same_one_each_time() -> None:
    encoder = Counting(3)
    pool = Dataset(list(range(5000)), "row")
    first, again = (learnt_from(encoder, pool, 100, "ecod") for _ in range(2))
    assert encoder.asked == 200
    np.testing.assert_array_equal(first.vectors, again.vectors)
    assert first.settings == {"learnt_from": {"rows": 100, "of": 5000}}
    assert 2000 < np.mean(first.positions) < 3000
    with pytest.raises(DataError, match="ecod learns what is usual from unlabelled rows; there are none"):
        learnt_from(encoder, pool.take([]), 100, "ecod")


def test_vectors_that_would_not_fit_into_memory_are_fewer() -> None:
    encoder = Counting(1 << 24)
    assert len(learnt_from(encoder, Dataset(list(range(300)), "row"), 20_000, "ecod").vectors) == 8
