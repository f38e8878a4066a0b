"""A fitted model learns labels from a table, from bare examples, or by a name; what came of it is counted and said."""

from __future__ import annotations

import numpy as np
import pytest

from nshot import api
from nshot.core import DataError, OptionError, OutputError, UnsupportedError


def rows(**middles: float) -> list[dict[str, object]]:
    draws = np.random.default_rng(0)
    return [
        {"x": float(x), "y": float(y), "side": side}
        for side, middle in middles.items()
        for x, y in draws.normal((middle, -middle), 0.1, (10, 2))
    ]


WANTED = {"label": "side", "columns": "x,y"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("models")
    for method in ("prototypes", "nearest_neighbours", "linear_probe"):
        api.fit(rows(left=-2.0, right=2.0), method=method, out=found / method, **WANTED)
    return found


@pytest.mark.parametrize("method", ["prototypes", "nearest_neighbours"])
def test_a_table_teaches_new_labels_and_more_of_known_ones(folder, tmp_path, method):
    given = rows(middle=0.2, far=9.0, right=2.1)
    found = api.grow(folder / method, given, out=tmp_path / "grown")
    loaded = api.load(tmp_path / "grown")
    assert loaded.task.labels == ("far", "left", "middle", "right")
    assert loaded.predict(given) == [row["side"] for row in given]
    assert found.record["asked"] == {"examples": 30, "right": 30, "learnt_from": True}
    assert found.record["known"] == {"examples": 10, "right_before": 10, "right_after": 10}
    assert [(each["label"], each["is_new"], each["n_examples"]) for each in found.record["added"]] == [
        ("far", True, 10),
        ("middle", True, 10),
        ("right", False, 10),
    ]
    assert (loaded.about.model_n_labels, loaded.about.score) == (50, None)
    said = " ".join(found.record["found"])
    assert "new: 'far', 'middle'; it knows more of 'right'" in said
    assert "It has learnt from them" in said
    assert f"nshot evaluate {tmp_path / 'grown'}" in said


def test_a_score_on_what_it_grew_from_is_marked_as_worth_nothing(folder, tmp_path):
    given = rows(middle=0.2, right=2.1)
    found = api.grow(folder / "prototypes", given)
    marked = [
        api.evaluate(found.model, data).record["models"][0]["trained_on"]
        for data in (given, rows(left=-2.2, right=2.3))
    ]
    assert marked == [True, False]


def test_growing_in_python_leaves_the_first_model_alone(folder):
    model = api.load(folder / "prototypes")
    grown = model.grow("middle", examples=[{"x": 0.1, "y": 0.1}]).grow("far", examples=[{"x": 9, "y": -9}])
    assert grown.predict([{"x": 0, "y": 0}, {"x": 8, "y": -9}]) == ["middle", "far"]
    assert (model.task.labels, model.about.grown) == (("left", "right"), ())
    assert {growth.grown_from for growth in grown.about.grown} == {
        model.grow("a", examples=rows(a=1.0)).about.grown[0].grown_from
    }


def test_examples_without_a_column_of_labels_get_the_one_that_is_named(folder, tmp_path):
    file = tmp_path / "new.csv"
    file.write_text("x,y\n0.1,0\n0,0.1\n", encoding="utf-8")
    found = api.grow(folder / "prototypes", file, new_label="middle")
    assert found.model.predict([{"x": 0, "y": 0}]) == ["middle"]
    assert api.grow(folder / "prototypes", [{"x": 0.1, "y": 0.0}], new_label="middle").record["asked"]["right"] == 1


def test_a_model_may_grow_in_its_own_place(folder, tmp_path):
    api.load(folder / "prototypes").save(tmp_path / "model")
    for label, middle in (("a", 4.0), ("b", 6.0)):
        api.grow(tmp_path / "model", rows(**{label: middle}), out=tmp_path / "model")
    assert api.load(tmp_path / "model").task.labels == ("a", "b", "left", "right")
    assert len(api.load(tmp_path / "model").about.grown) == 2


@pytest.mark.parametrize(
    ("data", "options", "kind", "words"),
    [
        (None, {}, OptionError, "Nothing was given"),
        (None, {"description": "x"}, OptionError, "--new-label NAME"),
        (None, {"new_label": "a"}, DataError, "at least one example"),
        ([], {"new_label": "a"}, DataError, "at least one example"),
        (rows(a=1.0), {"new_label": "a", "label": "side"}, OptionError, "Leave one out"),
        (rows(a=1.0), {"new_label": ""}, DataError, "A label is empty"),
        (rows(a=1.0), {"new_label": "a", "description": "x"}, OptionError, "reads no description"),
        (rows(a=1.0), {"label": "z"}, DataError, "'z' is missing"),
        ([{"x": 1.0, "y": 2.0, "side": None}], {}, DataError, "empty label"),
        ([{"x": 1.0, "side": "a"}], {}, DataError, "'y'"),
        ([{"x": 1.0, "y": 1.0, "side": "a" * 300}], {}, DataError, "300 letters"),
        ("nowhere.csv", {}, DataError, "There is no file"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_written(folder, tmp_path, data, options, kind, words):
    with pytest.raises(kind, match=words):
        api.grow(folder / "prototypes", data, out=tmp_path / "grown", **options)
    assert not (tmp_path / "grown").exists()


def test_a_model_that_has_to_be_fitted_again_says_so_before_the_data_is_read(folder):
    with pytest.raises(UnsupportedError, match="nshot fit DATA --method linear_probe"):
        api.grow(folder / "linear_probe", "nowhere.csv")
    numbers = api.fit(rows(left=-2.0), label="x", columns="y", task="regress", method="nearest_neighbours")
    assert numbers.takes_in == "training again"
    with pytest.raises(UnsupportedError, match="fitted to regress, not to answer labels"):
        numbers.grow("a", examples=[{"y": 1.0}])


def test_a_folder_of_somebody_else_is_not_replaced(folder, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("x", encoding="utf-8")
    with pytest.raises(OutputError, match="thesis"):
        api.grow(folder / "prototypes", rows(a=1.0), out=tmp_path / "out")
