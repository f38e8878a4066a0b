"""Which tables are answered with labels, which with texts to write, and from which columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from nshot.core import DataError, TaskKind
from nshot.data.options import ReadOptions
from nshot.data.reading import Source, read

N = 24
QUESTIONS = [f"what do you know about the number {i}" for i in range(N)]
ANSWERS = [f"the number {i} comes after the one before it" for i in range(N)]
SHORT = [str(7 * i) for i in range(N)]
LABELS = ["billing", "delivery", "access"] * (N // 3)
TRUTHS = [True, False] * (N // 2)
CHAT = [
    [{"role": "user", "content": q}, {"role": "assistant", "content": a}]
    for q, a in zip(QUESTIONS, ANSWERS, strict=True)
]
ASKED = [turns[:1] for turns in CHAT]
REPLIES = [turns[1:] for turns in CHAT]


def table(columns: dict[str, Sequence[Any]], **options: Any) -> Source:
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return read(rows, ReadOptions.parse(options))


@pytest.mark.parametrize(
    ("columns", "text", "answer"),
    [
        ({"prompt": QUESTIONS, "completion": ANSWERS}, ("prompt",), "completion"),
        ({"question": QUESTIONS, "answer": ANSWERS}, ("question",), "answer"),
        ({"question": QUESTIONS, "answer": SHORT}, ("question",), "answer"),
        ({"answer": ANSWERS, "id": SHORT, "question": QUESTIONS}, ("question",), "answer"),
        ({"mr": QUESTIONS, "ref": ANSWERS, "fixed": [0, 1] * 12, "orig_mr": LABELS}, ("mr",), "ref"),
        ({"instruction": QUESTIONS, "input": [""] * N, "output": ANSWERS}, ("instruction", "input"), "output"),
        ({"instruction": QUESTIONS, "context": [""] * N, "response": ANSWERS}, ("instruction", "context"), "response"),
        ({"source": QUESTIONS, "target": ANSWERS}, ("source",), "target"),
        ({"document": QUESTIONS, "summary": ANSWERS}, ("document",), "summary"),
        ({"foo": QUESTIONS, "bar": ANSWERS}, ("foo",), "bar"),
        ({"text": QUESTIONS, "label": ANSWERS}, ("text",), "label"),
        ({"question": QUESTIONS, "references": [[a, "none"] for a in ANSWERS]}, ("question",), "references"),
        ({"messages": CHAT}, ("messages",), "messages"),
        ({"id": SHORT, "conversations": CHAT, "source": LABELS}, ("conversations",), "conversations"),
        ({"messages": CHAT, "label": TRUTHS}, ("messages",), "messages"),
        (
            {"conversations": ASKED, "chosen": [r[0] for r in REPLIES], "rejected": ANSWERS},
            ("conversations",),
            "chosen",
        ),
        ({"prompt": ASKED, "completion": REPLIES}, ("prompt",), "completion"),
        ({"prompt": QUESTIONS, "chosen": ANSWERS, "rejected": QUESTIONS}, ("prompt",), "chosen"),
        ({"prompt": QUESTIONS, "chosen": CHAT, "rejected": CHAT}, ("prompt",), "chosen"),
        ({"chosen": CHAT, "rejected": CHAT}, ("chosen",), "chosen"),
        ({"prompt": QUESTIONS, "completion": ANSWERS, "label": TRUTHS}, ("prompt",), "completion"),
    ],
)
def test_texts_to_write_are_recognised_by_what_columns_are_called_and_hold(columns, text, answer):
    source = table(columns)
    assert source.task.kind is TaskKind.GENERATE
    assert (source.text_columns, source.label_column) == (text, answer)
    assert source.dataset.examples[0].last == QUESTIONS[0]
    assert source.dataset.targets[0][0] == columns[answer][0] or source.dataset.targets[0][0] in {ANSWERS[0]}
    assert f'"{answer}"' in source.recognised
    assert "--task" in source.recognised


@pytest.mark.parametrize(
    ("columns", "label"),
    [
        ({"text": QUESTIONS, "label": LABELS}, "label"),
        ({"question": QUESTIONS, "answer": ["yes", "no"] * 12}, "answer"),
        ({"foo": QUESTIONS, "bar": LABELS}, "bar"),
        ({"question": QUESTIONS, "context": ANSWERS, "decision": ["yes", "no"] * 12}, "decision"),
        ({"prompt": QUESTIONS, "response": ANSWERS, "toxic_label": [0, 1] * 12}, "toxic_label"),
        ({"instruction": ["Name the topic."] * N, "input": QUESTIONS, "output": LABELS}, "output"),
        ({"title": QUESTIONS, "body": ANSWERS, "queue": LABELS}, "queue"),
        ({"text": QUESTIONS, "label": [f"kind {i}" for i in range(N)]}, "label"),
        ({"messages": ASKED, "intent": LABELS}, "intent"),
    ],
)
def test_a_column_that_looks_like_labels_is_classified_as_before(columns, label):
    source = table(columns)
    assert (source.task.kind, source.label_column) == (TaskKind.CLASSIFY, label)


def test_where_it_is_unclear_the_message_names_the_flag():
    source = table({"instruction": QUESTIONS, "response": ANSWERS, "category": LABELS})
    assert source.task.kind is TaskKind.CLASSIFY
    assert '"response": --task generate' in source.recognised
    named = table({"instruction": QUESTIONS, "response": ANSWERS, "category": LABELS}, task="generate")
    assert (named.text_columns, named.label_column) == (("instruction",), "response")


def test_the_task_and_the_columns_can_be_named():
    columns = {"a": QUESTIONS, "b": ANSWERS, "c": LABELS, "d": SHORT}
    source = table(columns, text="a,d", label="c", task="generate")
    assert source.dataset.examples[1].last == f"{QUESTIONS[1]}\n{SHORT[1]}"
    assert source.dataset.targets[1][0] == LABELS[1]
    assert table(columns, text="a", label="b").task.kind is TaskKind.GENERATE
    assert table(columns, text="b", label="c").task.kind is TaskKind.CLASSIFY
    assert table({"messages": CHAT, "topic": LABELS}, label="topic").task.kind is TaskKind.CLASSIFY
    assert table({"text": QUESTIONS, "label": ANSWERS}, task="classify").task.kind is TaskKind.CLASSIFY


def test_true_and_false_can_be_what_is_written():
    source = table({"question": QUESTIONS, "label": TRUTHS}, text="question", label="label", task="generate")
    assert [target[0] for target in source.dataset.labelled_targets()][:2] == ["true", "false"]


def test_a_column_called_tools_that_holds_words_is_left_alone():
    source = table({"prompt": QUESTIONS, "completion": ANSWERS, "tools": ["hammer and saw"] * N})
    assert source.dataset.examples[0].tools == ()


def test_the_instruction_becomes_the_tasks():
    assert table({"prompt": QUESTIONS, "completion": ANSWERS}, instruction="Be brief.").task.instruction == "Be brief."


def test_descriptions_of_labels_are_refused_where_there_are_none(tmp_path):
    with pytest.raises(DataError, match="Leave --labels out"):
        table({"prompt": QUESTIONS, "completion": ANSWERS}, labels=tmp_path / "labels.toml")


def test_a_table_without_anything_to_write_says_how_to_name_it():
    with pytest.raises(DataError, match="--text COLUMN --label COLUMN"):
        table({"a": SHORT, "b": SHORT}, task="generate")
    with pytest.raises(DataError, match="--task generate"):
        table({"text": QUESTIONS, "id": SHORT})
