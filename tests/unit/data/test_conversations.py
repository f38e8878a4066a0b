"""What one row becomes: messages in all the ways that people write them, and lazily built columns of them."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nshot.core import ASSISTANT, SYSTEM, TOOL, USER, Conversation, DataError, Message
from nshot.data.conversations import (
    Answers,
    ArrowConversations,
    Exchange,
    Form,
    FormProblem,
    last_role,
    look_at,
    messages_in,
)

MESSAGES = Form(("messages",), None, is_messages=True, tools="tools", system="system")


def exchange(messages: Any, **cells: str) -> Exchange:
    return MESSAGES.exchange({"messages": json.dumps(messages), **cells})


def turns(found: Exchange) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in found.asked.messages]


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}],
        [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}],
        [{"role": "User", "content": [{"type": "text", "text": "hi"}]}, {"role": "model", "content": ["hel", "lo"]}],
        [
            {"role": "user", "content": [{"type": "text", "value": "h"}, {"type": "text", "value": "i"}]},
            {"role": "assistant", "content": [{"type": "text", "value": "hello"}], "loss_weight": 1.0},
        ],
    ],
    ids=["openai", "sharegpt", "parts with text", "parts with value"],
)
def test_every_way_of_writing_messages_says_the_same(messages):
    found = exchange(messages)
    assert turns(found) == [(USER, "hi")]
    assert found.answers == ("hello",)


def test_the_last_answer_is_the_target_and_everything_before_it_the_example():
    found = exchange(
        [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b"},
            {"role": "user", "content": "c"},
            {"role": "assistant", "content": " d\n"},
        ]
    )
    assert turns(found) == [(SYSTEM, "Be kind."), (USER, "a"), (ASSISTANT, "b"), (USER, "c")]
    assert found.answers == ("d",)


@pytest.mark.parametrize("answer", [None, "", "  \n"])
def test_a_conversation_that_ends_without_an_answer_has_none(answer):
    assert exchange([{"role": "user", "content": "a"}]).answers == ()
    found = exchange([{"role": "user", "content": "a"}, {"role": "assistant", "content": answer}])
    assert (turns(found), found.answers) == ([(USER, "a")], ())


CALL = {"name": "search", "arguments": {"for": "rice"}}


@pytest.mark.parametrize(
    "called",
    [
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function", "function": CALL}]},
        {"role": "assistant", "content": "", "tool_calls": [CALL | {"arguments": json.dumps(CALL["arguments"])}]},
        {"role": "assistant", "content": None, "function_call": CALL | {"arguments": '{"for": "rice"}'}},
        {"from": "function_call", "value": json.dumps(CALL)},
        {"from": "function_call", "value": json.dumps([CALL])},
    ],
    ids=["openai", "arguments as text", "older openai", "sharegpt", "sharegpt with a list"],
)
def test_calls_of_tools_are_kept_in_openais_form_and_their_answers_named(called):
    found = exchange(
        [
            {"role": "user", "content": "cook"},
            called,
            {"from": "observation", "value": "fried rice"},
            {"role": "assistant", "content": "Fried rice."},
        ]
    )
    _, call, tool = found.asked.messages
    assert (call.role, call.content, call.tool_calls[0]["type"]) == (ASSISTANT, "", "function")
    assert call.tool_calls[0]["function"] == CALL
    assert (tool.role, tool.content, tool.name) == (TOOL, "fried rice", "search")


def test_an_answer_that_is_a_call_is_learnt_as_json():
    found = exchange([{"from": "human", "value": "cook"}, {"from": "function_call", "value": json.dumps(CALL)}])
    assert found.answers == (json.dumps(CALL),)


def test_a_call_that_is_no_json_stays_what_was_said():
    found = exchange([{"from": "human", "value": "cook"}, {"from": "function_call", "value": "search(rice)"}])
    assert found.answers == ("search(rice)",)


@pytest.mark.parametrize(
    "written",
    [[{"name": "f", "parameters": {}}], [{"type": "function", "function": {"name": "f", "parameters": {}}}]],
)
def test_tools_get_openais_form_from_lists_and_from_lists_written_as_text(written):
    messages = [{"role": "user", "content": "a"}]
    for cell in (
        json.dumps(written),
        json.dumps(json.dumps(written)),
        json.dumps([json.dumps(one) for one in written]),
    ):
        (tool,) = exchange(messages, tools=cell).asked.tools
        assert tool == {"type": "function", "function": {"name": "f", "parameters": {}}}


def test_a_system_column_stands_first_unless_the_messages_have_one():
    own = [{"role": "system", "content": "own"}, {"role": "user", "content": "a"}]
    assert turns(exchange(own[1:], system="column"))[0] == (SYSTEM, "column")
    assert turns(exchange(own, system="column")) == [(SYSTEM, "own"), (USER, "a")]


def test_alpaca_joins_instruction_and_input_and_puts_history_before_them():
    form = Form(("instruction", "input"), "output", system="system", history="history")
    cells = {"instruction": "Translate.", "input": "", "output": "b ", "system": "Be brief.", "history": '[["x", "y"]]'}
    found = form.exchange(cells)
    assert turns(found) == [(SYSTEM, "Be brief."), (USER, "x"), (ASSISTANT, "y"), (USER, "Translate.")]
    assert found.answers == ("b",)
    assert form.exchange({**cells, "input": "a"}).asked.last == "Translate.\na"


def test_a_list_of_answers_is_several_references_and_in_a_text_file_it_is_an_answer():
    cells = {"q": "a", "refs": '["one", " two ", "one", null]'}
    assert Form(("q",), "refs", has_lists=True).exchange(cells).answers == ("one", "two")
    assert Form(("q",), "refs").exchange(cells).answers == (cells["refs"],)


@pytest.mark.parametrize(
    "chosen",
    [
        "good",
        {"from": "gpt", "value": "good"},
        [{"role": "user", "content": "q"}, {"role": "assistant", "content": "good"}],
    ],
)
def test_the_chosen_answer_may_be_a_text_a_message_or_a_conversation(chosen):
    cell = chosen if isinstance(chosen, str) else json.dumps(chosen)
    assert Form(("q",), "chosen", has_lists=True).exchange({"q": "q", "chosen": cell}).answers == ("good",)


@pytest.mark.parametrize(
    ("mark", "is_good"), [("true", True), ("True", True), ("1", True), ("false", False), ("", False)]
)
def test_a_mark_says_whether_an_answer_may_be_learnt_from(mark, is_good):
    assert Form(("q",), "a", mark="label").exchange({"q": "x", "a": "y", "label": mark}).is_good is is_good


@pytest.mark.parametrize(
    ("messages", "parts"),
    [
        ([{"role": "robot", "content": "x"}], ("the role 'robot' in message 1", "function_call, tool (observation)")),
        ([{"content": "x"}], ("no role in message 1", "Found the keys: content")),
        ([{"role": "user"}], ("no content in message 1 of 'messages' (user)", "Found the keys: role")),
        ([{"role": "user", "content": None}], ("null as the content of message 1",)),
        ([{"role": "user", "content": [{"type": "image_url"}]}], ("'image_url' in message 1", "Only texts are read")),
        (["hello"], ("'hello' as message 1",)),
        ("hello", ("'hello' in 'messages'", "Expected a list")),
        ([{"role": "user", "content": "a"}, {"role": ["user"], "content": "b"}], ("['user'] in message 2",)),
    ],
)
def test_a_message_that_cannot_be_read_says_which_and_what_is_known(messages, parts):
    with pytest.raises(FormProblem) as caught:
        exchange(messages)
    for part in parts:
        assert part in str(caught.value)


def test_messages_that_python_wrote_are_told_from_json():
    with pytest.raises(FormProblem, match="written by Python"):
        MESSAGES.exchange({"messages": str([{"role": "user", "content": "a"}])})


def test_half_a_character_becomes_a_question_mark():
    cell = '[{"role": "user", "content": "a \\ud800"}, {"role": "assistant", "content": "caf\\u00e9"}]'
    found = MESSAGES.exchange({"messages": cell})
    assert (found.asked.last, found.answers) == ("a ?", ("café",))


@pytest.mark.parametrize(
    ("cell", "role"),
    [
        ('[{"role": "user", "content": "a"}]', USER),
        ('[{"from": "gpt", "value": "a"}]', ASSISTANT),
        ('["a"]', None),
        ("[a", None),
        ("[]", None),
        ("hello", None),
        ('[{"a": 1}]', None),
    ],
)
def test_lists_of_messages_are_recognised_with_who_speaks_last(cell, role):
    assert last_role(cell) == role


def test_as_text_is_the_text_alone_where_nothing_else_is_said():
    assert Conversation.asking("hi").as_text() == "hi"
    assert Conversation.asking("hi", "Be kind.").as_text() == "system: Be kind.\nuser: hi"
    assert Conversation((Message(USER, "hi"),), ({"type": "function"},)).as_text().startswith("tools: [")


TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)
TURN = st.builds(Message, st.sampled_from([SYSTEM, USER, ASSISTANT]), TEXT)


@settings(max_examples=60, deadline=None)
@given(st.lists(TURN, min_size=1, max_size=6), TEXT.filter(str.strip))
def test_any_conversation_that_is_written_as_json_comes_back_as_it_was(messages, answer):
    record = Conversation(tuple(messages)).answered(answer).as_json()
    found = MESSAGES.exchange({"messages": json.dumps(record["messages"], ensure_ascii=False)})
    assert found.asked.messages == tuple(messages)
    assert found.answers == (answer.strip(),)
    assert messages_in(record["messages"], "messages")[:-1] == messages


@settings(max_examples=40, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | TEXT,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["role", "from", "content", "value", "tool_calls", "type"]), inner, max_size=4
            )
        ),
        max_leaves=12,
    )
)
def test_whatever_stands_in_a_cell_is_read_or_refused_in_words(value):
    try:
        found = MESSAGES.exchange({"messages": json.dumps(value)})
    except FormProblem as problem:
        assert str(problem).startswith("has ")
    else:
        assert all(isinstance(message.content, str) for message in found.asked.messages)


def column(*cells: str | None) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(cells[:2], pa.string()), pa.array(cells[2:], pa.string())])


def test_conversations_are_built_from_arrow_memory_when_asked_for():
    table = {"q": column("a", None, "c", "d"), "a": column("w", "x", "", "z"), "other": column("1", "2", "3", "4")}
    conversations = ArrowConversations(Form(("q",), "a"), table)
    assert [each.last for each in conversations] == ["a", "", "c", "d"]
    assert conversations[-1] == Conversation.asking("d")
    assert [each.last for each in conversations[1:3]] == ["", "c"]
    assert pickle.loads(pickle.dumps(conversations))[2] == conversations[2]
    with pytest.raises(IndexError):
        conversations[4]


def test_one_look_finds_answers_equal_inputs_and_empty_prompts():
    table = {"q": column("a", "b", " ", "a"), "a": column("w", "", "y", "z")}
    found = look_at(ArrowConversations(Form(("q",), "a"), table), "x.csv")
    assert list(found.answered()) == [0, 2, 3]
    assert found.empty == (2,)
    assert found.inputs[0] == found.inputs[3] != found.inputs[1]
    assert list(found.targets(found.answered())) == [("w", "z"), ("y",), ("z", "w")]


def test_the_row_that_cannot_be_read_is_named():
    good = json.dumps([{"role": "user", "content": "a"}])
    conversations = ArrowConversations(Form(("m",), None, is_messages=True), {"m": column(good, good, '["x"]')})
    with pytest.raises(DataError, match=r"^Row 3 of x\.jsonl has 'x' as message 1"):
        look_at(conversations, "x.jsonl")


def test_an_input_with_very_many_answers_does_not_make_work_grow_with_their_square():
    n = 3000
    own = pa.array([[f"answer {i}"] for i in range(n)], pa.list_(pa.string()))
    answers = Answers(own, dict.fromkeys(range(n), range(n)))
    assert answers[2500][0] == "answer 2500"
    assert len(answers[2500]) == 100


def test_what_is_said_holds_the_calls_too():
    call = {"type": "function", "function": CALL}
    assert Message(ASSISTANT, "I look.", (call, call)).said.splitlines() == ["I look.", *[json.dumps(CALL)] * 2]
