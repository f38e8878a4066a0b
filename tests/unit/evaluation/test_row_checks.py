"""Each check of tables, images and numbers fires on data made for it, and is silent on clean data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from nshot.core import Check, Severity
from nshot.data.options import ReadOptions
from nshot.data.reading import read
from nshot.evaluation.checks import AuditReport, audit


def rows(n: int = 300, seed: int = 0, **columns: Any) -> list[dict[str, Any]]:
    random = np.random.default_rng(seed)
    every: dict[str, Any] = {
        "age": lambda i: round(float(random.normal(40, 10)), 3),
        "income": lambda i: round(float(random.lognormal(10, 0.3)), 2),
        "town": lambda i: str(random.choice(["Bonn", "Ulm", "Kiel", "Jena"])),
        **columns,
    }
    return [{name: made(i) for name, made in every.items()} for i in range(n)]


def report(data: Any, test: Any = None, **options: Any) -> AuditReport:
    own = ReadOptions.parse({"task": "cluster", **options})
    train = read(data, own)
    return audit(train, read(test, own, like=train) if test is not None else None)


def finding(code: str, found: AuditReport) -> Check | None:
    return next((check for check in found.checks if check.code == code), None)


def fired(code: str, found: AuditReport) -> Check:
    check = finding(code, found)
    assert check is not None, f"{code} did not fire; these did: {[each.code for each in found.checks]}"
    return check


def values(seed: int = 5) -> Any:
    random = np.random.default_rng(seed)
    return lambda i: round(float(random.normal()), 3)


@pytest.mark.parametrize(
    ("label", "options"),
    [
        ({}, {"task": "cluster"}),
        ({"price": values()}, {"task": "regress"}),
        ({"label": lambda i: ["good", "bad", "ugly"][i * 7 % 11 % 3]}, {"task": "classify"}),
        ({"label": lambda i: i % 12 == 0}, {"task": "detect"}),
    ],
)
def test_clean_tables_and_their_halves_give_no_finding(label, options):
    label = label or {"label": lambda i: "ab"[i % 2]}
    assert report(rows(**label), rows(200, seed=1, **label), **options).checks == ()


def test_columns_that_were_left_out_are_listed_with_the_reason():
    found = fired("N120", report(rows(id=lambda i: i, kind=lambda i: "person")))
    assert found.severity is Severity.NOTE
    assert "'id' numbers the rows: 0 to 299; 'kind' has the same value in all rows: person" in found.explanation
    assert set(found.details["columns"]) == {"id", "kind"}


def test_cells_that_count_as_missing_are_told():
    found = fired("N121", report(rows(height=lambda i: "tall" if i < 5 else i * 0.7 if i > 6 else float("inf"))))
    assert (
        "'height': 2 numbers are infinite and count as missing, 5 cells (1.7 %) unlike the others" in found.explanation
    )
    assert "'tall'" in found.explanation
    assert found.severity is Severity.ISSUE
    few = fired("N121", report(rows(price=lambda i: "?!" if i == 9 else i * 0.7), task="regress"))
    assert few.rows == (9,)
    assert few.severity is Severity.NOTE


@pytest.mark.parametrize(
    ("columns", "options", "said"),
    [
        (
            {"price": lambda i: i * 0.5, "tax": lambda i: i * 0.1 + 3},
            {"task": "regress"},
            "'tax' alone orders the rows",
        ),
        ({"price": lambda i: i % 5 * 1.5, "band": lambda i: "abcde"[i % 5]}, {"task": "regress"}, "explains 100.0%"),
        (
            {"label": lambda i: "yn"[i > 90], "day": lambda i: i * 1.5},
            {"task": "classify"},
            "'day' alone tells the label",
        ),
        (
            {"label": lambda i: "yn"[i % 2], "paid": lambda i: f"{'yes' if i % 2 else 'not'} {i % 6}"},
            {"task": "classify"},
            "'paid' alone tells the label in 100%",
        ),
    ],
)
def test_a_column_that_gives_the_answer_away_is_an_issue(columns, options, said):
    found = fired("N122", report(rows(**columns), **options))
    assert found.severity is Severity.ISSUE
    assert said in found.explanation


def test_a_test_of_other_rows_is_told_with_the_columns_that_moved():
    random = np.random.default_rng(3)
    moved = rows(seed=4, age=lambda i: round(float(random.normal(60, 10)), 3), town=lambda i: ["Rome", "Ulm"][i % 2])
    found = fired("N123", report(rows(), moved))
    assert found.severity is Severity.ISSUE
    assert set(found.details["columns"]) == {"age", "town"}
    assert found.details["auroc_interval"][0] > 0.8
    assert "50.0% in categories that are new" in found.explanation


def test_a_later_test_and_missing_cells_are_told():
    train = rows(day=lambda i: f"2024-01-{i % 28 + 1:02d}", fax=lambda i: i % 7)
    test = rows(seed=6, day=lambda i: f"2024-02-{i % 28 + 1:02d}", fax=lambda i: None if i % 2 else i % 7)
    found = fired("N123", report(train, test))
    assert "100% of the test is after the last training row, 2024-01-28" in found.explanation
    assert "'fax' is missing in 0% of the training and 50% of the test" in found.explanation


def test_new_kinds_of_anomalies_in_the_test_are_told():
    train, test = (
        rows(seed=seed, label=lambda i, bad=bad: bad if i % 12 == 0 else "normal") for seed, bad in ((0, "a"), (1, "b"))
    )
    found = fired("N123", report(train, test, task="detect", normal="normal"))
    assert found.details["new_labels"] == {"b": 25}


def test_intrusions_of_another_time_are_told(shared_data):
    folder = shared_data / "tabular/nsl_kdd"
    options = {"task": "detect", "label": "column_42", "normal": "normal"}
    found = report(folder / "KDDTrain+_20Percent.txt", folder / "KDDTest+.txt", **options)
    shift = fired("N123", found)
    assert shift.severity is Severity.ISSUE
    assert sum(shift.details["new_labels"].values()) == 3752
    assert 0.75 < shift.details["auroc"] < 0.9
    assert len(found.leaked) == fired("N103", found).count or len(found.leaked) > 0


def test_images_that_cannot_be_read_are_told(tmp_path):
    for i in range(6):
        (tmp_path / "ab"[i % 2]).mkdir(exist_ok=True)
        Image.fromarray(np.full((4, 4), i, np.uint8)).save(tmp_path / "ab"[i % 2] / f"{i}.png")
    (tmp_path / "a" / "broken.jpg").write_bytes(b"nothing")
    found = fired("N124", report(tmp_path, task="classify"))
    assert "a/broken.jpg" in found.explanation


def test_a_few_values_that_decide_the_score_are_told():
    found = fired("N125", report(rows(price=lambda i: 90_000 if i == 17 else i % 50 + 0.5), task="regress"))
    assert found.rows == (17,)
    assert "--metric mae" in found.advice


@pytest.mark.parametrize(
    ("label", "severity", "said"),
    [
        ({}, Severity.NOTE, "No row"),
        ({"label": lambda i: "normal"}, Severity.ISSUE, "None of the 300"),
        ({"label": lambda i: int(i % 60 == 0)}, Severity.ISSUE, "5 anomalies of 300"),
        ({"label": lambda i: int(i % 3 == 0)}, Severity.NOTE, "33 % of the labelled rows"),
    ],
)
def test_how_many_anomalies_are_labelled_is_told(label, severity, said):
    found = fired("N126", report(rows(**label), task="detect"))
    assert found.severity is severity
    assert said in found.explanation


def test_equal_rows_stay_together_and_those_of_the_test_are_told():
    data = rows(60, label=lambda i: "ab"[i % 2])
    test = [*rows(60, seed=2, label=lambda i: "ab"[i % 2]), dict(data[7])]
    found = report([*data, dict(data[3])], test, task="classify")
    assert found.groups[60] == found.groups[3]
    assert len(set(found.groups.tolist())) == 60
    assert fired("N102", found).rows == (60,)
    leak = fired("N103", found)
    assert (leak.title, leak.rows) == ("Test rows stand in the training data", (7,))
    assert found.leaked.tolist() == [7]


def test_a_row_with_two_labels_is_shown():
    data = rows(60, label=lambda i: "ab"[i % 2])
    found = fired("N104", report([*data, {**data[4], "label": "b"}], task="classify"))
    assert found.title == "The same row with two labels"
    assert "town = " in found.explanation or "age = " in found.explanation


def test_rows_of_few_different_values_are_no_copies_of_each_other():
    data = [{"sex": "mf"[i % 2], "size": "sml"[i % 3], "label": "ab"[i % 5 == 0]} for i in range(120)]
    found = report(data, data[:30], task="classify", columns="sex,size")
    assert len(set(found.groups.tolist())) == 120
    assert len(found.leaked) == 0
    assert finding("N103", found) is None
    assert "taken for different things" in fired("N102", found).advice


def test_a_million_equal_looking_numbers_are_told_apart():
    import pyarrow as pa

    numbers = np.arange(200_000) * 1e-9
    found = report(pa.table({"a": numbers, "b": np.round(numbers, 5), "label": ["x", "y"] * 100_000}), task="classify")
    assert len(np.unique(found.groups)) == 200_000
