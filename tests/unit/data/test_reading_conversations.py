"""What a file of prompts and answers becomes, and what is said when it cannot become anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from nshot.core import Conversation, DataError, TaskKind
from nshot.data.answers import read_answers
from nshot.data.options import ReadOptions
from nshot.data.reading import Source, read, stream_inputs
from nshot.evaluation.checks import audit


def chat(asked: str, answer: str | None) -> dict[str, Any]:
    turns = [{"role": "user", "content": asked}]
    return {"messages": turns if answer is None else [*turns, {"role": "assistant", "content": answer}]}


def jsonl(folder: Path, *rows: Any, name: str = "chats.jsonl") -> Path:
    path = folder / name
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
    return path


def csv(folder: Path, *lines: str, name: str = "pairs.csv") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


PAIRS = (
    "mr,ref,fixed",
    '"name[A], area[x]",A is in the x area of town.,0',
    '"name[B], area[y]",B lies in the area called y.,1',
    '"name[A], area[x]",In the x area you find A.,0',
    '"name[C], area[y]",,1',
)


def test_rows_of_one_input_share_their_answers_and_a_group(tmp_path):
    source = read(csv(tmp_path, *PAIRS))
    assert [each.last for each in source.dataset.examples] == [
        "name[A], area[x]",
        "name[B], area[y]",
        "name[A], area[x]",
    ]
    first, _, third = source.dataset.labelled_targets()
    assert first == ("A is in the x area of town.", "In the x area you find A.")
    assert third == first[::-1]
    groups = list(source.dataset.groups or ())
    assert groups[0] == groups[2] != groups[1]
    assert (list(source.positions), list(source.unlabelled_positions)) == ([0, 1, 2], [3])
    assert [each.last for each in source.unlabelled.examples] == ["name[C], area[y]"]
    assert len(source.inputs) == 4
    assert "3 answers" in source.recognised
    assert "3 different inputs" in source.recognised


def test_a_named_group_column_is_used_instead(tmp_path):
    source = read(csv(tmp_path, *PAIRS), ReadOptions(group="fixed"))
    assert list(source.dataset.groups or ()) == ["0", "1", "0"]


def test_groups_of_equal_inputs_agree_between_train_and_test(tmp_path):
    train = read(csv(tmp_path, *PAIRS))
    test = read(
        csv(tmp_path, PAIRS[0], PAIRS[2], "other one,this is something else then,0", name="test.csv"), like=train
    )
    assert next(iter(test.dataset.groups or ())) == list(train.dataset.groups or ())[1]
    report = audit(train, test)
    assert report.test_groups is not None
    assert report.test_groups[0] == report.groups[1]
    assert report.groups[0] == report.groups[2]
    assert report.leaked.tolist() == [1]


def test_a_test_is_read_in_the_form_of_the_training_file(tmp_path):
    train = read(
        csv(tmp_path, *PAIRS), ReadOptions(text=("fixed",), label="ref", task="generate", instruction="Say it.")
    )
    test = read(csv(tmp_path, *PAIRS, name="test.csv"), like=train)
    assert test.dataset.examples[1] == Conversation.asking("1")
    assert test.task.instruction == "Say it."
    with pytest.raises(DataError, match=r"Column 'ref' is missing from other\.csv\. It is used in pairs\.csv"):
        read(csv(tmp_path, "mr,text,fixed", "a,b,c", name="other.csv"), like=train)


def test_a_test_need_not_have_columns_that_are_optional(tmp_path):
    tools = [{"name": "f", "parameters": {}}]
    train = read(jsonl(tmp_path, *({**chat(f"a {i}", "b c"), "tools": tools, "system": "s"} for i in range(2))))
    assert train.dataset.examples[0].tools
    test = read(jsonl(tmp_path, chat("x", "y"), name="test.jsonl"), like=train)
    assert test.dataset.examples[0] == Conversation.asking("x")


def test_answers_marked_as_bad_are_not_learnt_from_and_their_inputs_kept(tmp_path):
    rows = [{**chat(f"question {i}", f"answer {i}"), "label": i % 2 == 0} for i in range(4)]
    source = read(jsonl(tmp_path, *rows))
    assert [target[0] for target in source.dataset.labelled_targets()] == ["answer 0", "answer 2"]
    assert [each.last for each in source.unlabelled.examples] == ["question 1", "question 3"]
    assert source.refused == (1, 3)
    assert '2 that are marked as bad in "label" are not learnt from' in source.recognised


def test_the_fingerprint_follows_what_is_said(tmp_path):
    one, same, other = (read(jsonl(tmp_path, chat("a b", answer))).dataset for answer in ("c d", "c d", "c e"))
    assert one.fingerprint == same.fingerprint != other.fingerprint


@pytest.mark.parametrize(
    "given",
    [
        pd.DataFrame({"messages": [chat("a b", "c d")["messages"]]}),
        pd.DataFrame({"prompt": ["a b"], "system": [float("nan")], "completion": ["c d"]}),
        [chat("a b", "c d")],
        ([[{"role": "user", "content": "a b"}]], ["c d e f"]),
        (["a b"], [["c d", "e f"]]),
        (["a b"], ["c d"]),
    ],
    ids=["frame of messages", "frame with a gap", "dicts", "pair of messages", "references", "pair"],
)
def test_data_from_python_is_the_same(given):
    options = ReadOptions(task="generate")
    source = read(given, options)
    assert list(source.dataset.examples) == [Conversation.asking("a b")]
    assert source.dataset.labelled_targets()[0][0].startswith("c d")


def test_a_running_text_becomes_pieces_of_whole_paragraphs(tmp_path):
    path = tmp_path / "book.txt"
    path.write_text("\n\n".join(f"Paragraph {i},\nin two lines." * 20 for i in range(40)))
    source = read(path)
    assert (source.task.kind, source.format, source.label_column) == (TaskKind.GENERATE, "text", None)
    assert (len(source.dataset), list(source.dataset.labelled_targets())) == (0, [])
    pieces = list(source.unlabelled.examples)
    assert "\n\n".join(pieces) == path.read_text()
    assert 1 < len(pieces) < 40
    assert max(map(len, pieces)) <= 2100
    assert audit(source).checks == ()


@pytest.mark.parametrize("content", ["text\tlabel\na b\tx\nc d\ty\n", "one;two\na b;x\nc d;y\ne f;x\n"])
def test_a_txt_file_that_is_a_table_stays_one(tmp_path, content):
    path = tmp_path / "table.txt"
    path.write_text(content)
    assert (
        read(path, ReadOptions(text=("one",), label="two") if ";" in content else None).task.kind is TaskKind.CLASSIFY
    )


def stream(source: Any, trained: tuple[str, ...] = (), **options: Any) -> list[Any]:
    found = stream_inputs(source, trained, ReadOptions.parse({"task": "generate", **options}), batch_rows=2)
    return [example for batch in found.batches for example in batch.examples]


def test_a_stream_asks_and_leaves_answers_aside(tmp_path):
    rows = [chat("a", "b"), chat("c", None), chat("d", "e")]
    assert [each.last for each in stream(jsonl(tmp_path, *rows))] == ["a", "c", "d"]
    path = csv(tmp_path, *PAIRS)
    assert stream(path)[1] == Conversation.asking("name[B], area[y]")
    assert stream(path, ("ref",))[1].last == "B lies in the area called y."
    assert stream(path, text="fixed")[1].last == "1"


def test_a_stream_of_lines_asks_each(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("where is my parcel\nand my other one, please\n")
    assert stream(path) == [Conversation.asking("where is my parcel"), Conversation.asking("and my other one, please")]


def test_a_stream_names_the_row_that_cannot_be_read(tmp_path):
    rows = [chat("a", "b")] * 4 + [{"messages": [{"role": "robot", "content": "x"}]}]
    with pytest.raises(DataError, match=r"Row 5 of chats\.jsonl has the role 'robot'"):
        stream(jsonl(tmp_path, *rows))


def test_answers_of_another_system_come_per_row_or_per_input(tmp_path):
    source = read(csv(tmp_path, *PAIRS))
    per_row, per_input = tmp_path / "rows.txt", tmp_path / "inputs.txt"
    per_row.write_text("one\ntwo\nthree\nfour\n")
    per_input.write_text("A\nB\nC\n")
    assert read_answers(per_row, source, source.task).texts == ["one", "two", "three"]
    assert read_answers(per_input, source, source.task).texts == ["A", "B", "A"]
    per_row.write_text("one\ntwo\n")
    with pytest.raises(DataError, match=r"2 answers for the 4 rows of pairs\.csv with 3 different inputs"):
        read_answers(per_row, source, source.task)


GOOD = chat("a b", "c d")
BAD = {
    "not json": ([GOOD] * 5 + ["{oops"], "Line 6 of chats.jsonl is not valid JSON"),
    "a key missing": ([GOOD] * 16 + [{"foo": 1}], "Row 17 of chats.jsonl has no 'messages'"),
    "mixed forms": ([GOOD, {"prompt": "a", "completion": "b"}], "Row 2 of chats.jsonl has no 'messages'"),
    "no list": ([GOOD, {"messages": "hello"}], "Row 2 of chats.jsonl has no valid JSON in 'messages'"),
    "an unknown role": ([GOOD, {"messages": [{"role": "robot", "content": "x"}]}], "Row 2 of chats.jsonl has the role"),
    "null": ([GOOD, {"messages": [{"role": "user", "content": None}]}], "Row 2 of chats.jsonl has null"),
    "no answers": ([chat("a", None)] * 3, "None of the 3 rows of chats.jsonl has an answer"),
    "no prompts": ([chat(" ", "a")] * 3, "is empty in all 3 rows"),
    "nothing": ([""], "chats.jsonl is empty"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_message_that_says_where(tmp_path, case):
    rows, part = BAD[case]
    with pytest.raises(DataError) as caught:
        read(jsonl(tmp_path, *rows))
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_row_is_read():
    source: Source = read([GOOD])
    assert (source.rows, len(source.dataset)) == (1, 1)


def test_a_message_of_several_megabytes_and_another_encoding_simply_work(tmp_path):
    assert len(read(jsonl(tmp_path, GOOD, chat("x" * 5_000_000, "y z"))).dataset.examples[1].last) == 5_000_000
    path = tmp_path / "latin.csv"
    path.write_bytes(
        "prompt,completion\nwhere is the café,it is in Köln\nand then what,nothing at all\n".encode("latin-1")
    )
    assert read(path).dataset.labelled_targets()[0] == ("it is in Köln",)
