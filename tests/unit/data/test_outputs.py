from __future__ import annotations

import gzip
import json

import pytest

from nshot.core import DataError
from nshot.data.outputs import OutputOptions, read_outputs
from nshot.data.references import read_references

SENTENCES = [
    f"{subject} {verb} {thing} {when}."
    for subject in ("The cat", "A dog", "My neighbour", "The old teacher")
    for verb in ("sees", "paints", "buries")
    for thing in ("a boat", "the moon", "seven keys")
    for when in ("today", "at night")
]


def texts_of(source, **options):
    return list(read_outputs(source, OutputOptions(**options)).texts)


def targets_of(source, n, **options):
    outputs = read_outputs(["x"] * n, OutputOptions())
    return list(read_references(source, OutputOptions(**options), outputs).targets)


def written(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def records(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


CHAT = [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Hello"}]
SHAREGPT = [{"from": "human", "value": "Hi?"}, {"from": "gpt", "value": "Hello"}]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.txt", "one, two\n\ntext\n", ["one, two", "", "text"]),
        ("a.txt", "one\r\ntwo", ["one", "two"]),
        ("a.txt", '{"a": 1}\n{"a": 2}\n', ['{"a": 1}', '{"a": 2}']),
        ("a.out", "one\ntwo\n", ["one", "two"]),
        ("a.txt", "Café\nnaïve\n".encode("latin-1"), ["Café", "naïve"]),
        ("a.txt.gz", gzip.compress(b"one\ntwo\n", mtime=0), ["one", "two"]),
        ("a.csv", 'id,prediction\n1,"one, two"\n2,\n', ["one, two", ""]),
        ("a.csv", "output\none\ntwo\n", ["one", "two"]),
        ("a.jsonl", records({"text": "one", "score": 1}, {"text": None}), ["one", ""]),
        ("a.json", json.dumps([{"generated_text": "one"}, {"generated_text": "two"}]), ["one", "two"]),
        ("a.jsonl", records({"messages": CHAT}, {"messages": CHAT}), ["Hello", "Hello"]),
        ("a.jsonl", records({"conversations": SHAREGPT}), ["Hello"]),
        ("a.jsonl", records({"id": "x", "choices": [{"index": 0, "message": CHAT[1]}]}), ["Hello"]),
        ("a.jsonl", records({"custom_id": "x", "response": {"body": {"choices": [{"message": CHAT[1]}]}}}), ["Hello"]),
        ("a.jsonl", records({"prediction": 18}, {"prediction": ["one"]}), ["18", "one"]),
    ],
)
def test_outputs_are_read_from_what_systems_write(tmp_path, name, content, expected):
    assert texts_of(written(tmp_path, name, content)) == expected


def test_empty_lines_are_counted_and_said(tmp_path):
    outputs = read_outputs(written(tmp_path, "a.txt", "one\n\n \n"), OutputOptions())
    assert outputs.empty == 2
    assert "3 outputs (one per line), of which 2 are empty and count as such" in outputs.recognised


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.txt", "one\ntwo\n", [("one",), ("two",)]),
        ("a.jsonl", records({"references": ["one", "two"]}, {"references": []}), [("one", "two"), ("",)]),
        ("a.csv", "input,ref1,ref2\nq,one,two\nw,three,\n", [("one", "two"), ("three",)]),
        ("a.csv", 'references\n"[""one"", ""two""]"\n"[""three""]"\n', [("one", "two"), ("three",)]),
        ("a.csv", "mr,ref\nb,one\na,two\nb,three\n", [("one", "three"), ("two",)]),
        (
            "a.jsonl",
            records({"question": "?", "answer": "one"}, {"question": "?", "answer": "two"}),
            [("one",), ("two",)],
        ),
        ("a.jsonl", records({"messages": CHAT}, {"messages": CHAT}), [("Hello",), ("Hello",)]),
        ("a.csv", "messages,label\nx,one\ny,two\n", [("x",), ("y",)]),
        (
            "a.json",
            json.dumps([{"instruction": "a", "input": i, "output": "one"} for i in "bc"]),
            [("one",), ("one",)],
        ),
    ],
)
def test_references_are_read_with_all_that_a_row_has(tmp_path, name, content, expected):
    assert targets_of(written(tmp_path, name, content), 2) == expected


def test_lists_are_references_as_they_are():
    assert targets_of([["one", "two"], "three", ["one", "one"]], 3) == [("one", "two"), ("three",), ("one", "one")]


def test_rows_of_one_input_stay_apart_where_there_is_an_output_for_each(tmp_path):
    path = written(tmp_path, "a.csv", "mr,ref\nb,one\na,two\nb,three\n")
    assert targets_of(path, 3) == [("one",), ("two",), ("three",)]


def test_a_named_input_column_decides_what_is_one_input(tmp_path):
    path = written(tmp_path, "a.csv", "mr,key,ref\nb,1,one\na,1,two\nb,2,three\n")
    assert targets_of(path, 2, input="key") == [("one", "two"), ("three",)]
    references = read_references(path, OutputOptions(input="key"), read_outputs(["x"] * 2, OutputOptions()))
    assert list(references.inputs) == ["1", "2"]


def test_groups_follow_the_inputs(tmp_path):
    path = written(tmp_path, "a.csv", "mr,person,ref\nb,x,one\na,x,two\nb,x,three\nc,y,four\n")
    references = read_references(path, OutputOptions(group="person"), read_outputs(["x"] * 3, OutputOptions()))
    assert references.groups == [0, 0, 1]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.txt", "", r"a.txt is empty. Expected a text for each input."),
        ("a.csv", "", r"a.csv is empty. Expected a text for each input."),
        ("a.txt", "\n\n", "a.txt is empty"),
        ("a.csv", "a,b\n1,2\n", r"Which column of a.csv holds the outputs\? Found: a, b. Name it: --prediction b"),
        ("a.csv", "prediction\n", "a.csv has no rows"),
        ("a.jsonl", records({"messages": CHAT[:1]}), "Row 1 of a.jsonl .*do not end with an answer"),
        ("a.jsonl", records({"prediction": {"tokens": 3}}), "Row 1 of a.jsonl has no text"),
        ("a.jsonl", "{broken\n", "Line 1 of a.jsonl is not valid JSON"),
    ],
)
def test_what_holds_no_outputs_is_refused(tmp_path, name, content, expected):
    with pytest.raises(DataError, match=expected):
        texts_of(written(tmp_path, name, content))


def test_a_missing_column_is_named_with_what_is_there(tmp_path):
    path = written(tmp_path, "a.csv", "answers,predictions\n1,2\n")
    with pytest.raises(DataError, match=r"'prediction' is missing from a.csv.*Did you mean 'predictions'\?"):
        texts_of(path, prediction="prediction")
    with pytest.raises(DataError, match=r"'gold' is missing from a.csv.*--reference"):
        targets_of(path, 1, reference="gold")


def test_a_missing_file_is_said_with_the_nearest_name(tmp_path):
    written(tmp_path, "outputs.txt", "one\n")
    with pytest.raises(DataError, match=r"Did you mean 'outputs.txt'"):
        texts_of(tmp_path / "output.txt")


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (SENTENCES[:40] + SENTENCES[41:], "has 71 outputs, .*has 72 rows.* 1 output may be missing around row 41"),
        ([*SENTENCES[:30], "Something else", *SENTENCES[30:]], "has 73 outputs.* 1 output too many .*around row 31"),
        ([*SENTENCES[:9], "", "", *SENTENCES[9:]], "2 outputs are empty, and the numbers agree without"),
    ],
)
def test_another_number_of_outputs_is_refused_with_where_it_may_be(tmp_path, texts, expected):
    outputs = written(tmp_path, "outputs.txt", "\n".join(texts) + "\n")
    references = written(tmp_path, "references.txt", "\n".join(SENTENCES) + "\n")
    with pytest.raises(DataError, match=expected):
        read_references(references, OutputOptions(), read_outputs(outputs, OutputOptions()))


def test_outputs_that_end_early_are_not_said_to_have_moved(tmp_path):
    references = written(tmp_path, "references.txt", "\n".join(SENTENCES) + "\n")
    with pytest.raises(DataError) as caught:
        read_references(references, OutputOptions(), read_outputs(SENTENCES[:-3], OutputOptions()))
    assert "around" not in str(caught.value)
