"""``nshot check`` on data whose answers are texts to write: published data, as a user types it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from integration.calling import nshot, succeeded
from nshot.core import TOOL, TaskKind
from nshot.data.reading import read
from nshot.evaluation.checks import audit

# Rows, those with an answer, where the prompts stand, where the answers stand.
PUBLISHED = {
    "alpaca_en_demo.json": (999, 999, ("instruction", "input"), "output"),
    "identity.json": (91, 91, ("instruction", "input"), "output"),
    "dpo_en_demo.json": (300, 300, ("conversations",), "chosen"),
    "kto_en_demo.json": (300, 150, ("messages",), "messages"),
    "glaive_toolcall_en_demo.json": (300, 300, ("conversations",), "conversations"),
    "v1_sft_demo.jsonl": (500, 500, ("messages",), "messages"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_form_loads_without_a_flag(shared_data, name):
    source = read(shared_data / "generation" / "sft_formats" / name)
    found = (source.rows, len(source.dataset), source.text_columns, source.label_column)
    assert (source.task.kind, source.dataset.modality, found) == (TaskKind.GENERATE, "conversation", PUBLISHED[name])
    assert all(target[0] for target in source.dataset.labelled_targets())
    assert f'"{source.text_columns[0]}"' in source.recognised


def test_tools_and_their_calls_are_kept(shared_data):
    source = read(shared_data / "generation" / "sft_formats" / "glaive_toolcall_en_demo.json")
    first = source.dataset.examples[0]
    assert first.tools[0]["function"]["name"] == "search_recipes"
    (call,) = [message for message in first.messages if message.tool_calls]
    assert call.tool_calls[0]["function"]["arguments"] == {"ingredients": ["chicken", "bell peppers", "rice"]}
    (answered,) = [message for message in first.messages if message.role == TOOL]
    assert answered.name == "search_recipes"


def test_maths_questions_and_their_worked_answers_load_without_a_flag(shared_data):
    source = read(shared_data / "generation" / "gsm8k" / "test.jsonl")
    assert (source.rows, source.text_columns, source.label_column) == (1319, ("question",), "answer")
    assert source.dataset.labelled_targets()[0][0].endswith("#### 18")


def test_meanings_of_e2e_are_grouped_with_all_their_references(shared_data):
    folder = shared_data / "generation" / "e2e_clean"
    train = read(folder / "devel-fixed.no-ol.csv")
    assert (train.text_columns, train.label_column, len(train.dataset)) == (("mr",), "ref", 4299)
    assert len(set(train.dataset.groups or ())) == 1484
    test = read(folder / "test-fixed.csv", like=train)
    assert len(set(test.dataset.groups or ())) == 1847
    assert not set(test.dataset.groups or ()) & set(train.dataset.groups or ())
    report = audit(train, test)
    assert not len(report.leaked)
    for inputs, groups in ((train.inputs, report.groups), (test.inputs, report.test_groups)):
        together: dict[int, int] = {}
        assert groups is not None
        assert all(
            together.setdefault(asked, group) == group for asked, group in zip(inputs, groups.tolist(), strict=True)
        )
    # Nearly equal meanings alone would chain most of them together, and nothing could be held back.
    assert max(Counter(report.groups.tolist()).values()) < 0.05 * 4299


@pytest.mark.parametrize("name", ["shakespeare.txt", "darwin.txt"])
def test_a_book_is_a_running_text(shared_data, name):
    source = read(shared_data / "generation" / "plain_text" / name)
    assert (len(source.dataset), source.format) == (0, "text")
    assert len(source.unlabelled) > 500


def chats(folder: Path) -> Path:
    turns = [("Where is parcel {}?", "Parcel {} is on its way."), ("How do I pay bill {}?", "Pay bill {} by card.")]
    rows = [
        {
            "messages": [
                {"role": "system", "content": "You help."},
                {"role": "user", "content": turns[i % 2][0].format(i)},
                {"role": "assistant", "content": turns[i % 2][1].format(i)},
            ]
        }
        for i in range(20)
    ]
    path = folder / "chats.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def test_the_first_example_is_shown_with_what_is_learnt_marked(tmp_path):
    shown = succeeded("check", chats(tmp_path)).out
    assert "system: You help.\nuser: Where is parcel 0?\nassistant: [[Parcel 0 is on its way.]]" in shown
    assert "20 rows, 20 answers: no issues." in shown


def test_an_instruction_is_shown_before_the_prompt(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("prompt,completion\nwhere is my parcel,it is on its way\nhow do i pay,pay by card or cash\n")
    assert "system: Be kind.\nuser: where is my parcel\n" in succeeded("check", path, "--instruction", "Be kind.").out


def test_json_holds_the_example_and_the_task(tmp_path):
    record = json.loads(succeeded("check", chats(tmp_path), "--json").out)
    assert (record["task"], record["labelled"], record["labels"]) == ("generate", 20, [])
    assert record["example"]["row"] == 0
    assert [part["text"] for part in record["example"]["parts"] if part["learnt"]] == ["Parcel 0 is on its way."]


def test_a_long_example_is_shortened_in_the_middle(tmp_path):
    path = tmp_path / "long.jsonl"
    rows = [{"prompt": f"beginning {i} {'x ' * 3000} end", "completion": f"short answer number {i}"} for i in range(3)]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    shown = succeeded("check", path).out
    assert "characters left out" in shown
    assert "beginning 0" in shown
    assert " end\n" in shown
    assert len(shown) < 6000


def test_a_model_shows_the_example_in_its_own_format_and_counts_its_tokens(tmp_path, shared_models):
    model = shared_models / "stories260K"
    record = json.loads(succeeded("check", chats(tmp_path), "--backbone", model, "--json").out)
    example = record["example"]
    assert example["model"] == "stories260K"
    assert example["tokens"] > 20
    learnt = "".join(part["text"] for part in example["parts"] if part["learnt"])
    assert "Parcel 0 is on its way." in learnt
    assert learnt.endswith("</s>"), "that an answer ends is learnt too"
    assert "You help." in "".join(part["text"] for part in example["parts"] if not part["learnt"])
    path = tmp_path / "long.jsonl"
    path.write_text(json.dumps({"prompt": "tell me a story", "completion": "once upon a time " * 200}))
    (found,) = [
        check
        for check in json.loads(succeeded("check", path, "--backbone", model, "--json").out)["checks"]
        if check["code"] == "N116"
    ]
    assert found["details"]["counted_by"] == "stories260K"


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("--backbone", "all-MiniLM-L6-v2"), "must name a language model"),
        (("--text", "nothing"), "Column 'nothing' is missing"),
        (("--labels", "labels.toml"), "Leave --labels out"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_plain_words(tmp_path, arguments, part):
    called = nshot("check", chats(tmp_path), *arguments)
    assert called.code == 2
    assert part in called.err
    assert "Traceback" not in called.err


def test_a_model_is_refused_where_the_answers_are_labels(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("text,label\n" + "".join(f"text number {i},{'ab'[i % 2]}\n" for i in range(20)))
    called = nshot("check", path, "--backbone", "all-MiniLM-L6-v2")
    assert (called.code, "--task generate" in called.err) == (2, True)


def test_a_model_without_a_chat_format_is_said_to_get_a_plain_one(tmp_path, shared_models):
    shown = succeeded("check", chats(tmp_path), "--backbone", shared_models / "stories260K").out
    assert "stories260K has no chat format of its own, so it gets a plain one." in shown


def test_rows_that_a_finding_does_not_name_are_not_counted(tmp_path):
    path = tmp_path / "long.jsonl"
    rows = [{"prompt": f"{i} {'x' * 30} " + "word " * 4000, "completion": f"the answer to {i}"} for i in range(230)]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    shown = succeeded("check", path).out
    assert "230 rows are longer" in " ".join(shown.split())
    assert "188 more" not in shown


def test_one_row_is_a_row(tmp_path):
    path = tmp_path / "one.jsonl"
    path.write_text(json.dumps({"prompt": "where is it", "completion": "over there"}))
    assert "1 row, 1 answer: no issues." in succeeded("check", path).out
