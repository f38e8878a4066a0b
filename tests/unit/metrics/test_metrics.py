from __future__ import annotations

import numpy as np
import pytest

from nshot import metrics
from nshot.core import DataError, OptionError, Prediction, Span, Task, TaskKind, UnsupportedError

CLASSIFY = Task(TaskKind.CLASSIFY, ("no", "yes"))
ROWS = 40


def sample(kind):
    """Return targets, a prediction and a task of one kind."""
    rng = np.random.default_rng(7)
    if kind == TaskKind.CLASSIFY:
        p = rng.random(ROWS)
        targets = [CLASSIFY.labels[int(v)] for v in rng.random(ROWS) < p]
        return targets, Prediction(probabilities=np.stack([1 - p, p], axis=1)), CLASSIFY
    if kind == TaskKind.REGRESS:
        y = rng.normal(size=ROWS)
        return list(y), Prediction(values=y + rng.normal(size=ROWS)), Task(kind)
    if kind == TaskKind.DETECT:
        y = rng.integers(0, 2, ROWS)
        return list(y), Prediction(scores=np.round(rng.normal(size=ROWS) + y, 1)), Task(kind)
    if kind == TaskKind.CLUSTER:
        true = rng.integers(0, 3, ROWS)
        found = np.where(rng.random(ROWS) < 0.7, true, rng.integers(0, 4, ROWS))
        names = ["1", "2", "3", ""]
        return [f"group {i}" for i in true], Prediction(labels=[names[i] for i in found]), Task(kind)
    if kind == TaskKind.COMPRESS:
        true = [row.reshape(5, 4).astype(np.uint8) for row in rng.integers(0, 200, (ROWS, 20))]
        back = [picture + rng.integers(0, 9, (5, 4), dtype=np.uint8) for picture in true]
        return true, Prediction(decoded=back, bits=rng.integers(8, 90, ROWS).astype(float)), Task(kind)
    if kind == TaskKind.TAG:
        task = Task(kind, ("x", "y", "z"))
        chances = rng.random((ROWS, 3))
        true = [tuple(np.array(task.labels)[row].tolist()) for row in rng.random((ROWS, 3)) < chances]
        given = [tuple(np.array(task.labels)[row].tolist()) for row in chances >= 0.5]
        return true, Prediction(labels=given, probabilities=chances.astype(np.float32)), task
    if kind == TaskKind.EXTRACT:
        true = [tuple(Span(int(s), int(s) + 2, "X") for s in rng.integers(0, 3, 2)) for _ in range(ROWS)]
        given = [tuple(Span(int(s), int(s) + 2, "X") for s in rng.integers(0, 3, 1)) for _ in range(ROWS)]
        return true, Prediction(spans=given), Task(kind, ("X",))
    words = ["red", "green", "blue"]
    true = [" ".join(rng.choice(words, 5)) for _ in range(ROWS)]
    given = [" ".join(rng.choice(words, rng.integers(3, 7))) for _ in range(ROWS)]
    likelihoods = np.stack([-20 * rng.random(ROWS), rng.integers(1, 9, ROWS)], axis=1)
    return true, Prediction(texts=given, stopped=list(rng.random(ROWS) < 0.7), likelihoods=likelihoods), Task(kind)


@pytest.fixture(params=metrics.names())
def metric(request):
    return metrics.get(request.param)


def statistics_of(metric):
    targets, prediction, task = sample(next(iter(metric.task_kinds)))
    return metric.statistics(targets, prediction, task)


def test_weight_two_equals_the_row_twice(metric):
    statistics = statistics_of(metric)
    weights = np.arange(ROWS) % 3
    assert metric.aggregate(statistics, weights) == pytest.approx(
        metric.aggregate(np.repeat(statistics, weights, axis=0)), abs=1e-12
    )


def test_many_aggregates_equal_one_by_one(metric):
    statistics = statistics_of(metric)
    weights = np.random.default_rng(1).integers(0, 3, (7, ROWS)).astype(float)
    many = metric.aggregate_many(statistics, weights)
    assert many == pytest.approx([metric.aggregate(statistics, w) for w in weights], abs=1e-12)


def test_order_of_rows_does_not_matter(metric):
    statistics = statistics_of(metric)
    assert metric.aggregate(statistics[::-1]) == pytest.approx(metric.aggregate(statistics), abs=1e-12)


def test_is_mean_says_the_truth(metric):
    statistics = statistics_of(metric)
    if metric.is_mean:
        assert statistics.shape == (ROWS, 1)
        assert metric.aggregate(statistics) == pytest.approx(statistics.mean())


def test_score_lies_in_its_range(metric):
    assert metric.lowest <= metric.aggregate(statistics_of(metric)) <= metric.highest


def test_no_rows_have_no_score(metric):
    statistics = statistics_of(metric)
    assert np.isnan(metric.aggregate(statistics, np.zeros(ROWS)))


def test_leave_one_out_formula_equals_leaving_one_out(metric):
    if metric.leave_one_out is None:
        pytest.skip("left out by weighting")
    statistics = statistics_of(metric)
    expected = metric.aggregate_many(statistics, 1.0 - np.eye(ROWS))
    assert metric.leave_one_out(statistics) == pytest.approx(expected, abs=1e-12)


def test_signatures_differ():
    signatures = {metrics.get(name).signature for name in metrics.names()}
    assert len(signatures) == len(metrics.names())


def test_a_label_nobody_mentions_does_not_count_in_macro_f1():
    task = Task(TaskKind.CLASSIFY, ("a", "b", "unused"))
    assert metrics.get("macro_f1").score(["a", "b"], Prediction(labels=["a", "b"]), task) == 1.0


def test_a_class_never_answered_costs_macro_f1_a_zero():
    got = metrics.get("macro_f1").score(["no"] * 81 + ["yes"] * 19, Prediction(labels=["no"] * 100), CLASSIFY)
    assert got == pytest.approx(0.5 * 2 * 81 / 181)


def test_labels_are_preferred_over_probabilities():
    prediction = Prediction(labels=["yes"], probabilities=np.array([[0.9, 0.1]]))
    assert metrics.get("accuracy").score(["yes"], prediction, CLASSIFY) == 1.0


def test_a_target_outside_the_task_is_refused_with_a_suggestion():
    with pytest.raises(DataError, match="Did you mean 'yes'"):
        metrics.get("accuracy").score(["yess"], Prediction(labels=["yes"]), CLASSIFY)


def test_missing_probabilities_are_said():
    with pytest.raises(UnsupportedError, match="log_loss needs probabilities"):
        metrics.get("log_loss").score(["yes"], Prediction(labels=["yes"]), CLASSIFY)


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(OptionError, match="Did you mean 'macro_f1'"):
        metrics.get("macrof1")


def test_names_by_kind_start_with_the_default():
    assert metrics.names("classify")[0] == "macro_f1"
    assert metrics.default_metric(Task(TaskKind.CLASSIFY, ("a", "b")), ["a", "b"]).name == "macro_f1"
    assert metrics.names(TaskKind.RECOMMEND) == ()
    with pytest.raises(OptionError, match="recommend"):
        metrics.default_metric(Task(TaskKind.RECOMMEND))


def test_words_for_anomalies_are_understood_and_others_refused():
    prediction = Prediction(scores=np.array([0.1, 0.9]))
    assert metrics.get("auroc").score(["normal", "Anomaly"], prediction, Task(TaskKind.DETECT)) == 1.0
    with pytest.raises(DataError, match="Rename the labels"):
        metrics.get("auroc").score(["fine", "odd"], prediction, Task(TaskKind.DETECT))


def test_spans_are_hits_only_with_bounds_and_label():
    true = [(Span(0, 4, "PER"), Span(5, 9, "LOC")), ()]
    given = [(Span(0, 4, "PER"), Span(5, 9, "ORG")), (Span(0, 2, "PER"),)]
    got = metrics.get("entity_f1").score(true, Prediction(spans=given), Task(TaskKind.EXTRACT, ("LOC", "ORG", "PER")))
    assert got == pytest.approx(2 * 1 / (3 + 2))


def test_texts_are_compared_as_in_squad():
    task = Task(TaskKind.GENERATE)
    prediction = Prediction(texts=["The Eiffel Tower!", "in Paris, France"])
    targets = [["eiffel tower", "tower"], "Paris"]
    assert metrics.get("exact_match").score(targets, prediction, task) == 0.5
    assert metrics.get("token_f1").score(targets, prediction, task) == pytest.approx((1 + 0.5) / 2)
