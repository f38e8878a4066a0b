"""What a person's file becomes, and what is said when it cannot become anything."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from nshot.core import DataError
from nshot.data.options import ReadOptions
from nshot.data.reading import Trained, read

TICKETS = "message,queue\nmy card is lost,card\nhow do i pay a bill,payment\nanother lost card,card\n"


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refusal(path: Path | str, options: ReadOptions | None = None) -> str:
    with pytest.raises(DataError) as caught:
        read(path, options)
    return str(caught.value)


def test_texts_labels_and_task_come_from_the_recognised_columns(tmp_path):
    source = read(write(tmp_path, "tickets.csv", TICKETS))
    assert list(source.dataset.examples) == ["my card is lost", "how do i pay a bill", "another lost card"]
    assert list(source.dataset.labelled_targets()) == ["card", "payment", "card"]
    assert source.task.labels == ("card", "payment")
    assert (source.text_columns, source.label_column, source.rows) == (("message",), "queue", 3)
    assert "message" in source.recognised
    assert "--text" in source.recognised


def test_words_that_other_programs_take_for_missing_stay_texts_and_labels(tmp_path):
    source = read(write(tmp_path, "a.csv", "text,label\nNA,NA\nnull,None\nnan,null\nN/A,NaN\n"))
    assert list(source.dataset.examples) == ["NA", "null", "nan", "N/A"]
    assert list(source.dataset.labelled_targets()) == ["NA", "None", "null", "NaN"]


def test_rows_with_an_empty_label_become_the_pool_and_positions_count_all_rows(tmp_path):
    source = read(write(tmp_path, "a.csv", 'text,label\na b,x\nc d,\ne f," "\ng h,y\n'))
    assert list(source.positions) == [0, 3]
    assert list(source.unlabelled_positions) == [1, 2]
    assert list(source.unlabelled.examples) == ["c d", "e f"]
    assert source.unlabelled.targets is None


@pytest.mark.parametrize(
    ("written", "labels"),
    [
        (["1.0", "0.0", "", "nan"], ["1", "0"]),
        (["True", "FALSE", "", "true"], ["true", "false", "true"]),
        (["01", "1", "", "2"], ["01", "1", "2"]),
        (["1.5", "2.0", "", "1.5"], ["1.5", "2.0", "1.5"]),
    ],
)
def test_numbers_and_truth_values_are_the_same_labels_however_a_program_wrote_them(tmp_path, written, labels):
    rows = "".join(f"some text {i},{label}\n" for i, label in enumerate(written))
    source = read(write(tmp_path, "a.csv", "text,label\n" + rows))
    assert list(source.dataset.labelled_targets()) == labels


def test_a_label_of_a_json_number_equals_the_label_of_a_csv_with_gaps(tmp_path):
    train = read(write(tmp_path, "a.csv", "text,label\na b,1.0\nc d,0.0\ne f,\n"))
    test = read(write(tmp_path, "b.jsonl", '{"text": "x y", "label": 1}\n{"text": "z", "label": 0.0}\n'), like=train)
    assert list(test.dataset.labelled_targets()) == ["1", "0"]


def test_missing_values_of_a_dataframe_are_pool_rows_and_its_strings_stay():
    frame = pd.DataFrame({"text": ["NA", "two", None], "label": [1.0, float("nan"), 0.0]})
    source = read(frame)
    assert list(source.dataset.examples) == ["NA", ""]
    assert list(source.dataset.labelled_targets()) == ["1", "0"]
    assert source.empty_texts == (2,)


@pytest.mark.parametrize(
    "label",
    [pd.Categorical(["u", "v", "u"]), ["u", "v", "u"], [True, False, True], [1, "u", 1]],
    ids=["categorical", "str", "bool", "mixed"],
)
def test_dataframe_columns_of_any_type_give_labels_as_strings(label):
    targets = list(read(pd.DataFrame({"text": ["a", "b", "c"], "label": label})).dataset.labelled_targets())
    assert all(isinstance(target, str) for target in targets)
    assert targets[0] == targets[2] != targets[1]


def test_several_text_columns_form_one_text(tmp_path):
    path = write(tmp_path, "a.csv", "title,body,label\nHi,there you,x\nHo,,y\n")
    assert list(read(path, ReadOptions(text=("title", "body"))).dataset.examples) == ["Hi\nthere you", "Ho"]


def test_groups_and_times_follow_their_rows_past_unlabelled_ones(tmp_path):
    content = "text,label,user,day\na a,x,u,2024-01-01\nb b,,v,2024-01-02\nc c,y,,2024-01-03\nd d,x,,2024-01-04\n"
    source = read(write(tmp_path, "a.csv", content), ReadOptions(group="user", time="day"))
    groups = list(source.dataset.groups or ())
    assert groups[0] == "u"
    assert len(set(groups)) == 3, "rows without a group are groups of their own"
    assert list(source.dataset.times or ()) == sorted(source.dataset.times or ())


def test_other_columns_can_be_looked_at(tmp_path):
    source = read(write(tmp_path, "a.csv", "id,text,label\n7,a b,x\n8,c d,y\n"))
    assert list(source.column("id")) == ["7", "8"]
    with pytest.raises(DataError, match="missing"):
        source.column("nothing")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_any_usual_encoding_and_delimiter_is_found(tmp_path, encoding, delimiter):
    rows = [("text", "label"), (f'"Grüße{delimiter} an ""alle"""', "straße"), ("naïve “x”\u20ac", "b"), ("plain", "b")]
    content = "\r\n".join(delimiter.join(row) for row in rows) + "\r\n"
    source = read(write(tmp_path, "a.csv", content.encode(encoding)))
    assert list(source.dataset.examples) == [f'Grüße{delimiter} an "alle"', "naïve “x”\u20ac", "plain"]
    assert list(source.dataset.labelled_targets()) == ["straße", "b", "b"]
    assert source.delimiter == delimiter


def test_a_character_beyond_the_first_megabytes_decides_the_encoding(tmp_path):
    content = b"text,label\n" + b"plain text here,a\n" * 150_000 + "café,b\n".encode("latin-1")
    assert read(write(tmp_path, "a.csv", content)).dataset.examples[-1] == "café"


def test_a_utf8_file_with_one_broken_byte_stays_utf8(tmp_path):
    content = "text,label\n" + "grüße aus köln,a\n" * 50
    source = read(write(tmp_path, "a.csv", content.encode() + b"broken \xff here,b\n"))
    assert source.dataset.examples[0] == "grüße aus köln"
    assert source.dataset.examples[-1] == "broken \ufffd here"


def test_an_encoding_that_cannot_be_found_out_is_named_by_a_flag(tmp_path):
    path = write(tmp_path, "a.csv", "text,label\nこんにちは世界,挨拶\nさようなら,別れ\n".encode("shift_jis"))
    assert read(path, ReadOptions(encoding="shift_jis")).dataset.examples[0] == "こんにちは世界"


def test_line_breaks_and_commas_in_quotes_stay_in_their_cell(tmp_path):
    source = read(write(tmp_path, "a.csv", 'text,label\n"one\ntwo, three",x\nfour,y\n'))
    assert list(source.dataset.examples) == ["one\ntwo, three", "four"]


def test_a_tsv_written_without_quoting_keeps_its_lone_quotes(tmp_path):
    source = read(write(tmp_path, "a.tsv", 'text\tlabel\n"hello\ta\nshe said "no"\tb\n" x\ta\n'))
    assert list(source.dataset.examples) == ['"hello', 'she said "no"', '" x']


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_cell_of_several_megabytes_simply_works(tmp_path, name):
    long = "x" * 5_000_000
    if name == "a.csv":
        content = f"text,label\nshort,a\n{long},b\n" + "more,a\n" * 10
    else:
        content = "".join(
            json.dumps({"text": text, "label": label}) + "\n" for text, label in [(long, "b"), ("s", "a")]
        )
    assert max(map(len, read(write(tmp_path, name, content)).dataset.examples)) == 5_000_000


def test_a_cell_beyond_the_reading_block_starts_over_without_doubling_rows(tmp_path, monkeypatch):
    from nshot.data import tables

    monkeypatch.setattr(tables, "_CSV_BLOCK", 4096)
    rows = "".join(f"text {i},a\n" for i in range(2000))
    source = read(write(tmp_path, "a.csv", f"text,label\n{rows}{'y' * 20_000},b\nlast,b\n"))
    assert source.rows == 2002
    assert [source.dataset.examples[i] for i in (0, 1999, 2001)] == ["text 0", "text 1999", "last"]


def test_keys_that_only_later_json_lines_have_are_columns_too(tmp_path):
    source = read(
        write(tmp_path, "a.jsonl", '{"text": "a b"}\n{"text": "c", "label": "x"}\n{"label": "y", "text": "d"}\n')
    )
    assert list(source.positions) == [1, 2]


def test_label_descriptions_give_numbers_a_meaning(tmp_path):
    path = write(tmp_path, "a.csv", "text,label\ngood film,1\nbad film,0\n")
    assert not read(path).task.names_say_something
    names = write(tmp_path, "labels.toml", '0 = "a bad review"\n1 = "a good review"\n')
    task = read(path, ReadOptions(labels=names)).task
    assert task.names_say_something
    assert task.readable("1") == "a good review"


def test_a_described_label_that_does_not_occur_is_refused_with_a_suggestion(tmp_path):
    names = write(tmp_path, "labels.toml", 'paymnt = "money"\n')
    message = refusal(write(tmp_path, "tickets.csv", TICKETS), ReadOptions(labels=names))
    assert "Did you mean 'payment'?" in message


def test_a_test_is_read_with_the_columns_of_the_training_file(tmp_path):
    train = read(
        write(tmp_path, "a.csv", "text,comment,label\na b c d,x,p\ne f g h,y,q\n"), ReadOptions(text=("comment",))
    )
    test = read(write(tmp_path, "b.csv", "label,text,comment\np,a b c d,zzz\n"), like=train)
    assert list(test.dataset.examples) == ["zzz"]
    assert test.task == train.task


def test_labels_unknown_to_the_training_file_are_all_named(tmp_path):
    train = read(write(tmp_path, "tickets.csv", TICKETS))
    path = write(tmp_path, "test.csv", "message,queue\na,card\nb,cards\nc,refund\nd,refund\n")
    with pytest.raises(DataError) as caught:
        read(path, like=train)
    assert "'cards' (1 rows)" not in str(caught.value)
    for part in ("test.csv", "tickets.csv", "'cards' (1 row)", "'refund' (2 rows)", "card, payment"):
        assert part in str(caught.value)


def test_a_test_without_the_training_column_says_which_is_missing(tmp_path):
    train = read(write(tmp_path, "tickets.csv", TICKETS))
    path = write(tmp_path, "reviews.csv", "text,stars\na,card\n")
    with pytest.raises(DataError, match=r"Column 'message' is missing from reviews.csv.*Found: text, stars"):
        read(path, like=train)


BAD_FILES = {
    "empty": ("a.csv", "", "is empty"),
    "blank": ("a.csv", "\n\n", "is empty"),
    "header only": ("a.csv", "text,label\n", "has no rows"),
    "one column": ("a.csv", "text\nhello\nyou\n", "has one column"),
    "labels all missing": ("a.csv", "text,label\nhello you,\nbye,\n", "have an empty label"),
    "texts all missing": ("a.csv", "text,label\n,a\n,b\n", "is empty in all 2 rows"),
    "one class": ("a.csv", "text,label\nhello you,a\nbye,a\n", "have the label 'a'"),
    "binary": ("a.csv", bytes(range(256)) * 20, "binary file"),
    "a picture": ("a.csv", b"\x89PNG\r\n\x1a\n" + bytes(100), "a picture"),
    "a workbook": ("a.csv", b"PK\x03\x04" + bytes(100), "Excel"),
    "broken json": ("a.jsonl", '{"text": "a b", "label": "x"}\n' * 6 + '{"text": "a\n', "Line 7"),
    "no object": ("a.jsonl", '{"text": "a b", "label": "x"}\n[1, 2]\n', "Line 2"),
    "broken json file": ("a.json", '[{"text": "a",\n"label": }]', "line 2, column 10"),
    "no table in json": ("a.json", "3", "not a table"),
    "too many cells": ("a.csv", "text,label\nhi,a\n\nho,b\nhi, there,c\n" + "q,r\n" * 9, "Line 5 of a.csv has 3 cells"),
    "too few cells": ("a.csv", "text,label\nhi,a\nho,b\nhi\n" + "q,r\n" * 9, "Line 4 of a.csv has 1 cell;"),
    "duplicate names": ("a.csv", "text,text,label\na,b,c\n", "several columns called 'text'"),
    "no text column": ("a.csv", "a,b\n1,2\n3,4\n5,6\n", "--label b"),
    "no label column": ("a.csv", "text,id\nhello you,1\nfoo bar,2\nbaz x,3\n", "--label id"),
    "no header": ("a.csv", "good movie,pos\nbad film,neg\nok then,pos\nno no,neg\nfine,pos\n", "header line"),
    "not parquet": ("a.parquet", "hello", "not a parquet file"),
    "cut parquet": ("a.parquet", b"PAR1" + bytes(50), "not a readable parquet file"),
    "cut gzip": ("a.csv.gz", gzip.compress(TICKETS.encode() * 100)[:80], "damaged gzip"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_file_gets_one_clear_message(tmp_path, case):
    name, content, part = BAD_FILES[case]
    message = refusal(write(tmp_path, name, content))
    assert part in message
    assert name in message
    assert "\n" not in message


def test_a_wrong_path_suggests_the_nearest_file(tmp_path):
    write(tmp_path, "tickets.csv", TICKETS)
    assert "Did you mean 'tickets.csv'?" in refusal(tmp_path / "tickts.csv")
    assert "does not exist either" in refusal(tmp_path / "nowhere" / "tickets.csv")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_says_so(tmp_path):
    path = write(tmp_path, "a.csv", TICKETS)
    path.chmod(0)
    assert "permission denied" in refusal(path)


def test_a_folder_without_classes_says_what_is_expected(tmp_path):
    assert "one folder per label" in refusal(tmp_path)
    (tmp_path / "train" / "pos").mkdir(parents=True)
    assert str(tmp_path / "train") in refusal(tmp_path)


@pytest.mark.parametrize(("flag", "value"), [("text", "txt"), ("label", "Queue"), ("group", "user"), ("time", "day")])
def test_a_named_column_that_is_missing_is_reported_with_what_was_found(tmp_path, flag, value):
    message = refusal(write(tmp_path, "tickets.csv", TICKETS), ReadOptions.parse({flag: value}))
    assert f"Column '{value}' is missing from tickets.csv. Found: message, queue." in message


@pytest.mark.parametrize("source", [[], 3, (["a", "b"], ["x"]), (["a"], "x"), ([], [])])
def test_something_that_is_no_table_is_refused(source):
    assert refusal(source).startswith("Expected")


def test_an_unknown_encoding_and_a_wrong_one_are_refused(tmp_path):
    path = write(tmp_path, "a.csv", "text,label\ncafé,b\nc,d\n".encode("latin-1"))
    assert "There is no encoding 'utf-77'" in refusal(path, ReadOptions(encoding="utf-77"))
    assert "is not utf-8" in refusal(path, ReadOptions(encoding="utf-8"))


def test_a_time_that_cannot_be_sorted_is_refused(tmp_path):
    path = write(tmp_path, "a.csv", "text,label,day\na b,x,2024-01-01\nc d,y,yesterday\n")
    assert "'yesterday' in row 2" in refusal(path, ReadOptions(time="day"))


def test_texts_stay_in_arrow_memory_until_asked_for(tmp_path):
    from nshot.data.texts import ArrowTexts

    texts = read(write(tmp_path, "a.csv", TICKETS)).dataset.examples
    assert isinstance(texts, ArrowTexts)
    assert texts[-1] == "another lost card"
    assert list(texts[1:]) == ["how do i pay a bill", "another lost card"]
    assert list(texts[::-1]) == list(texts)[::-1]
    with pytest.raises(IndexError):
        texts[3]


def test_options_take_names_as_people_type_them():
    assert ReadOptions.parse({"text": "title, body"}).text == ("title", "body")


def test_options_and_reading_are_imported_without_anything_heavy():
    modules = "nshot.data.options, nshot.data.reading, nshot.data.writing, nshot.evaluation.checks"
    code = f"import sys, {modules}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"pyarrow", "pandas", "numpy", "scipy", "sklearn", "torch"} & set(loaded)


# ------------------------------------------------------------------------------------------ as a model was trained

OF_A_MODEL = [
    "note,body,topic,queue",
    "first note of the day,how do i pay a bill,a,billing",
    "another note to read,my card is lost,b,cards",
    "one more note here,another lost card,b,cards",
]


def test_the_columns_of_a_models_training_are_used_where_the_file_has_them(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("\n".join(OF_A_MODEL))
    found = read(file, trained=Trained(("body",), "topic"))
    assert (found.text_columns, found.label_column) == (("body",), "topic")
    named = read(file, ReadOptions(text=("note",), label="queue"), trained=Trained(("body",), "topic"))
    assert (named.text_columns, named.label_column) == (("note",), "queue")


def test_columns_of_a_models_training_that_a_file_does_not_have_are_recognised(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("\n".join(row.split(",", 1)[1] for row in OF_A_MODEL))
    found = read(file, trained=Trained(("message",), "intent"))
    assert (found.text_columns, found.label_column) == (("body",), "queue")
    with pytest.raises(DataError, match=r"Column 'title' is missing from a\.csv; the model reads"):
        read(file, trained=Trained(("title", "body")))
