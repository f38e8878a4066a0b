"""Cells that a spreadsheet would calculate are text in csv, and come back as they were."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nshot.data.formulas import as_meant, as_text, as_they_were

STARTS = "=+-@\t\r\n＝＋－＠"


@pytest.mark.parametrize("cell", ["=1+1", "@SUM(A1)", "+cmd", "-2+3", "\t=1", "＝1+1", "'=1+1", "-", "=", "+49 30 123"])
def test_a_formula_becomes_text(cell):
    assert as_text(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["", "plain", "-1.5", "+3", "-1,234.50", "-.5e-3", "-12%", "'quoted'", "a=b", " =1"])
def test_other_cells_and_numbers_stay(cell):
    assert as_text(cell) == cell


@settings(deadline=None)
@given(st.text(alphabet=st.one_of(st.sampled_from(f"{STARTS}'1.a"), st.characters(exclude_categories=["Cs"]))))
def test_every_cell_comes_back(cell):
    written = as_text(cell)
    assert written[:1] not in set(STARTS) or written == cell
    if written != cell or not cell.startswith("'"):
        assert as_meant(written) == cell
        assert as_they_were(pa.array([written, "'", None])).to_pylist() == [cell, "'", None]
