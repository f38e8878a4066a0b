"""Cells with several labels: how they are told apart, and what is said of it."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from nshot.core import DataError, OptionError, TaskKind
from nshot.data.options import ReadOptions
from nshot.data.reading import read

CELLS = ["delay", "delay;refund", "refund;damage", "damage", "", "delay;damage", "refund"]
SENTENCE = "the parcel number {} did not come as I had hoped it would"


def table(folder: Path, cells: list[str], name: str = "a.csv") -> Path:
    path = folder / name
    rows = {"text": [SENTENCE.format(i) for i in range(len(cells))], "tags": cells}
    pd.DataFrame(rows).to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


@pytest.mark.parametrize("separator", ["|", ";", ",", "\n", "\t"])
def test_what_stands_between_labels_is_recognised_and_said(tmp_path, separator):
    source = read(table(tmp_path, [cell.replace(";", separator) for cell in CELLS]))
    assert source.task.kind is TaskKind.TAG
    assert source.task.labels == ("damage", "delay", "refund")
    assert list(source.dataset.labelled_targets())[1:3] == [("delay", "refund"), ("damage", "refund")]
    assert source.separator == separator
    assert "separated by" in source.recognised
    assert "--task classify" in source.recognised


def test_parts_that_do_not_come_back_in_other_cells_are_no_labels(tmp_path):
    source = read(table(tmp_path, ["Health, Beauty", "Toys, Games", "Home, Garden"] * 5))
    assert source.task.kind is TaskKind.CLASSIFY
    assert source.task.labels == ("Health, Beauty", "Home, Garden", "Toys, Games")


def test_numbers_with_commas_are_no_labels(tmp_path):
    source = read(table(tmp_path, ["1,5", "2,5", "1,2", "5,1", "2,1"] * 3), ReadOptions(label="tags"))
    assert source.task.kind is not TaskKind.TAG


def test_a_person_can_say_that_a_cell_is_one_label(tmp_path):
    source = read(table(tmp_path, CELLS), ReadOptions(task="classify"))
    assert "delay;refund" in source.task.labels


def test_lists_come_from_jsonl_parquet_and_csv(tmp_path):
    lists = [[part for part in cell.split(";") if part] for cell in CELLS]
    texts = [SENTENCE.format(i) for i in range(len(CELLS))]
    frame = pd.DataFrame({"text": texts, "tags": lists})
    frame.to_csv(tmp_path / "a.csv", index=False)  # as Python writes lists
    frame.to_parquet(tmp_path / "a.parquet")
    lines = [json.dumps({"text": text, "tags": tags}) for text, tags in zip(texts, lists, strict=True)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    read_as = {suffix: read(tmp_path / f"a.{suffix}") for suffix in ("csv", "parquet", "jsonl")}
    for source in read_as.values():
        assert source.task.kind is TaskKind.TAG
        assert list(source.dataset.labelled_targets()) == [tuple(sorted(labels)) for labels in lists]
        assert "in lists" in source.recognised


def test_order_repeats_and_spaces_in_a_cell_do_not_matter(tmp_path):
    source = read(table(tmp_path, ["b; a", "a;b;a", " a ;", "B;a", "B"]), ReadOptions(task="tag"))
    assert list(source.dataset.labelled_targets()) == [("a", "b"), ("a", "b"), ("a",), ("B", "a"), ("B",)]


def test_an_empty_cell_says_that_none_applies_unless_a_person_says_otherwise(tmp_path):
    path = table(tmp_path, CELLS)
    source = read(path)
    assert (len(source.dataset), source.dataset.labelled_targets()[4]) == (7, ())
    assert "1 row to which none applies" in source.recognised
    assert "--empty unlabelled" in source.recognised
    source = read(path, ReadOptions(empty="unlabelled"))
    assert (len(source.dataset), list(source.unlabelled_positions)) == (6, [4])


def test_beside_empty_lists_an_empty_cell_is_not_labelled(tmp_path):
    path = table(tmp_path, ['["a", "b"]', "[]", "", '["a"]', '["b"]'])
    source = read(path)
    assert list(source.dataset.labelled_targets()) == [("a", "b"), (), ("a",), ("b",)]
    assert list(source.unlabelled_positions) == [2]
    assert read(path, ReadOptions(empty="none")).dataset.labelled_targets()[2] == ()


def test_columns_of_0_and_1_are_a_label_each_and_no_part_of_the_text(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(
        "text,late,torn\nwhere is it,1,0\nit is broken,0,1\nthank you,0,0\nnobody looked,,\nboth of it,1,1\n"
    )
    source = read(path, ReadOptions(label="late,torn"))
    assert source.task.kind is TaskKind.TAG
    assert list(source.dataset.labelled_targets()) == [("late",), ("torn",), (), ("late", "torn")]
    assert list(source.unlabelled_positions) == [3]
    assert source.text_columns == ("text",)
    path.write_text("text,late,torn\nwhere is it,1,0\nit is broken,2,1\n")
    with pytest.raises(DataError, match="'2' in column 'late'"):
        read(path, ReadOptions(label="late,torn"))


def test_a_test_is_split_as_its_training_data_and_may_not_have_other_labels(tmp_path):
    train = read(table(tmp_path, CELLS))
    test = read(table(tmp_path, ["delay", "refund;delay"], "test.csv"), like=train)
    assert list(test.dataset.labelled_targets()) == [("delay",), ("delay", "refund")]
    with pytest.raises(DataError, match="'fraud'"):
        read(table(tmp_path, ["delay", "refund;fraud"], "test.csv"), like=train)


def test_a_separator_is_said_where_it_is_unusual(tmp_path):
    source = read(table(tmp_path, ["a / b", "b / c", "c"]), ReadOptions(separator="/"))
    assert source.task.labels == ("a", "b", "c")
    with pytest.raises(OptionError, match="--task tag"):
        read(table(tmp_path, CELLS), ReadOptions(separator=";", task="classify"))


def test_clauses_of_contracts_are_tagged_with_their_kinds(shared_data):
    source = read(shared_data / "text/unfair_tos/sentences.csv", ReadOptions(task="tag", group="contract"))
    assert source.task.labels == ("a", "ch", "cr", "j", "law", "ltd", "pinc", "ter", "use")
    assert sum(len(labels) > 0 for labels in source.dataset.labelled_targets()) == 1_374
    assert source.separator == " "


def test_genres_of_films_are_several_labels(shared_data):
    source = read(
        shared_data / "recommendation/movielens_small/movies.csv", ReadOptions(text=("title",), label="genres")
    )
    assert source.task.kind is TaskKind.TAG
    assert len(source.task.labels) == 20
