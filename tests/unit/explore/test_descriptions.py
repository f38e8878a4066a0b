from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from nshot.core import ColumnKind, Selection
from nshot.data.rows import ArrowRows
from nshot.explore.cells import Numbers, cells_of
from nshot.explore.contrasts import contrasts, extremes
from nshot.explore.duplicates import among_rows, among_texts
from nshot.explore.neighbours import nearest
from nshot.explore.terms import terms


def _table(**columns: list) -> ArrowRows:
    kinds = {
        name: ColumnKind.DATE
        if name.startswith("day")
        else ColumnKind.NUMBER
        if all(isinstance(cell, float | None) for cell in cells)
        else ColumnKind.CATEGORY
        for name, cells in columns.items()
    }
    types = {ColumnKind.NUMBER: pa.float64()}
    arrays = {name: pa.array(cells, types.get(kinds[name], pa.string())) for name, cells in columns.items()}
    return ArrowRows(pa.table(arrays), kinds)


def _cells(table: ArrowRows, rows: list[int] | None = None):
    return cells_of(table, np.arange(len(table)) if rows is None else np.array(rows))


def test_cells_of_a_selection_are_those_of_its_rows():
    table = _table(age=[1.0, None, 3.0], city=["Ulm", None, "Bonn"], day=["2024-01-02", "2024-01-03T10:00:00", None])
    cells = cells_of(Selection(table, [2, 1, 0]), np.array([0, 2]))
    ages, days = cells.numbers
    assert ages.values.tolist() == [3.0, 1.0]
    assert np.isnan(days.values[0])
    assert days.shown(days.values[1]) == "2024-01-02"
    assert [cells.categories[0].values[code] for code in cells.categories[0].codes] == ["Bonn", "Ulm"]


def test_texts_have_no_cells():
    assert cells_of(["a text"], np.array([0])) is None


@pytest.mark.parametrize(
    ("values", "value", "shown"),
    [
        ([1957.0, 1960.0], 1957.0, "1957"),
        ([51_382.0, 70_123.0], 51_382.0, "51,382"),
        ([0.123, 0.456], -4.8e-16, "0"),
        ([0.0012, 0.0043], 0.0012, "0.0012"),
        ([1e6, 2e6, 3.5e6], 1_234_567.0, "1,234,567"),
    ],
)
def test_a_number_has_the_digits_that_tell_its_column_apart(values, value, shown):
    assert Numbers("x", np.array(values)).shown(value) == shown


def test_rows_are_the_same_exactly_where_all_their_cells_are():
    table = _table(age=[1.0, 1.0, None, None, 0.0, -0.0], city=["a", "a", "a", "a", None, None])
    exact = _cells(table).exact_groups()
    assert exact[0] == exact[1]
    assert exact[2] == exact[3]
    assert exact[4] == exact[5]
    assert len(set(exact.tolist())) == 3


def test_a_row_that_is_all_but_the_same_is_a_near_duplicate():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(200, 6)).astype(np.float32)
    vectors[9] = vectors[100] + 0.001
    table = _table(**{f"x{i}": vectors[:, i].astype(float).tolist() for i in range(6)})
    found = among_rows(_cells(table), nearest(vectors, 3), 6)
    assert found.largest() == [[9, 100]]
    assert found.exact_copies() == 0


def test_texts_that_differ_in_case_are_the_same():
    found = among_texts(["Where is my parcel?", "where is my parcel", "Something else altogether"])
    assert found.largest() == [[0, 1]]
    assert found.exact_copies() == 1


def _groups_in_one_column() -> tuple[ArrowRows, np.ndarray]:
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1], 200)
    income = 50_000 + 20_000 * labels + rng.normal(0, 5_000, 400)
    noise = rng.normal(size=400)
    shop = np.where(rng.random(400) < 0.2 + 0.6 * labels, "online", "in town")
    maybe = np.where(rng.random(400) < 0.5 * labels, None, 1.5 + rng.random(400))
    return (
        _table(income=income.tolist(), noise=noise.tolist(), shop=shop.tolist(), maybe=[*maybe.tolist()]),
        labels.astype(np.int64),
    )


def test_a_group_is_described_by_the_columns_that_really_differ():
    table, labels = _groups_in_one_column()
    small, large = contrasts(_cells(table), labels, 2)
    columns = [one.column for one in large]
    assert columns[0] == "income"
    assert "shop" in columns
    assert "noise" not in columns
    assert large[0].effect > 0.9
    assert large[0].interval[0] <= large[0].effect <= large[0].interval[1]
    assert small[0].effect == pytest.approx(-large[0].effect)
    assert any(one.words.startswith("shop = online in ") for one in large)
    assert any(one.words.startswith("maybe is missing in ") for one in large)


def test_noise_describes_no_group():
    rng = np.random.default_rng(2)
    table = _table(**{f"x{i}": rng.normal(size=300).tolist() for i in range(40)})
    found = contrasts(_cells(table), rng.integers(0, 3, 300), 3)
    assert found == [[], [], []]


def test_the_effect_of_a_number_is_cliffs_delta():
    table = _table(x=[float(value) for value in range(20)])
    labels = (np.arange(20) >= 8).astype(np.int64)
    # Every row of the one group has a larger value than every row of the other.
    assert contrasts(_cells(table), labels, 2)[1][0].effect == 1.0


def test_what_is_extreme_in_a_row_is_named():
    rng = np.random.default_rng(0)
    income = rng.normal(50_000, 9_000, 300)
    income[5] = 666_666
    city = ["Ulm"] * 299 + ["Atlantis"]
    found = extremes(_cells(_table(income=income.tolist(), city=city)), [5, 299, 0])
    assert found[0][0].startswith("income 666,666 (nine in ten: ")
    assert found[1] == ["city = Atlantis (1 of 300 rows)"]
    assert found[2] == []


def test_the_terms_of_a_group_are_its_own_words_as_they_are_written():
    texts = [f"The Federal Reserve raises rates again, number {i}" for i in range(30)]
    texts += [f"The striker scores a goal in the match, number {i}" for i in range(30)]
    money, sport = terms(texts, np.repeat([0, 1], 30), 2)
    assert "Federal Reserve" in [term.words for term in money]
    assert {"goal", "match"} & {word for term in sport for word in term.words.split()}
    assert all("the" not in term.words.lower().split() for term in (*money, *sport))
    assert money[0].share == 1.0
    assert money[0].elsewhere == 0.0


def test_texts_without_words_have_no_terms():
    assert terms(["!!!", "...", "12"] * 10, np.arange(30) % 2, 2) == [[], []]


def test_scripts_without_spaces_have_terms():
    texts = ["退款什么时候到账"] * 20 + ["密码忘记了怎么办"] * 20
    refund, _ = terms(texts, np.repeat([0, 1], 20), 2)
    assert any(term.words in "退款什么时候到账" for term in refund)
