from __future__ import annotations

import json
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import openai
import pytest

from endpoints import Slow, echo, serving
from nshot.backbones.fake import FakeGenerator
from nshot.core import SYSTEM, Decoding, Message, Prediction, State, UnsupportedError
from nshot.serving import served

_clients: list[openai.OpenAI] = []


def client(address: str, key: str = "none") -> openai.OpenAI:
    _clients.append(openai.OpenAI(base_url=address, api_key=key, max_retries=0, timeout=20))
    return _clients[-1]


@pytest.fixture(autouse=True)
def _closed():
    yield
    while _clients:
        _clients.pop().close()


@pytest.fixture(scope="module")
def address():
    with serving(echo(), most_tokens=100) as found:
        yield found


def asked(address, text="one two three", **parameters):
    return client(address).chat.completions.create(
        model="echo", messages=[{"role": "user", "content": text}], **parameters
    )


def test_the_public_client_gets_an_answer_with_its_usage(address):
    found = asked(address)
    assert found.choices[0].message.content == "one two three"
    assert found.choices[0].message.role == "assistant"
    assert found.choices[0].finish_reason == "stop"
    assert (found.usage.prompt_tokens, found.usage.completion_tokens, found.usage.total_tokens) == (3, 4, 7)
    assert found.model == "echo"


def test_a_stream_has_the_pieces_of_the_same_answer(address):
    chunks = list(asked(address, stream=True, stream_options={"include_usage": True}))
    pieces = [choice.delta.content for chunk in chunks for choice in chunk.choices if choice.delta.content]
    assert pieces == ["one", " two", " three"]
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] == "stop"
    assert chunks[-1].usage.completion_tokens == 4
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_stream_tells_no_usage_unless_asked(address):
    assert all(chunk.usage is None for chunk in asked(address, stream=True))


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_the_longest_answer_is_kept_to_and_said(address, name):
    found = asked(address, **{name: 2})
    assert found.choices[0].message.content == "one two"
    assert found.choices[0].finish_reason == "length"
    assert found.usage.completion_tokens == 2


def test_a_conversation_is_passed_on_with_its_earlier_turns(address):
    turns = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "capital of France"},
        {"role": "assistant", "content": "Paris"},
        {"role": "user", "content": [{"type": "text", "text": "capital of France"}]},
    ]
    found = client(address).chat.completions.create(model="echo", messages=turns)
    assert found.choices[0].message.content == "Paris"
    assert found.usage.prompt_tokens == 9


def test_what_stands_before_every_conversation_is_counted():
    with serving(echo(before=(Message(SYSTEM, "four words stand here"),))) as address:
        assert asked(address).usage.prompt_tokens == 7


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"logprobs": True}, "logprobs: is not supported here; leave it out or send false"),
        ({"n": 2}, "n: is not supported here; leave it out or send 1"),
        ({"response_format": {"type": "json_object"}}, "response_format: is not supported here"),
        ({"temperature": 3}, "temperature: Input should be less than or equal to 2"),
        ({"max_tokens": 101}, "this server writes at most 100"),
        ({"extra_body": {"prompt_logprobs": 0}}, "Unknown parameter: prompt_logprobs"),
    ],
)
def test_what_is_not_supported_is_refused_in_the_protocols_form(address, parameters, said):
    with pytest.raises(openai.BadRequestError) as error:
        asked(address, **parameters)
    assert said in error.value.body["message"]
    assert error.value.body["type"] == "invalid_request_error"


def test_neutral_values_of_unsupported_parameters_are_taken(address):
    found = asked(address, n=1, logprobs=False, frequency_penalty=0, presence_penalty=0.0, user="me", seed=3, stop="x")
    assert found.choices[0].message.content == "one two three"


def test_an_unknown_model_is_404_and_the_models_are_listed(address):
    with pytest.raises(openai.NotFoundError, match=r"There is no model 'other'\. Models: echo"):
        client(address).chat.completions.create(model="other", messages=[{"role": "user", "content": "x"}])
    listed = client(address).models.list().data
    assert [model.id for model in listed] == ["echo"]
    assert listed[0].max_model_len == FakeGenerator.longest
    assert client(address).models.retrieve("echo").id == "echo"


def test_calls_of_tools_reach_the_model_with_their_arguments_as_an_object():
    """Chat templates write arguments as JSON themselves: a text would be written as JSON a second time."""
    read: list[Message] = []

    class Reading(FakeGenerator):
        def stream(self, example, decoding, *, before=()):
            read.extend(example.messages)
            return super().stream(example, decoding, before=before)

    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
    turns = [
        {"role": "user", "content": "Is it raining in Oslo?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "yes"},
    ]
    with serving(echo(Reading())) as address:
        client(address).chat.completions.create(model="echo", messages=turns)
    assert read[1].tool_calls[0]["function"] == {"name": "weather", "arguments": {"city": "Oslo"}}
    assert (read[2].content, read[2].name) == ("yes", "weather")


def test_a_model_is_served_with_the_decoding_it_was_fitted_with_whatever_kind_of_writer_it_is():
    class Parrot:
        decoding = Decoding(7, stop=("\n",))

        def predict(self, examples):
            return Prediction(texts=list(examples))

        def state(self):
            return State()

        def likelihoods(self, examples, answers):
            return None

        def stream(self, example, decoding):
            yield example.last

    assert served("parrot", Parrot()).decoding == Decoding(7, stop=("\n",))


def test_a_conversation_that_ends_with_an_answer_is_refused(address):
    with pytest.raises(openai.BadRequestError, match="End the conversation with what is to be answered"):
        client(address).chat.completions.create(model="echo", messages=[{"role": "assistant", "content": "x"}])


@pytest.mark.parametrize("stream", [False, True])
def test_a_conversation_that_is_too_long_is_refused_before_anything_is_sent(address, stream):
    with pytest.raises(openai.BadRequestError) as error:
        asked(address, "word " * FakeGenerator.longest, stream=stream)
    assert error.value.code == "context_length_exceeded"


def test_a_body_that_is_too_large_is_refused():
    with serving(most_bytes=500) as address, pytest.raises(openai.APIStatusError) as error:
        asked(address, "x" * 600)
    assert error.value.status_code == 413
    assert "At most 500 bytes" in error.value.body["message"]


def test_a_token_is_asked_for_where_there_is_one_and_health_is_open():
    with serving(token="secret") as address:
        with pytest.raises(openai.AuthenticationError):
            client(address, "wrong").models.list()
        assert client(address, "secret").models.list().data
        health = client(address, "wrong").with_options(base_url=address.removesuffix("/v1"))
        assert health.get("/health", cast_to=object) == {"status": "ok"}


def test_under_another_name_than_this_machines_nothing_is_answered(address):
    with pytest.raises(openai.PermissionDeniedError, match="its own machine only"):
        client(address).models.list(extra_headers={"Host": "rebound.example.com"})


def test_a_full_queue_answers_429_at_once_with_retry_after():
    slow = Slow(0.1)
    with serving(echo(slow), most_waiting=1) as address, ThreadPoolExecutor(4) as pool:
        first = [pool.submit(asked, address) for _ in range(2)]
        time.sleep(0.15)
        began = time.monotonic()
        with pytest.raises(openai.RateLimitError) as error:
            asked(address)
        assert time.monotonic() - began < 0.25
        assert int(error.value.response.headers["retry-after"]) >= 1
        assert error.value.code == "queue_full"
        ready = refused(f"{address.removesuffix('/v1')}/ready")
        assert (ready[0], ready[1]["code"]) == (503, "queue_full")
        assert [each.result().choices[0].message.content for each in first] == ["one two three"] * 2
        assert asked(address).choices[0].message.content == "one two three"


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_whose_turn_does_not_come_in_time_is_504_before_anything_is_sent(stream):
    model = Slow(0.1)
    with serving(echo(model), most_waiting=1, deadline_seconds=0.3) as address, ThreadPoolExecutor(1) as pool:
        first = pool.submit(asked, address, "word " * 19 + "end")
        while not model.written:
            time.sleep(0.01)
        with pytest.raises(openai.InternalServerError, match="no answer within") as error:
            asked(address, stream=stream)
        assert (error.value.status_code, error.value.code) == (504, "deadline_exceeded")
        assert not first.done()
        # The one place to wait in is free again at once, and what is being written is not cut short.
        with pytest.raises(openai.InternalServerError):
            asked(address, stream=stream)
        assert first.result().choices[0].message.content.endswith("end")
        figures = urlopen(f"{address.removesuffix('/v1')}/metrics").read().decode()
    assert 'rejected_total{model="echo",reason="deadline"} 2' in figures


def test_what_could_only_begin_too_late_is_turned_away_at_once():
    model = Slow(0.2)
    with serving(echo(model), deadline_seconds=0.9) as address, ThreadPoolExecutor(2) as pool:
        first = [pool.submit(asked, address) for _ in range(2)]
        while not model.written:
            time.sleep(0.01)
        time.sleep(0.1)
        began = time.monotonic()
        with pytest.raises(openai.RateLimitError) as error:  # before one was written, 1 s is guessed for each
            asked(address)
        assert time.monotonic() - began < 0.25
        assert error.value.response.headers["retry-after"] == "1"
        assert [each.result().choices[0].message.content for each in first] == ["one two three"] * 2


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "\\ud800", "messages": [{"role": "user", "content": "x"}]}',
        b'{"model": "echo", "messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"model": "echo", "messages": [{"role": "user", "content": "x"}], "\\ud800": 1}',
        b'{"model": "echo", "messages": [{"role": "user", "content": "x"}], "metadata": ' + b"[" * 100_000,
        b'{"model": "echo", "messages": "caf\xe9"}',
    ],
)
def test_what_is_no_unicode_or_nested_without_end_is_no_json(address, body):
    status, error = refused(f"{address}/chat/completions", body, "application/json")
    assert (status, error["code"]) == (400, "invalid_json")


def test_a_body_that_does_not_come_is_given_up():
    with serving(deadline_seconds=0.2) as address:
        connection = HTTPConnection(address.removeprefix("http://").removesuffix("/v1"), timeout=10)
        connection.putrequest("POST", "/v1/chat/completions")
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", "100")
        connection.endheaders(b'{"model": ')
        answer = connection.getresponse()
        assert (answer.status, "no answer within 0.2 s" in answer.read().decode()) == (504, True)
        connection.close()


def test_one_answer_is_written_at_a_time():
    class Watched(Slow):
        inside = 0
        most = 0
        lock = threading.Lock()

        def stream(self, example, decoding, *, before=()):
            with self.lock:
                self.inside += 1
                self.most = max(self.most, self.inside)
            yield from super().stream(example, decoding, before=before)
            with self.lock:
                self.inside -= 1

    model = Watched(0.01)
    with serving(echo(model)) as address, ThreadPoolExecutor(4) as pool:
        assert len([each.result() for each in [pool.submit(asked, address) for _ in range(4)]]) == 4
    assert model.most == 1


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_that_nobody_waits_for_is_not_written_to_its_end(stream):
    model = Slow(0.05)
    with serving(echo(model, longest=100)) as address:
        impatient = client(address).with_options(timeout=0.3)
        if stream:
            with asked(address, "word " * 60, stream=True) as chunks:
                next(iter(chunks))
        else:
            with pytest.raises(openai.APITimeoutError):
                impatient.chat.completions.create(model="echo", messages=[{"role": "user", "content": "word " * 60}])
        time.sleep(0.7)
        written = model.written
        time.sleep(0.2)
        assert model.written == written < 50
        assert asked(address, "still there").choices[0].message.content == "still there"


def test_an_answer_that_is_being_written_is_finished_when_the_server_stops():
    with ThreadPoolExecutor(1) as pool:
        with serving(echo(Slow(0.1))) as address:
            waiting = pool.submit(asked, address, "one two three four five")
            time.sleep(0.2)
        assert waiting.result().choices[0].message.content == "one two three four five"


class Broken(FakeGenerator):
    def __init__(self, after: int) -> None:
        self.after = after

    def stream(self, example, decoding, *, before=()):
        yield from ["so", " far"][: self.after]
        raise ValueError(f"cannot digest {example}")


@pytest.mark.parametrize("after", [0, 1])
def test_a_mistake_while_writing_is_an_error_and_no_text_is_logged(after, caplog):
    with serving(echo(Broken(after))) as address, caplog.at_level(logging.DEBUG, logger="nshot.serving"):
        with pytest.raises(openai.InternalServerError, match="its log says where") as error:
            asked(address, "private words")
        assert "private" not in str(error.value)
        with pytest.raises(openai.APIError, match="its log says where"):
            list(asked(address, "private words", stream=True))
    assert "ValueError at" in caplog.text
    assert "private" not in caplog.text


def refused(url: str, body: bytes | None = None, kind: str = "") -> tuple[int, dict[str, Any]]:
    """Return status and error of a request that no client of the protocol sends."""
    with pytest.raises(HTTPError) as error:
        urlopen(Request(url, body, {"content-type": kind}))
    with error.value as answer:
        return answer.code, json.load(answer)["error"]


def test_a_body_that_is_no_json_or_of_another_type_is_refused(address):
    url = f"{address}/chat/completions"
    status, error = refused(url, b"{", "application/json")
    assert (status, error["code"]) == (400, "invalid_json")
    # A form that a page on another site may send without asking first.
    plain = b'{"model": "echo", "messages": [{"role": "user", "content": "x"}]}'
    assert refused(url, plain, "text/plain")[0] == 415
    assert refused(f"{address}/nothing")[1]["type"] == "invalid_request_error"


def test_an_image_is_refused_in_words(address):
    part = {"type": "image_url", "image_url": {"url": "x"}}
    body = json.dumps({"model": "echo", "messages": [{"role": "user", "content": [part]}]}).encode()
    status, error = refused(f"{address}/chat/completions", body, "application/json")
    assert status == 400
    assert error["message"].startswith("messages.0.content: expected a text, or parts such as")


def test_what_does_not_write_is_not_served():
    class Labels:
        def predict(self, examples):
            raise NotImplementedError

        def state(self):
            raise NotImplementedError

    with pytest.raises(UnsupportedError, match="tickets does not write answers"):
        served("tickets", Labels())
