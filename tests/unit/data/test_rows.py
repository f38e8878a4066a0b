"""Rows of a table: which columns form them, what these hold, and how they are reached."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from nshot.core import ColumnKind, DataError, Dataset, OptionError, Tabular, TaskKind
from nshot.data.columns import RowColumn
from nshot.data.equal import equal_rows
from nshot.data.options import ReadOptions
from nshot.data.reading import Source, Trained, read, stream_inputs
from nshot.data.rows import ArrowRows, gathered, joined
from nshot.data.written import Written

NUMBER, CATEGORY, DATE, TEXT = ColumnKind


def table(n: int = 40, **columns: Any) -> dict[str, list[Any]]:
    """Return columns of a table with two plain ones and these, functions of the row or lists."""
    every = {"size": lambda i: i * 1.5 + i % 3, "colour": lambda i: ["red", "blue", "green"][i % 3], **columns}
    return {name: [made(i) for i in range(n)] if callable(made) else list(made) for name, made in every.items()}


def source(columns: dict[str, list[Any]], /, **options: Any) -> Source:
    rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    return read(rows, ReadOptions.parse({"task": "cluster", **options}))


def kinds(**columns: Any) -> dict[str, ColumnKind]:
    read_rows = source(table(**columns)).unlabelled.examples
    assert isinstance(read_rows, Tabular)
    return dict(read_rows.kinds)


def refusal(columns: Any, /, **options: Any) -> str:
    with pytest.raises((DataError, OptionError)) as caught:
        source(columns, **options) if isinstance(columns, dict) else read(columns, ReadOptions.parse(options))
    return str(caught.value)


# --- what columns hold ------------------------------------------------------------------------------------------------


def test_columns_are_numbers_categories_dates_and_texts():
    found = kinds(day=lambda i: f"2024-03-{i % 28 + 1:02d}", said=lambda i: f"customer {i} was not amused")
    assert found == {"size": NUMBER, "colour": CATEGORY, "day": DATE, "said": TEXT}


@pytest.mark.parametrize(
    ("written", "values"),
    [
        (lambda i: f"{i},5", [0.5, 1.5]),
        (lambda i: f"1.{i:03d},7", [1000.7, 1001.7]),
        (lambda i: f"{i + 1},{i:03d}", [1000.0, 2001.0]),
        (lambda i: f"+{i}e1", [0.0, 10.0]),
        (lambda i: f" {i}.25 ", [0.25, 1.25]),
    ],
)
def test_numbers_are_read_however_they_are_written_throughout(written, values):
    rows = source(table(amount=written)).unlabelled.examples
    assert rows.kinds["amount"] is NUMBER
    assert rows.column("amount").to_pylist()[:2] == values


def test_signs_of_missing_numbers_are_missing_and_words_among_numbers_are_told():
    found = source(table(a=lambda i: ["NA", "?", ""][i % 3] if i < 6 else i, b=lambda i: "broken" if i == 7 else i * i))
    rows = found.unlabelled.examples
    assert rows.kinds["a"] is NUMBER
    assert rows.column("a").null_count == 6
    assert "a" not in found.odd_cells
    assert rows.column("b")[7].as_py() is None
    assert found.odd_cells["b"].unreadable == 1
    assert found.odd_cells["b"].examples == ("broken",)


def test_a_column_of_numbers_and_words_is_a_category_and_told():
    found = source(table(mixed=lambda i: i % 5 if i % 2 else "none of these"))
    assert found.unlabelled.examples.kinds["mixed"] is CATEGORY
    assert found.odd_cells["mixed"].share_of_numbers == 0.5


def test_an_infinite_number_is_missing_whatever_the_format():
    values = [float("inf"), *map(float, range(2, 41))]
    frame = pd.DataFrame(table(a=values))
    for held in (table(a=values), None):
        found = source(held) if held else read(frame, ReadOptions(task="cluster"))
        assert found.unlabelled.examples.column("a")[0].as_py() is None
        assert found.odd_cells["a"].infinite == 1


@pytest.mark.parametrize(
    ("written", "first", "style"),
    [
        (lambda i: f"{i % 28 + 1}/{i % 12 + 1}/2024", "2024-01-01", Written.DAY_FIRST),
        (lambda i: f"{i % 12 + 1}-{i % 28 + 1}-2024", "2024-01-01", Written.MONTH_FIRST),
        (lambda i: f"{i % 28 + 1:02d}.{i % 3 + 1:02d}.2024 08:30", "2024-01-01T08:30:00", Written.DAY_FIRST),
        (lambda i: f"2024-02-{i % 28 + 1:02d}T10:00:00+02:00", "2024-02-01T08:00:00", Written.PLAIN),
    ],
)
def test_dates_become_iso_and_say_how_they_were_written(written, first, style):
    found = source(table(day=written))
    assert found.unlabelled.examples.column("day")[0].as_py() == first
    assert RowColumn("day", DATE, style) in found.row_columns


def test_dates_whose_day_and_month_cannot_be_told_apart_are_no_dates():
    assert kinds(day=lambda i: f"{i % 12 + 1}/{i % 11 + 1}/2024").get("day") is not DATE


def test_codes_with_leading_zeros_are_no_numbers():
    assert kinds(code=lambda i: f"0{i % 4}17")["code"] is CATEGORY


# --- what is left out -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (lambda i: 3, "the same value"),
        (lambda i: "x", "the same value"),
        (lambda i: None, "empty in all rows"),
        (lambda i: "", "empty in all rows"),
        (lambda i: i + 7, "numbers the rows: 7 to 46"),
        (lambda i: f"a{i * 7919}", "identifier: 40 different values"),
        (lambda i: [i], "lists or objects"),
    ],
)
def test_a_column_that_says_nothing_of_a_row_is_left_out_with_its_reason(made, reason):
    found = source(table(other=made))
    assert reason in found.columns_left_out["other"]
    assert list(found.unlabelled.examples.kinds) == ["size", "colour"]
    assert "1 more left out (other)" in found.recognised


def test_a_number_called_an_id_is_left_out_unless_it_is_named():
    held = table(CustomerID=lambda i: i * i + 5)
    assert "identifier" in source(held).columns_left_out["CustomerID"]
    assert list(source(held, columns="CustomerID,size").unlabelled.examples.kinds) == ["CustomerID", "size"]


def test_a_copy_of_the_label_is_left_out():
    found = source(table(label=lambda i: i % 2, copy=lambda i: i % 2), task="classify")
    assert found.columns_left_out == {"copy": "is a copy of the label"}


def test_a_value_that_differs_in_one_row_of_many_is_kept():
    held = pa.table({"rare": [0.0] * 150_000 + [1.0], "size": np.arange(150_001) * 0.5})
    assert "rare" in read(held, ReadOptions(task="cluster")).unlabelled.examples.kinds


# --- tasks and labels -------------------------------------------------------------------------------------------------


def test_many_numbers_as_labels_of_rows_are_to_be_predicted_and_few_are_classes():
    many, few = table(target=lambda i: i * 0.37), table(label=lambda i: i % 3)
    found = source(many, task=None)
    assert found.task.kind is TaskKind.REGRESS
    assert found.dataset.targets[1] == 0.37
    assert "--task classify" in found.recognised
    assert source(few, task=None).task.labels == ("0", "1", "2")
    assert source(many, task="classify").task.kind is TaskKind.CLASSIFY


def test_a_value_that_cannot_be_read_makes_its_row_unlabelled():
    found = source(table(target=lambda i: "n.b." if i == 3 else "" if i == 4 else i * 0.5), task="regress")
    assert found.unreadable_targets == (3,)
    assert list(found.unlabelled_positions) == [3, 4]
    assert "1 cell without a number" in found.recognised


def test_texts_can_have_numbers_as_labels():
    rows = [{"text": f"review number {i} of a good film", "stars": i * 0.5} for i in range(30)]
    found = read(rows, ReadOptions(task="regress", label="stars"))
    assert found.dataset.modality == "text"
    assert found.dataset.targets[3] == 1.5


def test_anomalies_are_known_by_usual_words_by_name_or_by_what_is_normal():
    held = table(label=lambda i: ["normal", "smurf", "neptune"][i % 3])
    assert "Found 3 labels" in refusal(held, task="detect")
    by_normal = source(held, task="detect", normal="normal")
    by_name = source(held, task="detect", anomalies="smurf,neptune")
    assert by_normal.dataset.targets[:3] == by_name.dataset.targets[:3] == [False, True, True]
    assert by_normal.task.unit == "labelled anomalies"
    two = table(label=lambda i: ["normal", "smurf"][i % 2])
    assert source(two, task="detect").dataset.targets[:2] == [False, True]
    assert source(table(label=lambda i: i % 2), task="detect").dataset.targets[:2] == [False, True]


def test_a_test_may_have_anomalies_of_kinds_that_the_training_has_not():
    train = source(table(label=lambda i: ["normal", "smurf"][i % 2]), task="detect", normal="normal")
    rows = [{"size": i, "colour": "red", "label": "mscan" if i % 4 else "normal"} for i in range(8)]
    test = read(rows, ReadOptions(task="detect", normal=("normal",)), like=train)
    assert test.dataset.targets == [False, True, True, True] * 2


@pytest.mark.parametrize("task", ["detect", "cluster", "compress"])
def test_without_a_label_all_rows_are_unlabelled(task):
    found = source(table(), task=task)
    assert (len(found.dataset), len(found.unlabelled), found.label_column) == (0, 40, None)
    assert found.dataset.modality == found.unlabelled.modality == "row"


def test_to_cluster_no_column_is_taken_for_labels_unless_it_is_called_so():
    held = table(status=lambda i: ["a", "b"][i % 2])
    assert source(held, task="cluster").label_column is None
    assert source(held, task="cluster", label="status").dataset.targets[:2] == ["a", "b"]


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"columns": "size,weight"}, "Column 'weight' is missing"),
        ({"columns": "size", "text": "colour"}, "--text and --columns were both given"),
        ({"task": "detect", "label": "colour", "anomalies": "red", "normal": "blue"}, "both given"),
        ({"task": "detect", "label": "colour", "anomalies": "violet"}, "Its labels: blue, green, red"),
        ({"task": "classify", "label": "colour", "normal": "red"}, "--task detect"),
        ({"task": "regress", "label": "colour"}, "must hold numbers"),
        ({"task": "regress"}, "--label size"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_helps(options, part):
    assert part in refusal(table(), **options)


def test_one_row_is_read_and_equal_rows_are_refused_with_the_reason():
    assert source({"a": [1], "b": ["x"]}).unlabelled.examples[0] == {"a": 1.0, "b": "x"}
    message = refusal({"a": [1, 1], "b": ["x", "x"]})
    assert "No column of the list tells one row from another: 'a' has the same value in all rows: 1" in message


def test_ten_thousand_columns_are_read(tmp_path):
    names = [f"gene_{i}_with_a_long_name" for i in range(10_000)]
    random = np.random.default_rng(0)
    lines = [",".join(names), *(",".join(map(str, row)) for row in random.integers(0, 99, (6, 10_000)))]
    path = tmp_path / "wide.csv"
    path.write_text("\n".join(lines))
    assert len(read(path, ReadOptions(task="cluster")).row_columns) == 10_000


@pytest.mark.parametrize(
    ("lines", "columns"),
    [
        (["5.1,3.5,setosa", "4.9,3.0,setosa", "6.1,2.0,virginica"], ("column_1", "column_2", "column_3")),
        (["0,tcp,0,normal", "0,udp,3,normal", "2,tcp,0,attack"], ("column_1", "column_2", "column_3", "column_4")),
        (["country,2019,2020", "fr,1.5,2", "de,3,4"], ("country", "2019", "2020")),
        ([",0,1,2", "0,1.5,2,3", "1,3,4,5"], ("column_1", "0", "1", "2")),
    ],
)
def test_a_first_line_of_numbers_is_a_row_and_years_and_counts_are_names(tmp_path, lines, columns):
    path = tmp_path / "table.csv"
    path.write_text("\n".join(lines))
    found = read(path, ReadOptions(task="cluster"))
    assert found.columns == columns
    assert found.rows == len(lines) - (not columns[0].startswith("column") or columns[1] == "0")


# --- rows as a sequence -----------------------------------------------------------------------------------------------


def test_rows_behave_like_a_list_of_mappings_and_can_be_sent_to_another_process():
    rows = source(table()).unlabelled.examples
    plain = list(rows)
    assert rows[3] == plain[3] == {"size": 4.5, "colour": "red"}
    assert rows[-1] == plain[-1]
    assert list(rows[5:9]) == plain[5:9]
    assert list(rows[::7]) == plain[::7]
    assert list(rows.take([4, 2])) == [plain[4], plain[2]]
    assert list(pickle.loads(pickle.dumps(rows[5:9]))) == plain[5:9]
    with pytest.raises(IndexError):
        rows[40]


def test_a_part_of_the_rows_has_its_columns_whole():
    found = source(table(label=lambda i: i % 2), task="classify")
    part = found.dataset.take([7, 3])
    assert isinstance(gathered(part.examples), ArrowRows)
    assert gathered(part.examples).column("size").to_pylist() == [found.dataset.examples[i]["size"] for i in (7, 3)]


def test_equal_rows_have_one_id_and_missing_cells_are_equal():
    held = {"a": [1.0, 1.0, None, None, -0.0, 0.0], "b": ["x", "x", "y", "y", None, None], "c": [1, 2, 3, 3, 4, 4]}
    rows = source(held).unlabelled.examples
    assert equal_rows([rows]).tolist() == [0, 1, 2, 2, 3, 3]
    assert equal_rows([rows[:2], rows[1:]]).tolist() == [0, 1, 1, 2, 2, 3, 3]


def test_a_group_column_is_no_part_of_the_rows():
    found = source(table(person=lambda i: f"p{i % 4}", label=lambda i: i % 2), task="classify", group="person")
    assert list(found.dataset.examples.kinds) == ["size", "colour"]
    assert found.dataset.groups[:2] == ["p0", "p1"]


# --- a model's columns ------------------------------------------------------------------------------------------------


def test_another_file_is_read_as_the_one_that_a_model_was_fitted_on(tmp_path):
    fitted = source(table(day=lambda i: f"{i % 28 + 1}/{i % 12 + 1}/2024", amount=lambda i: f"{i},5"))
    kept = [RowColumn.from_json(column.as_json()) for column in fitted.row_columns]
    assert tuple(kept) == fitted.row_columns
    path = tmp_path / "new.csv"
    path.write_text("day;note;amount;colour;size\n3/4/2024;hello;7,25;violet;?\n3/4/2024;hello;2.5;;1\n")
    stream = stream_inputs(path, row_columns=kept)
    rows = next(stream.batches).examples
    assert rows[0] == {"size": None, "colour": "violet", "day": "2024-04-03", "amount": 7.25}
    assert rows[1]["amount"] == 2.5
    again = read(path, ReadOptions(task="cluster"), trained=Trained(columns=tuple(kept)))
    assert list(again.unlabelled.examples) == list(rows)


def test_a_file_without_a_column_of_the_model_is_refused_with_its_name(tmp_path):
    fitted = source(table())
    path = tmp_path / "new.csv"
    path.write_text("colour,sise\nred,1\n")
    with pytest.raises(DataError, match=r"Column 'size' is missing from new.csv.*Did you mean 'sise'"):
        stream_inputs(path, row_columns=fitted.row_columns)


# --- real tables ------------------------------------------------------------------------------------------------------


def test_customers(shared_data):
    found = read(shared_data / "tabular/customers/marketing_campaign.csv", ReadOptions(task="cluster"))
    assert len(found.unlabelled) == 2240
    assert set(found.columns_left_out) == {"ID", "Z_CostContact", "Z_Revenue"}
    rows = found.unlabelled.examples
    assert rows.kinds["Dt_Customer"] is DATE
    assert rows[0]["Dt_Customer"] == "2012-09-04"
    assert rows.column("Income").null_count == 24
    mall = read(shared_data / "tabular/customers/Mall_Customers.csv", ReadOptions(task="cluster"))
    assert set(mall.columns_left_out) == {"CustomerID"}


def test_an_archive_of_arrays_is_a_table_with_its_labels(shared_data):
    cardio = read(shared_data / "tabular/adbench/6_cardio.npz", ReadOptions(task="detect"))
    assert (len(cardio.dataset), sum(cardio.dataset.targets), len(cardio.row_columns)) == (1831, 176, 21)
    golub = read(shared_data / "tabular/gene_expression/golub.npz")
    assert golub.task.labels == ("ALL", "AML")
    assert (len(golub.dataset), len(golub.row_columns)) == (72, 7129)


def test_intrusions_without_a_header(shared_data):
    folder = shared_data / "tabular/nsl_kdd"
    options = ReadOptions(task="detect", label="column_42", normal=("normal",))
    train = read(folder / "KDDTrain+_20Percent.txt", options)
    test = read(folder / "KDDTest+.txt", options, like=train)
    assert (len(train.dataset), sum(train.dataset.targets)) == (25_192, 11_743)
    assert (len(test.dataset), sum(test.dataset.targets)) == (22_544, 12_833)
    assert set(train.columns_left_out) == {"column_20", "column_21"}
    assert train.dataset.examples.kinds["column_2"] is CATEGORY


def test_archives_that_hold_something_else_are_refused(tmp_path):
    for name, arrays, part in (
        ("names", {"a": np.zeros(3), "b": np.zeros(2)}, "X with a row per example"),
        ("deep", {"X": np.zeros((3, 2, 2, 2, 2))}, "shape (3, 2, 2, 2, 2)"),
        ("labels", {"X": np.zeros((3, 2)), "y": np.zeros(2)}, "one label for each of the 3 examples"),
        ("objects", {"X": np.array([{}, {}], object)}, "Python objects"),
    ):
        path: Path = tmp_path / f"{name}.npz"
        np.savez(path, **arrays)
        assert part in refusal(path)
    broken = tmp_path / "broken.npz"
    broken.write_bytes(b"PK\x03\x04 and no more")
    assert "damaged" in refusal(broken)


def test_rows_for_a_model_without_a_label_column_are_refused_with_the_flag(tmp_path):
    fitted = source(table(label=lambda i: i % 2), task="classify")
    path = tmp_path / "new.csv"
    path.write_text("colour,size\nred,1\nblue,2\n")
    with pytest.raises(DataError, match="--label"):
        read(path, ReadOptions(task="classify"), trained=Trained(label="label", columns=fitted.row_columns))


def test_labelled_and_unlabelled_rows_are_joined_as_columns():
    whole = source(table(label=lambda i: i % 2)).dataset.examples
    both = joined(Dataset(whole, "row").take([3, 1]).examples, whole[:2])
    assert isinstance(both, ArrowRows)
    assert list(both) == [whole[3], whole[1], whole[0], whole[1]]
    assert joined([], whole) is whole
    assert joined(["a"], ["b"]) == ["a", "b"]


def test_a_measurement_of_which_two_values_occur_is_not_taken_for_labels():
    columns = table(sex=lambda i: [0.0507, -0.0446][i % 2], outcome_after=lambda i: 100 + i * 3)
    del columns["colour"]
    with pytest.raises(DataError, match="--label outcome_after"):
        source(columns, task=None)


def test_words_that_repeat_are_a_category_of_rows_even_where_the_column_is_called_like_texts():
    remarks = ["needs some renovation", "bright flat near the park", "quiet street, with lift"]
    columns = table(90, description=lambda i: remarks[i % 3], year=lambda i: 1900 + i % 50, label=lambda i: "xy"[i % 2])
    found = source(columns, task=None)
    assert found.dataset.modality == "row"
    assert {column.name: column.kind for column in found.row_columns}["description"] is CATEGORY


def test_the_only_row_is_told_of_as_one():
    with pytest.raises(DataError, match=r"The only labelled row of .* has the label 'x'"):
        source({"a": [1], "b": [2], "label": ["x"]}, label="label", columns=("a", "b"), task="classify")


def test_a_column_that_takes_quotes_on_a_command_line_is_shown_with_them():
    with pytest.raises(DataError, match=r"--columns 'length \(cm\)'"):
        source({"length (cm)": [1.0, 2.0], "label": ["x", "y"]}, columns=("nope",))
