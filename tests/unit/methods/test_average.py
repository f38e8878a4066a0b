import pytest

from nshot.core import DataError, Dataset, Task, TaskKind
from unit.methods.features import fit

TASK = Task(TaskKind.REGRESS, metric="mae")
SKEWED = [1.0, 2.0, 3.0, 4.0, 90.0]


@pytest.mark.parametrize(("metric", "expected"), [("mae", 3.0), ("rmse", 20.0), ("r2", 20.0)])
def test_the_metric_decides_between_mean_and_median(metric, expected):
    predictor = fit("average", TASK, Dataset(["x"] * 5, targets=SKEWED), None, metric=metric)
    assert predictor.predict(["a", "b"]).values.tolist() == [expected] * 2


def test_one_target_is_answered_as_it_is():
    assert fit("average", TASK, Dataset(["x"], targets=[7.0]), None, metric="r2").predict(["a"]).values.tolist() == [
        7.0
    ]


def test_a_target_that_is_no_number_is_refused():
    with pytest.raises(DataError, match="finite number"):
        fit("average", TASK, Dataset(["x"], targets=[float("nan")]), None)
