"""What is told about drift: silent where nothing changed, plain where something did."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from nshot.bundle import FeatureSpread, Reference
from nshot.core import OptionError, Prediction
from nshot.serving.watching import Watch

LABELS = tuple(f"queue {i:02}" for i in range(20))


def answers(rng: np.random.Generator, n: int, shares: np.ndarray, sure: float = 4.0) -> Prediction:
    """Return n answers with these shares of labels, and probabilities that grow with `sure`."""
    codes = rng.choice(len(LABELS), n, p=shares)
    top = rng.beta(sure, 1.5, n) * 0.9 + 0.1
    probabilities = np.repeat((1 - top)[:, None] / (len(LABELS) - 1), len(LABELS), axis=1)
    probabilities[np.arange(n), codes] = top
    return Prediction([LABELS[code] for code in codes], probabilities.astype(np.float32))


@pytest.fixture(scope="module")
def shares() -> np.ndarray:
    return np.random.default_rng(0).dirichlet(np.full(len(LABELS), 2.0))


def reference(rng: np.random.Generator, shares: np.ndarray, n: int = 600, width: int = 40) -> Reference:
    seen = answers(rng, n, shares)
    spread = FeatureSpread.of(rng.normal(3, 2, (n, width)), "an encoder")
    return Reference.of_answers(seen.labels, seen.probabilities.max(axis=1), spread)


def test_nothing_is_told_before_anything_was_seen(shares) -> None:
    assert Watch(reference(np.random.default_rng(1), shares)).figures() == {}


def test_the_limit_of_chance_holds_about_95_times_in_100_where_nothing_changed(shares) -> None:
    over = {"label_shift": 0, "answer_shift": 0}
    for seed in range(200):
        rng = np.random.default_rng(seed)
        watch = Watch(reference(rng, shares))
        watch.saw(answers(rng, 400, shares))
        figures = watch.figures()
        for name in over:
            over[name] += figures[name] > figures[f"{name}_by_chance"]
    assert 1 <= over["label_shift"] <= 22
    assert 1 <= over["answer_shift"] <= 22


def test_other_labels_and_less_sure_answers_show(shares) -> None:
    rng = np.random.default_rng(3)
    watch = Watch(reference(rng, shares))
    watch.saw(answers(rng, 400, shares[::-1].copy(), sure=1.5))
    figures = watch.figures()
    assert figures["label_shift"] > 2 * figures["label_shift_by_chance"]
    assert figures["answer_shift"] > 2 * figures["answer_shift_by_chance"]
    assert figures["watched_answers"] == 400


def test_inputs_like_those_of_the_training_are_rarely_far_and_others_often(shares) -> None:
    rng = np.random.default_rng(4)
    watch = Watch(reference(rng, shares, n=2000))
    seen = answers(rng, 1000, shares)
    watch.saw(seen, rng.normal(3, 2, (1000, 40)))
    same = watch.figures()
    assert same["far_share_low"] <= 0.02
    assert same["far_share"] < 0.03
    watch.saw(seen, rng.normal(4, 3, (1000, 40)))
    other = watch.figures()
    assert other["far_share"] > 0.5
    assert other["far_share_low"] < other["far_share"] < other["far_share_high"]
    assert other["watched_inputs"] == 1000


def test_only_the_last_answers_count(shares) -> None:
    rng = np.random.default_rng(5)
    watch = Watch(reference(rng, shares), window=300)
    watch.saw(answers(rng, 300, shares[::-1].copy(), sure=1.5))
    watch.saw(answers(rng, 300, shares))
    figures = watch.figures()
    assert figures["watched_answers"] == 300
    assert figures["label_shift"] < 1.5 * figures["label_shift_by_chance"]


def test_a_label_that_was_learnt_later_counts_as_one_that_was_never_seen(shares) -> None:
    watch = Watch(Reference.of_training(["a", "b"] * 100, None))
    watch.saw(Prediction(["new"] * 50 + ["a", "b"] * 25))
    assert watch.figures()["label_shift"] > 1


def test_values_and_broken_numbers_are_taken(shares) -> None:
    rng = np.random.default_rng(6)
    watch = Watch(Reference.of_answers([], rng.normal(size=500), None))
    watch.saw(Prediction(values=np.array([np.nan, np.inf, *rng.normal(3, 1, 200)])))
    figures = watch.figures()
    assert figures["answer_shift"] > figures["answer_shift_by_chance"]
    assert figures["watched_answers"] == 200
    assert "label_shift" not in figures


def test_features_of_another_width_or_without_numbers_are_no_reason_to_stop(shares) -> None:
    rng = np.random.default_rng(7)
    watch = Watch(reference(rng, shares))
    seen = answers(rng, 2, shares)
    watch.saw(seen, np.zeros((2, 3)))
    assert "far_share" not in watch.figures()
    watch.saw(seen, np.full((2, 40), np.nan))
    assert watch.figures()["far_share"] == 1.0


def test_several_threads_may_count_at_once(shares) -> None:
    rng = np.random.default_rng(8)
    watch = Watch(reference(rng, shares), window=10_000)
    seen = answers(rng, 100, shares)
    threads = [threading.Thread(target=lambda: [watch.saw(seen) for _ in range(10)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        watch.figures()
    for thread in threads:
        thread.join()
    assert watch.figures()["watched_answers"] == 4000


def test_a_constant_feature_and_few_or_very_many_columns_are_handled() -> None:
    features = np.random.default_rng(9).normal(size=(100, 5))
    features[:, 2] = 7.0
    assert FeatureSpread.of(features, "e").spreads[2] == 1.0
    assert FeatureSpread.of(features[:5], "e") is None
    assert FeatureSpread.of(np.zeros((100, 5000)), "e") is None


def test_answers_that_are_nearly_all_the_same_make_few_parts() -> None:
    found = Reference.of_answers([], np.array([1.0] * 95 + [0.5] * 5), None).numbers
    assert sum(found.counts) == 100
    assert len(found.counts) <= 3


@pytest.mark.parametrize(
    "record",
    [
        {"bounds": [1.0, 1.0], "counts": [1, 1, 1]},
        {"bounds": [1.0], "counts": [1]},
        {"bounds": [float("nan")], "counts": [1, 1]},
        {"bounds": [1.0], "counts": [1, -1]},
    ],
)
def test_a_reference_that_nobody_measured_is_refused(record) -> None:
    with pytest.raises(OptionError):
        Reference.parse({"measured_on": "held-out rows", "numbers": record})
