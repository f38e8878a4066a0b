import numpy as np
import pytest

from nshot import metrics
from nshot.core import Prediction, Span, Task, TaskKind
from nshot.data import conll

TASK = Task(TaskKind.EXTRACT, ("A", "B"), metric="entity_f1")
TRUE = [(Span(0, 4, "A"), Span(5, 9, "B")), (), (Span(0, 3, "A"),)]
GIVEN = [(Span(0, 4, "A"), Span(5, 8, "B")), (Span(1, 2, "A"),), ()]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("entity_precision", 1 / 3),
        ("entity_recall", 1 / 3),
        ("entity_f1", 1 / 3),
        ("macro_entity_f1", (2 / 4 + 0) / 2),
        ("entity_overlap_f1", 2 / 3),
    ],
)
def test_counts_are_summed_before_they_are_divided(name: str, expected: float) -> None:
    assert metrics.get(name).score(TRUE, Prediction(spans=GIVEN), TASK) == pytest.approx(expected)


@pytest.mark.parametrize("name", metrics.names(TaskKind.EXTRACT))
def test_the_truth_scores_one_nothing_scores_zero_and_where_nothing_is_wanted_there_is_no_score(name: str) -> None:
    metric = metrics.get(name)
    assert metric.score(TRUE, Prediction(spans=TRUE), TASK) == 1.0
    assert metric.score(TRUE, Prediction(spans=[()] * 3), TASK) == 0.0
    assert np.isnan(metric.score([(), ()], Prediction(spans=[(), ()]), TASK))


def test_labels_that_neither_occur_nor_are_answered_do_not_count_in_the_macro_average() -> None:
    found = metrics.get("macro_entity_f1").score([(Span(0, 1, "A"),)], Prediction(spans=[(Span(0, 1, "A"),)]), TASK)
    assert found == 1.0


def test_scores_are_those_of_seqeval() -> None:
    """Expected: f1_score, precision_score and recall_score of seqeval 1.2.2 in its default mode on these tags."""
    true = [["B-A", "I-A", "O", "B-B"], ["I-A", "I-A", "B-A", "O"], ["O", "B-B", "I-A", "I-A"]]
    given = [["B-A", "I-A", "O", "B-A"], ["I-A", "O", "B-A", "O"], ["O", "B-B", "I-B", "I-A"]]
    words = ["x"] * 4
    targets = [tuple(conll.marked(words, tags)) for tags in true]
    prediction = Prediction(spans=[tuple(conll.marked(words, tags)) for tags in given])
    found = [
        metrics.get(name).score(targets, prediction, TASK)
        for name in ("entity_f1", "entity_precision", "entity_recall", "macro_entity_f1")
    ]
    assert found == pytest.approx([0.333333333, 0.333333333, 0.333333333, 0.222222222])
