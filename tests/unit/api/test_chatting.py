from __future__ import annotations

from collections.abc import Sequence

import pytest

from endpoints import echo, failed, said, scripted, serving
from nshot import api
from nshot.api.chatting import Chat
from nshot.backbones.fake import FakeGenerator
from nshot.core import ASSISTANT, SYSTEM, USER, DataError, Decoding, ModelError, OptionError, UnsupportedError


class Short(FakeGenerator):
    """Takes in twelve words; keeps what it was asked."""

    longest = 12

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def stream(self, example, decoding, *, before: Sequence = ()):
        self.asked.append([message.content for message in example.messages])
        yield from super().stream(example, decoding, before=before)


def chatting(model=None, system="", tokens=4):
    return Chat(echo(model or FakeGenerator()), Decoding(tokens), system)


def roles(chat):
    return [message.role for message in chat.conversation.messages]


def test_what_was_said_before_is_part_of_what_is_asked():
    model = Short()
    chat = chatting(model, "Be brief.")
    assert "".join(chat.say("one two")) == "one two"
    list(chat.say("three"))
    assert model.asked[1] == ["Be brief.", "one two", "one two", "three"]
    assert roles(chat) == [SYSTEM, USER, ASSISTANT, USER, ASSISTANT]
    chat.reset()
    assert roles(chat) == [SYSTEM]


def test_the_oldest_turns_are_forgotten_when_there_is_no_room_and_the_system_message_never():
    model = Short()
    chat = chatting(model, "Be brief.")
    for text in ("one two", "three four", "five six"):
        list(chat.say(text))
    # An answer may have four tokens, but a quarter of twelve is three: nine are left for what is asked.
    # (What the fake answers is what it answered to the likest question.)
    assert model.asked[2] == ["Be brief.", "three four", "one two", "five six"]
    assert chat.left_out == 2
    list(chat.say("seven"))
    assert chat.left_out == 2


def test_a_text_that_is_too_long_alone_is_refused_and_the_conversation_stays():
    chat = chatting(Short())
    list(chat.say("one"))
    before = chat.conversation
    with pytest.raises(DataError, match="takes 12"):
        list(chat.say("word " * 12))
    assert chat.conversation == before


def test_a_stopped_answer_is_kept_as_far_as_it_came():
    chat = chatting(tokens=9)
    pieces = chat.say("one two three")
    assert next(pieces) == "one"
    pieces.close()
    assert chat.conversation.messages[-1].content == "one"


def test_where_nobody_says_how_much_fits_the_endpoints_refusal_makes_it_forget():
    def reply(path, body):
        if path.endswith("/models"):
            return failed(404)
        if len(body["messages"]) > 3:
            return failed(400, "This model's maximum context length is 10 tokens", code="context_length_exceeded")
        event = 'data: {"choices": [{"index": 0, "delta": {"content": "yes"}, "finish_reason": "stop"}]}\n\n'
        return (200, {"Content-Type": "text/event-stream"}, event) if body.get("stream") else said()

    with scripted(reply) as script:
        chat = api.chat(f"openai:m@{script.address}", allow_remote=True)
        for _ in range(3):
            assert "".join(chat.say("hello")) == "yes"
        assert chat.left_out == 2


def test_options_decide_how_it_writes():
    with serving() as address:
        chat = api.chat(f"openai:echo@{address}", allow_remote=True, max_tokens=2, system="Hello.", seed=3)
        assert "".join(chat.say("one two three")) == "one two"
        assert chat.name == "echo"
        assert roles(chat)[0] == SYSTEM


def test_a_remote_model_is_not_asked_without_permission():
    with pytest.raises(OptionError, match="--allow-remote"):
        api.chat("openai:m@http://127.0.0.1:1/v1")


def test_what_does_not_write_cannot_be_talked_to():
    with pytest.raises(UnsupportedError, match="all-MiniLM-L6-v2 does not"):
        api.chat("all-MiniLM-L6-v2")


def test_a_model_that_is_not_there_is_said_so():
    with pytest.raises(ModelError, match="no_such"):
        api.chat("./no_such_folder")
