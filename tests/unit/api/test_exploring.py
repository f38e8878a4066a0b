from __future__ import annotations

import csv
import json
import re

import numpy as np
import pytest

import nshot
from nshot.core import DataError, OptionError, OutputError
from nshot.data.options import ReadOptions
from nshot.data.reading import read


@pytest.fixture(scope="module")
def customers(tmp_path_factory):
    """Three kinds of customers, two equal rows, and one that is far out."""
    rng = np.random.default_rng(0)
    kind = np.repeat([0, 1, 2], [120, 90, 60])
    income = (20_000 + 30_000 * kind + rng.normal(0, 2_000, 270)).round()
    visits = (30 - 12 * kind + rng.normal(0, 1, 270)).round(2)
    spent = (rng.normal(0, 1, 270) + 8 * (kind == 1)).round(3)
    income[7] = 9_000_000
    place = ["=1+1" if i == 3 else "town" for i in range(270)]
    rows = [f"{a:.0f},{b},{c},{d}" for a, b, c, d in zip(income, visits, spent, place, strict=True)]
    rows[11] = rows[10]
    path = tmp_path_factory.mktemp("data") / "customers.csv"
    path.write_text("income,visits,spent,place\n" + "\n".join(rows) + "\n")
    return path, kind


@pytest.fixture(scope="module")
def explored(customers, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "found"
    return nshot.explore_data(customers[0], out=folder, label_next=12, threads=1), folder


def _rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_groups_are_found_named_and_written(explored, customers):
    found, folder = explored
    assert len(found.groups) == 3
    assert any(words.startswith("income ") for words in found.groups[2]["words"])
    rows = _rows(folder / "rows.csv")
    assert len(rows) == 270
    # The row that is far out may be in no group.
    right = [row["group"] == str(kind + 1) for row, kind in zip(rows, customers[1], strict=True)]
    assert sum(right) >= 265
    assert [group["size"] for group in found.groups] == [sum(row["group"] == name for row in rows) for name in "123"]
    assert {"income", "group", "outlier_score", "label_next"} <= set(rows[0])


def test_the_row_that_is_far_out_is_the_strangest_and_the_reason_is_named(explored):
    found, folder = explored
    assert found.outliers[0]["row"] == 7
    assert "income 9,000,000" in found.outliers[0]["why"][0]
    assert float(_rows(folder / "rows.csv")[7]["outlier_score"]) > 0.99


def test_equal_rows_are_near_duplicates(explored):
    found, _ = explored
    assert [10, 11] in [copies["rows"] for copies in found.duplicates]


def test_the_file_to_label_has_the_chosen_rows_first_and_the_rest_as_a_pool(explored, tmp_path):
    found, folder = explored
    rows, all_rows = _rows(folder / "to_label.csv"), _rows(folder / "rows.csv")
    assert len(rows) == 270
    assert [row["income"] for row in rows[:12]] == [all_rows[i]["income"] for i in found.label_next]
    assert [all_rows[i]["label_next"] for i in found.label_next] == [str(i) for i in range(1, 13)]
    filled = tmp_path / "filled.csv"
    for place, row in enumerate(rows):
        row["label"] = ("a", "b")[place % 2] if place < 12 else ""
    with filled.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    source = read(filled, ReadOptions(label="label"))
    assert (len(source.dataset), len(source.unlabelled)) == (12, 258)


def test_the_saved_model_puts_the_rows_into_the_same_groups(explored, customers):
    found, folder = explored
    model = found.load()
    assert model.task.kind == "cluster"
    examples = read(customers[0], ReadOptions(task="cluster")).unlabelled.examples
    assert model.predict(examples) == [row["group"] for row in _rows(folder / "rows.csv")]


def test_the_report_loads_nothing_and_quotes_no_row_where_none_may_be_shown(customers, tmp_path, explored):
    page = explored[0].report.read_text()
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page)
    assert "income = 9000000" in page
    hidden = nshot.explore_data(customers[0], out=tmp_path / "hidden", texts=False, threads=1).report.read_text()
    assert "income = " not in hidden
    assert "Group 1" in hidden


def test_the_same_seed_gives_the_same_record(customers, explored, tmp_path):
    again = nshot.explore_data(customers[0], out=tmp_path / "again", label_next=12, threads=1)

    def without_places(record):
        return {name: value for name, value in record.items() if name not in {"files", "seconds"}}

    assert without_places(again.record) == without_places(explored[0].record)


def test_noise_has_no_groups_and_no_model(tmp_path):
    noise = np.random.default_rng(0).normal(size=(300, 4)).round(3)
    rows = [dict(zip("abcd", map(float, row), strict=True)) for row in noise]
    found = nshot.explore_data(rows, out=tmp_path / "noise", threads=1)
    assert found.record["n_groups"] == 0
    assert found.groups == []
    assert "no groups" in found.record["reason"]
    assert "No groups here" in found.report.read_text()
    assert {row["group"] for row in _rows(tmp_path / "noise" / "rows.csv")} == {""}
    with pytest.raises(OptionError, match="no model of groups"):
        found.load()


def test_rows_that_a_person_labelled_are_not_to_be_labelled_again(customers, tmp_path):
    rows = _rows(customers[0])
    for i, row in enumerate(rows):
        row["done"] = "yes" if i < 200 else ""
    found = nshot.explore_data(rows, out=tmp_path / "out", label="done", label_next=10, threads=1)
    assert len(found.label_next) == 10
    assert min(found.label_next) >= 200
    assert found.record["files"]["to_label"]["column"] == "done"


def test_only_some_rows_are_looked_at_where_that_is_asked_for(customers, tmp_path):
    found = nshot.explore_data(customers[0], out=tmp_path / "out", rows=100, threads=1)
    assert (found.record["looked_at"], found.record["rows"]) == (100, 270)
    assert "100 of 270 rows were looked at" in found.record["notes"][0]
    assert sum(row["outlier_score"] != "" for row in _rows(tmp_path / "out" / "rows.csv")) == 100


def test_a_file_that_was_filled_in_is_not_replaced(customers, tmp_path):
    out = tmp_path / "out"
    nshot.explore_data(customers[0], out=out, rows=60, label_next=5, threads=1)
    nshot.explore_data(customers[0], out=out, rows=60, label_next=5, threads=1)  # untouched: may be replaced
    with (out / "to_label.csv").open("a") as file:
        file.write("1,2,3,town,mine\n")
    with pytest.raises(OptionError, match="was filled in or changed"):
        nshot.explore_data(customers[0], out=out, rows=60, threads=1)


def test_a_folder_of_somebody_else_is_refused(customers, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OptionError, match="holds no exploration"):
        nshot.explore_data(customers[0], out=tmp_path)
    with pytest.raises(OptionError, match="is a file"):
        nshot.explore_data(customers[0], out=tmp_path / "mine.txt")
    with pytest.raises(OutputError, match="Cannot write"):
        nshot.explore_data(customers[0], out="/proc/nothing/here")


@pytest.mark.parametrize("content", ["a,b\n3,4\n", "a,b\n3,4\n3,4\n", "a,b\n" + "3,4\n" * 50, "a,b\n" + ",\n" * 50])
def test_rows_that_do_not_differ_are_said_to_say_nothing_and_leave_nothing_behind(content, tmp_path):
    path = tmp_path / "same.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=r"differ|tells one row from another"):
        nshot.explore_data(path, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_two_different_rows_are_too_few_for_groups(tmp_path):
    path = tmp_path / "two.csv"
    path.write_text("a,b\n1,2\n3,5\n")
    found = nshot.explore_data(path, out=tmp_path / "out", threads=1)
    assert "too few" in found.record["reason"]


def test_the_record_is_what_the_folder_holds(explored):
    found, folder = explored
    written = json.loads((folder / "explore.json").read_text())
    written.pop("to_label_sha256")
    assert written == json.loads(json.dumps(found.record))


def test_real_customers_fall_into_groups_that_differ_in_what_they_earn(shared_data, tmp_path):
    data = shared_data / "tabular" / "customers" / "marketing_campaign.csv"
    found = nshot.explore_data(data, out=tmp_path / "out", rows=1_000, threads=1)
    assert found.record["n_groups"] >= 2
    assert any("Income" in words for group in found.groups for words in group["words"])


def test_the_command_that_comes_next_compares_by_the_columns_that_were_named(customers, tmp_path):
    found = nshot.explore_data(customers[0], out=tmp_path / "out", columns=("income", "visits"), threads=1)
    assert "--columns income,visits --label label" in found.record["files"]["to_label"]["then"]
