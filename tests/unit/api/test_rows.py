"""Models on rows of a table, and of the kinds of answer that are no labels: fitted, used, saved and held to account."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, mean_absolute_error, r2_score

import nshot
from nshot import api
from nshot.bundle import BundleInfo
from nshot.core import DataError, NshotError, Prediction, State, Task, TaskKind, UnsupportedError


def flats(n: int = 240, seed: int = 0) -> list[dict[str, object]]:
    random = np.random.default_rng(seed)
    rows: list[dict[str, object]] = []
    for i in range(n):
        area, district = round(float(random.uniform(30, 140)), 1), str(random.choice(["North", "South", "Port"]))
        price = 2_000 * area + {"North": 0, "South": 40_000, "Port": 90_000}[district] + random.normal(0, 4_000)
        rows.append(
            {
                "id": f"F-{i}",
                "area": area if i % 9 else None,
                "district": district,
                "listed": f"2024-{1 + i % 12:02}-{1 + i % 27:02}",
                "price": round(price),
            }
        )
    return rows


@pytest.fixture(scope="module")
def prices() -> api.Model:
    return api.fit(flats(), task="regress", label="price", method="linear_probe")


def test_a_number_per_row_is_predicted_from_mappings_and_from_a_data_frame_alike(prices):
    new = flats(40, seed=1)
    found = prices.predict(new)
    assert all(isinstance(value, float) for value in found)
    assert r2_score([row["price"] for row in new], found) > 0.8
    assert prices.predict(pd.DataFrame(new)) == pytest.approx(found)


def test_columns_may_stand_in_any_order_beside_others(prices):
    new = flats(5, seed=2)
    turned = [{"colour": "red", **dict(reversed(row.items()))} for row in new]
    assert prices.predict(turned) == prices.predict(new)


def test_missing_columns_are_named_and_missing_cells_are_not_minded(prices):
    new = flats(5, seed=2)
    with pytest.raises(DataError, match=r"Columns 'area', 'listed' are missing .*Found: district, price"):
        prices.predict([{"district": row["district"], "price": row["price"]} for row in new])
    assert np.isfinite(prices.predict([{**row, "area": None, "district": ""} for row in new])).all()


def test_one_row_instead_of_a_list_is_refused_and_no_rows_get_no_answers(prices):
    with pytest.raises(DataError, match="Expected a list of rows, found one row"):
        prices.predict(flats(1)[0])
    assert prices.predict([]) == []


def test_a_saved_model_knows_its_columns(prices, tmp_path):
    prices.save(tmp_path / "model")
    again = api.load(tmp_path / "model")
    new = flats(20, seed=3)
    assert again.predict(new) == prices.predict(new)
    assert [column.name for column in again.row_columns] == ["area", "district", "listed"]
    card = (tmp_path / "model" / "README.md").read_text()
    assert "- Answers: a number (price)" in card
    assert "- Trained on: 240 examples with known values" in card
    assert "Reads the columns: area (number), district (category), listed (date)" in card
    assert "labels" not in card.partition("## Use")[0].replace("- Pre-trained model: none", "")


def test_an_evaluation_has_the_figures_of_scikit_learn_with_intervals(prices):
    new = flats(120, seed=4)
    found = nshot.evaluate(prices, new)
    truth, answers = [row["price"] for row in new], prices.predict(new)
    assert found.metrics["mae"]["score"] == pytest.approx(mean_absolute_error(truth, answers), rel=1e-5)
    assert found.metrics["r2"]["score"] == pytest.approx(r2_score(truth, answers), abs=1e-6)
    for one in found.metrics.values():
        assert one["interval"][0] < one["score"] < one["interval"][1]
    half = found.record["models"][0]["within"][0]
    assert half["share"] == 0.5
    assert half["interval"][0] < half["error"] < half["interval"][1]
    assert (found.record["task"], found.record["columns"]["row"]) == ("regress", ["area", "district", "listed"])
    assert not found.record["models"][0]["trained_on"]
    assert nshot.evaluate(prices, flats()).record["models"][0]["trained_on"]
    json.dumps(found.record, allow_nan=False)


def test_of_two_models_the_one_with_smaller_errors_is_better(prices):
    blind = api.fit(flats(), task="regress", label="price", method="linear_probe", columns="listed")
    found = nshot.evaluate(blind, flats(120, seed=4), prices, metric="mae")
    assert found.better == found.record["models"][1]["name"]
    assert found.difference["mae"]["interval"][1] < 0


def test_an_error_that_is_too_large_fails_a_gate(prices):
    found = nshot.evaluate(prices, flats(60, seed=4), fail_under={"mae": 1.0})
    assert found.failures[0].startswith("mean absolute error is ")


# --- anomalies --------------------------------------------------------------------------------------------------------


def machines(n: int = 200, broken: int = 12, seed: int = 0) -> list[dict[str, object]]:
    random = np.random.default_rng(seed)
    return [
        {
            "heat": float(random.normal(9 if i < broken else 0, 1)),
            "noise": float(random.normal(0, 1)),
            "state": "anomaly" if i < broken else "normal",
        }
        for i in range(n)
    ]


@pytest.fixture(scope="module")
def detector() -> api.Model:
    return api.fit(machines(), task="detect", label="state", method="nearest_distance")


def test_an_anomaly_gets_a_higher_score_and_an_evaluation_says_how_often(detector):
    new = machines(seed=1)
    scores = detector.predict(new)
    assert min(scores[:12]) > np.median(scores[12:])
    found = nshot.evaluate(detector, new)
    truth = [row["state"] == "anomaly" for row in new]
    assert found.metrics["average_precision"]["score"] == pytest.approx(average_precision_score(truth, scores))
    assert detector.about.model_n_labels == 0


def test_a_threshold_tells_anomalies_from_the_rest_and_none_is_made_up(detector, tmp_path):
    new = machines(seed=1)
    with pytest.raises(NshotError, match="no threshold that tells anomalies from the rest"):
        detector.is_anomaly(new)
    scores = detector.predict(new)
    told = api.Model(
        detector._method,
        detector.task,
        detector._predictor,
        detector.about.model_copy(update={"threshold": sorted(scores)[-5]}),
    )
    told.save(tmp_path / "model")
    again = api.load(tmp_path / "model")
    assert sum(again.is_anomaly(new)) == 4
    assert "anomalies are told from the rest at" in (tmp_path / "model" / "README.md").read_text()


def test_only_detectors_tell_anomalies(prices):
    with pytest.raises(UnsupportedError, match="linear_probe was not fitted to detect anomalies"):
        prices.is_anomaly(flats(3))


def test_labelled_anomalies_are_given_apart_from_the_pool():
    fitted = api.fit(machines(), task="detect", label="state", method="linear_probe")
    assert fitted.about.model_n_labels == 12
    found = nshot.evaluate(fitted, machines(seed=1))
    assert found.metrics["auroc"]["score"] > 0.9


def test_what_cannot_be_held_against_the_truth_says_so(detector):
    with pytest.raises(DataError, match=r"No column of .* says which rows are anomalies.*--label COLUMN"):
        nshot.evaluate(detector, [{"heat": row["heat"], "noise": row["noise"]} for row in machines()])


# --- groups -----------------------------------------------------------------------------------------------------------


class Halves:
    """Puts rows into two groups by the sign of their heat, and those near nothing into none."""

    def predict(self, examples):
        return Prediction(labels=["" if abs(row["heat"]) < 0.1 else "12"[row["heat"] > 5] for row in examples])

    def state(self):
        return State()


class Named:
    """A method's name; the rest of a method is not needed to answer."""

    def method_name(self) -> str:
        return "halves"


def test_groups_are_held_against_the_true_ones_and_all_rows_at_once(monkeypatch):
    monkeypatch.setattr("nshot.api.model._AT_ONCE", 7)
    rows = machines()
    columns = api.fit(rows, task="detect", label="state", method="nearest_distance").about.row_columns
    task = Task(TaskKind.CLUSTER, metric="nmi")
    model = api.Model(Named(), task, Halves(), BundleInfo(model_n_labels=0, modality="row", row_columns=columns))
    assert set(model.predict(rows)) == {"1", "2", ""}
    found = nshot.evaluate(model, rows, label="state")
    assert found.metrics["nmi"]["score"] > 0.5
    assert found.record["models"][0]["labels"] == []
