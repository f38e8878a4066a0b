import pytest

from nshot.core import DataError, Dataset, Task, TaskKind
from unit.methods.features import fit

TASK = Task(TaskKind.REGRESS, metric="mae")
SKEWED = [1.0, 2.0, 3.0, 4.0, 90.0]


def fitted(metric, targets):
    """Fit with an objective that is the metric with its sign turned where lower is better."""
    from nshot import methods, metrics
    from nshot.core import FitContext

    judged = metrics.get(metric)
    sign = 1 if judged.higher_is_better else -1
    train = Dataset(["x"] * len(targets), targets=targets)
    context = FitContext(lambda targets, answers: sign * judged.score(targets, answers, TASK))
    return methods.build("average").fit(TASK, train, train.without_targets(), None, context)


@pytest.mark.parametrize(("metric", "expected"), [("mae", 3.0), ("rmse", 20.0), ("r2", 20.0)])
def test_the_metric_decides_between_mean_and_median(metric, expected):
    assert fitted(metric, SKEWED).predict(["a", "b"]).values.tolist() == [expected] * 2


def test_one_target_is_answered_as_it_is():
    assert fitted("r2", [7.0]).predict(["a"]).values.tolist() == [7.0]


def test_a_target_that_is_no_number_is_refused():
    with pytest.raises(DataError, match="finite number"):
        fit("average", TASK, Dataset(["x"], targets=[float("nan")]), None)
