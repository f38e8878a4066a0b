from __future__ import annotations

import json
import os
import pickle
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from endpoints import Slow, echo, failed, said, scripted, serving
from nshot.backbones import open_backbone
from nshot.backbones.fake import FakeGenerator
from nshot.backbones.remote_llm import RemoteLlm
from nshot.backbones.remote_options import RemoteAccess, RemoteOptions
from nshot.core import (
    ASSISTANT,
    TOOL,
    USER,
    Ability,
    BackboneRef,
    Conversation,
    CostLimitError,
    DataError,
    Decoding,
    Generates,
    Message,
    ModelError,
    OptionError,
    Scores,
    Streams,
    UnsupportedError,
)
from nshot.training.writing import decoder

ALLOWED = RemoteAccess(allow=True, retries=0, timeout_seconds=10)
GREEDY = Decoding(20)


@pytest.fixture(autouse=True)
def no_keys(monkeypatch):
    for name in [name for name in os.environ if name.startswith("OPENAI_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def endpoint():
    with serving() as address:
        yield address


def remote(address, access=ALLOWED, model="echo"):
    return RemoteLlm(BackboneRef(f"openai:{model}@{address}"), access)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


# ---------------------------------------------------------------------------------------------- permission


def test_without_permission_it_says_what_would_leave_the_machine_and_where_to():
    with pytest.raises(OptionError) as error:
        open_backbone("openai:gpt-x")
    for words in ("api.openai.com", "text of every example", "worked examples", "--allow-remote", "--max-cost"):
        assert words in str(error.value)
    with pytest.raises(OptionError, match="another program on this machine"):
        open_backbone("openai:m@http://127.0.0.1:1/v1", remote=RemoteAccess())


def test_a_service_elsewhere_needs_a_limit_on_the_cost_and_a_limit_needs_prices():
    with pytest.raises(OptionError, match="needs a limit on the cost: --max-cost"):
        open_backbone("openai:gpt-x", remote=RemoteAccess(allow=True))
    with pytest.raises(OptionError, match="needs the prices of gpt-x"):
        open_backbone("openai:gpt-x", remote=RemoteAccess(allow=True, max_cost=1.0))
    assert open_backbone("openai:gpt-x", remote=RemoteAccess(True, 1.0, 0.1, 0.4)).ref.id == "openai:gpt-x"


@pytest.mark.parametrize("name", ["openai:", "openai:@http://x/v1", "openai:m@http://", "openai:m@http://x:port/v1"])
def test_an_id_that_names_no_model_or_no_address_is_refused(name):
    with pytest.raises(OptionError, match="Expected openai:MODEL"):
        open_backbone(name, remote=ALLOWED)


def test_an_address_with_a_key_in_it_is_refused_and_not_repeated():
    with pytest.raises(OptionError, match="must hold no key") as error:
        open_backbone("openai:m@http://user:hunter2@127.0.0.1/v1", remote=ALLOWED)
    assert "hunter2" not in str(error.value)


def test_options_become_a_permission_that_another_process_can_be_handed(tmp_path):
    options = RemoteOptions.parse({"allow_remote": "true", "max_cost": "5", "price_in": "0.1", "price_out": "0.4"})
    access = options.access(tmp_path / "answers.jsonl")
    assert (access.allow, access.max_cost, access.record) == (True, 5.0, tmp_path / "answers.jsonl")
    assert pickle.loads(pickle.dumps(access)) == access
    assert pickle.loads(pickle.dumps(options)) == options
    assert access.price(2_000_000, 1_000_000) == pytest.approx(0.6)


def test_the_name_shown_has_no_address_and_the_reference_has(monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1/")
    found = open_backbone("openai:org/m-1", remote=ALLOWED).ref
    assert (found.id, found.name) == ("openai:org/m-1@http://127.0.0.1:9/v1", "m-1")


# ---------------------------------------------------------------------------------------------- writing


def test_it_writes_like_the_model_behind_the_endpoint(endpoint):
    model = remote(endpoint)
    assert isinstance(decoder(model), Generates | Scores | Streams)
    examples = ["one two three", Conversation.asking("four five"), "six"]
    answers = model.generate(examples, Decoding(2))
    assert [answer.text for answer in answers] == ["one two", "four five", "six"]
    assert [answer.stopped for answer in answers] == [False, False, True]
    before = (Message(USER, "capital of France"), Message(ASSISTANT, "Paris"))
    assert model.generate(["capital of Spain"], GREEDY, before=before)[0].text == "Paris"


def test_a_stream_joined_is_the_answer_and_comes_in_pieces(endpoint):
    assert list(remote(endpoint).stream("one two three", GREEDY)) == ["one", " two", " three"]


def test_answers_come_in_order_though_several_are_asked_for_at_once():
    inside, most, lock = 0, 0, threading.Lock()

    def reply(path, body):
        nonlocal inside, most
        text = body["messages"][-1]["content"]
        with lock:
            inside += 1
            most = max(most, inside)
        time.sleep(0.05 if text.endswith("0") else 0.01)
        with lock:
            inside -= 1
        return said(text)

    with scripted(reply) as script:
        texts = [f"text {i}" for i in range(20)]
        answers = remote(script.address, replace(ALLOWED, at_once=3)).generate(texts, GREEDY)
    assert [answer.text for answer in answers] == texts
    assert 1 < most <= 3


def test_equal_examples_are_asked_once():
    with scripted(lambda path, body: said()) as script:
        model = remote(script.address)
        assert len(model.generate(["a", "b", "a", "a"], GREEDY)) == 4
        assert len(script.asked) == 2
        assert model.meter.spent.requests == 2


def test_no_more_requests_begin_in_a_minute_than_allowed():
    with scripted(lambda path, body: said()) as script:
        began = time.monotonic()
        remote(script.address, replace(ALLOWED, requests_per_minute=600)).generate(["a", "b", "c", "d"], GREEDY)
        assert 0.3 <= time.monotonic() - began < 3


def test_what_is_sent_is_the_protocols(tmp_path):
    call = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Rome"}}}
    asked = Conversation(
        (Message(USER, "hot?"), Message(ASSISTANT, "", (call,)), Message(TOOL, "31 C", name="weather")),
        ({"type": "function", "function": {"name": "weather"}},),
    )
    with scripted(lambda path, body: said()) as script:
        remote(script.address).generate([asked], Decoding(9, 0.7, 0.9, ("A", "B", "C", "D", "E"), seed=4))
    (body,) = script.asked
    assert (body["max_tokens"], body["temperature"], body["top_p"], body["seed"]) == (9, 0.7, 0.9, 4)
    assert body["stop"] == ["A", "B", "C", "D"]
    assert body["tools"] == [{"type": "function", "function": {"name": "weather"}}]
    sent_call = body["messages"][1]["tool_calls"][0]
    assert sent_call["function"] == {"name": "weather", "arguments": '{"city": "Rome"}'}
    assert body["messages"][2]["tool_call_id"] == sent_call["id"]


def test_an_answer_ends_at_every_stop_text_also_those_the_protocol_has_no_room_for():
    with scripted(lambda path, body: said("one two END three")) as script:
        model = remote(script.address)
        decoding = Decoding(20, stop=("A", "B", "C", "D", "END"))
        assert model.generate(["x"], decoding)[0].text == "one two "
        assert "".join(model.stream("y", decoding)) == "one two "


def test_a_call_of_a_tool_is_written_as_json():
    call = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    body = json.dumps({"choices": [{"message": message, "finish_reason": "tool_calls"}]})
    with scripted(lambda path, _: (200, {}, body)) as script:
        (found,) = remote(script.address).generate(["hot?"], GREEDY)
    assert json.loads(found.text) == {"name": "weather", "arguments": {"city": "Rome"}}
    assert found.stopped


def test_a_parameter_that_a_model_refuses_is_sent_otherwise_or_left_out():
    def reply(path, body):
        for name in ("max_tokens", "temperature"):
            if name in body:
                return failed(400, f"Unsupported parameter: {name}", param=name, code="unsupported_parameter")
        return said()

    with scripted(reply) as script:
        model = remote(script.address)
        assert model.generate(["a", "b"], Decoding(7))[1].text == "yes"
        assert model.left_out == {"temperature"}
        assert script.asked[-1]["max_completion_tokens"] == 7


# ---------------------------------------------------------------------------------------------- the record


def test_a_recorded_answer_is_neither_asked_nor_paid_again(tmp_path):
    access = replace(ALLOWED, max_cost=1.0, price_in=100.0, price_out=1000.0, record=tmp_path / "out" / "answers.jsonl")
    with scripted(lambda path, body: said(body["messages"][-1]["content"])) as script:
        first = remote(script.address, access)
        answers = first.generate(["a", "b"], GREEDY)
        assert first.meter.spent.money == pytest.approx(2 * (10 * 100 + 5 * 1000) / 1e6)
        again = remote(script.address, access)
        assert again.generate(["b", "a", "c"], GREEDY) == [answers[1], answers[0], replace(answers[0], text="c")]
        assert "".join(again.stream("a", GREEDY)) == "a"
        assert len(script.asked) == 3
    spent = again.meter.spent
    assert (spent.requests, spent.from_record, spent.tokens_in, spent.tokens_out) == (1, 3, 10, 5)
    assert spent.money_in_record == pytest.approx(3 * 0.006)
    assert spent.as_json()["limit"] == 1.0


def test_the_record_holds_neither_questions_nor_keys(tmp_path, monkeypatch):
    monkeypatch.setenv("MY_KEY", "sk-secret")
    access = replace(ALLOWED, record=tmp_path / "answers.jsonl", api_key_env="MY_KEY")
    with scripted(lambda path, body: said("an answer")) as script:
        remote(script.address, access).generate(["a private question"], GREEDY)
        assert script.requests[-1][1]["authorization"] == "Bearer sk-secret"
    text = access.record.read_text()
    assert "an answer" in text
    assert "private" not in text
    assert "secret" not in text


def test_decoding_and_turns_before_are_part_of_the_question_and_a_seed_only_with_temperature(tmp_path):
    access = replace(ALLOWED, record=tmp_path / "answers.jsonl")
    with scripted(lambda path, body: said()) as script:
        model = remote(script.address, access)
        for decoding in (Decoding(5), Decoding(5, seed=9), Decoding(6), Decoding(5, stop=("x",))):
            model.generate(["a"], decoding)
        assert len(script.asked) == 3
        for seed in (1, 2):
            model.generate(["a"], Decoding(5, 0.5, seed=seed))
        model.generate(["a"], Decoding(5), before=(Message(USER, "q"), Message(ASSISTANT, "w")))
        assert len(script.asked) == 6


def test_a_torn_line_is_passed_over_and_what_follows_is_whole(tmp_path):
    access = replace(ALLOWED, record=tmp_path / "answers.jsonl")
    with scripted(lambda path, body: said(body["messages"][-1]["content"])) as script:
        remote(script.address, access).generate(["a", "b"], GREEDY)
        whole = access.record.read_bytes()
        access.record.write_bytes(whole[:-20])
        remote(script.address, access).generate(["a", "b", "c"], GREEDY)
        assert len(script.asked) == 4
        final = remote(script.address, access)
        assert [answer.text for answer in final.generate(["a", "b", "c"], GREEDY)] == ["a", "b", "c"]
        assert len(script.asked) == 4


def test_answers_of_another_process_are_seen_while_it_runs(tmp_path):
    access = replace(ALLOWED, record=tmp_path / "answers.jsonl")
    with scripted(lambda path, body: said()) as script:
        one, other = remote(script.address, access), remote(script.address, access)
        one.generate(["a"], GREEDY)
        other.generate(["a", "b"], GREEDY)
        one.generate(["b"], GREEDY)
        assert len(script.asked) == 2


# ---------------------------------------------------------------------------------------------- money


def test_it_stops_before_the_limit_and_what_was_answered_is_kept(tmp_path):
    access = RemoteAccess(
        True, 0.1, price_in=0.0, price_out=1000.0, record=tmp_path / "answers.jsonl", at_once=1, retries=0
    )
    # An answer may have 20 tokens (0.02) and has 10 (0.01): nine fit, the tenth could exceed 0.1.
    with scripted(lambda path, body: said(tokens=(5, 10))) as script:
        with pytest.raises(CostLimitError, match=r"0\.09 of at most 0\.1 is spent .* up to 0\.02.*Raise --max-cost"):
            remote(script.address, access).generate([f"text {i}" for i in range(30)], GREEDY)
        assert len(script.asked) == 9
        assert len(lines(access.record)) == 9
        model = remote(script.address, replace(access, max_cost=1.0))
        assert len(model.generate([f"text {i}" for i in range(30)], GREEDY)) == 30
        assert len(script.asked) == 30
        assert model.meter.spent.from_record == 9


def test_with_several_at_once_the_limit_holds_too():
    access = RemoteAccess(True, 0.1, price_in=0.0, price_out=1000.0, at_once=8, retries=0)
    with scripted(lambda path, body: said(tokens=(5, 20))) as script:
        model = remote(script.address, access)
        with pytest.raises(CostLimitError):
            model.generate([f"text {i}" for i in range(30)], GREEDY)
        assert len(script.asked) == 5
        assert model.meter.spent.money == pytest.approx(0.1)


def test_texts_with_more_tokens_than_foreseen_count_as_such():
    access = RemoteAccess(True, 0.01, price_in=100.0, price_out=0.0, at_once=1, retries=0)
    # Each costs 0.003, ten times what was foreseen of so short a text: after the first this is known.
    with scripted(lambda path, body: said(tokens=(30, 1))) as script:
        with pytest.raises(CostLimitError):
            remote(script.address, access).generate([f"t{i}" for i in range(10)], GREEDY)
        assert len(script.asked) == 3


def test_an_answer_that_is_broken_off_is_paid_and_not_kept(tmp_path):
    access = replace(ALLOWED, price_out=1000.0, record=tmp_path / "answers.jsonl")
    with serving(echo(Slow(0.02))) as address:
        model = remote(address, access)
        pieces = model.stream("one two three four five", GREEDY)
        next(pieces)
        pieces.close()
        assert model.meter.spent.money > 0
        assert [line["key"] for line in lines(access.record)] == [None]
        assert "".join(model.stream("one two three four five", GREEDY)) == "one two three four five"


# ---------------------------------------------------------------------------------------------- abilities


def test_abilities_and_length_are_asked_once_for_a_record(tmp_path):
    access = replace(ALLOWED, record=tmp_path / "answers.jsonl")
    with serving() as address:
        model = remote(address, access)
        assert model.abilities == {Ability.GENERATES}
        longest = model.longest
        assert longest == FakeGenerator.longest
        with pytest.raises(UnsupportedError, match="does not tell how likely"):
            model.score(["a"], ["b"])
    # The endpoint is gone, the record is there.
    again = remote(address, access)
    assert (again.abilities, again.longest) == ({Ability.GENERATES}, longest)


def test_an_endpoint_without_a_list_of_models_can_be_asked():
    with scripted(lambda path, body: failed(404) if path.endswith("/models") else said()) as script:
        model = remote(script.address)
        assert model.longest is None
        assert model.abilities == {Ability.GENERATES}


def tells_likelihoods(path, body):
    """Answer like vLLM, with a token for every word, of which the letters are its log-probability."""
    if path.endswith("/models"):
        return 200, {}, json.dumps({"data": [{"id": "echo", "max_model_len": 512}]})
    tokens = []
    for message in body["messages"]:
        tokens += [f"<{message['role']}>", *message["content"].split(), "<end>", "<line>"]
    if body.get("add_generation_prompt", True):
        tokens.append("<assistant>")
    elif body["continue_final_message"]:
        del tokens[-2:]
    told = [None, *({str(i): {"logprob": -len(token), "rank": 1}} for i, token in enumerate(tokens[1:]))]
    return said(tokens=(len(tokens), 1), prompt_logprobs=told)


def test_where_the_endpoint_tells_likelihoods_it_scores(tmp_path):
    access = replace(ALLOWED, record=tmp_path / "answers.jsonl")
    with scripted(tells_likelihoods) as script:
        model = remote(script.address, access)
        assert Ability.SCORES in model.abilities
        assert model.longest == 512
        scores = model.score(["how are you", "hello"], ["fine", "not so well"])
        np.testing.assert_array_equal(scores, [[-4, -9], [-4, -9]])
        # The answer with the token that ends it (<end>, 5 letters), without the line break behind.
        np.testing.assert_array_equal(model.likelihoods(["hello"], ["not so well"]), [[-14, 4]])
        asked = len(script.asked)
        assert remote(script.address, access).score(["hello"], ["fine"])[0, 0] == -4
        assert len(script.asked) == asked


# ---------------------------------------------------------------------------------------------- what goes wrong


def test_an_endpoint_that_is_down_is_said_in_plain_words():
    with pytest.raises(ModelError, match=r"127\.0\.0\.1:1/v1 cannot be reached \(.*[Rr]efused.*\)\. Start the server"):
        remote("http://127.0.0.1:1/v1").generate(["a"], GREEDY)


def test_a_slow_endpoint_runs_into_the_time_limit():
    with (
        scripted(lambda path, body: time.sleep(0.6) or said()) as script,
        pytest.raises(ModelError, match=r"did not answer within 0\.2 s"),
    ):
        remote(script.address, replace(ALLOWED, timeout_seconds=0.2)).generate(["a"], GREEDY)


def test_a_refused_key_names_the_variable_it_came_from_and_never_the_key(monkeypatch):
    monkeypatch.setenv("MY_KEY", "sk-secret")
    with scripted(lambda path, body: failed(401, "Incorrect API key provided")) as script:
        with pytest.raises(ModelError, match="refused the key in the environment variable MY_KEY") as error:
            remote(script.address, replace(ALLOWED, api_key_env="MY_KEY")).generate(["a"], GREEDY)
        assert "secret" not in str(error.value)
        with pytest.raises(ModelError, match="wants a key, and none was sent"):
            remote(script.address).generate(["a"], GREEDY)


def test_a_key_that_is_missing_is_said_before_anything_is_sent():
    access = RemoteAccess(True, 1.0, 0.0, 0.0)
    with pytest.raises(ModelError, match="environment variable OPENAI_API_KEY, which is not set"):
        open_backbone("openai:gpt-x", remote=access).generate(["a"], GREEDY)
    with scripted(lambda path, body: said()) as script:
        with pytest.raises(ModelError, match="environment variable NO_SUCH_KEY"):
            remote(script.address, replace(ALLOWED, api_key_env="NO_SUCH_KEY")).generate(["a"], GREEDY)
        assert not script.requests


def test_the_usual_key_goes_to_no_address_but_the_usual_one(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-usual")
    with scripted(lambda path, body: said()) as script:
        remote(script.address).generate(["a"], GREEDY)
        assert "sk-usual" not in script.requests[-1][1]["authorization"]
        monkeypatch.setenv("OPENAI_BASE_URL", script.address)
        open_backbone("openai:echo", remote=ALLOWED).generate(["a"], GREEDY)
        assert script.requests[-1][1]["authorization"] == "Bearer sk-usual"


def test_an_unknown_model_lists_those_that_are_there(endpoint):
    with pytest.raises(ModelError, match=r"no model 'ecko'\. Did you mean 'echo'\? It has: echo"):
        remote(endpoint, model="ecko").generate(["a"], GREEDY)


def test_a_request_that_comes_too_early_is_sent_again_when_the_endpoint_said():
    calls = []

    def reply(path, body):
        calls.append(time.monotonic())
        return failed(429, "slow down", {"Retry-After": "0.2"}) if len(calls) == 1 else said()

    with scripted(reply) as script:
        assert remote(script.address).generate(["a"], GREEDY)[0].text == "yes"
    assert calls[1] - calls[0] >= 0.2


def test_an_endpoint_that_lets_nothing_through_is_given_up():
    with scripted(lambda path, body: failed(429, "You exceeded your current quota")) as script:
        with pytest.raises(ModelError, match=r"lets no more requests through .* exceeded your current quota"):
            remote(script.address).generate(["a"], GREEDY)
        assert len(script.asked) == 1


def test_answers_are_said_to_be_kept_only_where_they_are(tmp_path):
    with scripted(lambda path, body: failed(401 if path.endswith("/models") else 429, "slow down")) as script:
        with pytest.raises(ModelError, match=r"slow down\. Wait") as without:
            remote(script.address).generate(["a"], GREEDY)
        with pytest.raises(ModelError, match="What was answered is kept"):
            remote(script.address, replace(ALLOWED, record=tmp_path / "answers.jsonl")).generate(["a"], GREEDY)
    assert "kept" not in str(without.value)


def test_a_failing_server_is_tried_again():
    replies = iter([failed(503), said()])
    with scripted(lambda path, body: next(replies)) as script:
        assert remote(script.address, replace(ALLOWED, retries=1)).generate(["a"], GREEDY)[0].text == "yes"


@pytest.mark.parametrize(
    "body", ["<html>Welcome to the proxy</html>", "{}", '{"choices": []}', '{"choices": [{"message": 3}]}', ""]
)
def test_what_is_no_answer_of_the_protocol_is_said_to_be_none(body):
    with (
        scripted(lambda path, _: (200, {}, body)) as script,
        pytest.raises(ModelError, match="did not answer as OpenAI's protocol says"),
    ):
        remote(script.address).generate(["a"], GREEDY)


def test_an_example_that_is_too_long_is_named(endpoint):
    with pytest.raises(DataError, match="Example 2: it is longer than echo takes in"):
        remote(endpoint).generate(["a", "word " * 20_000], GREEDY)


def test_an_answer_that_a_content_filter_withholds_is_empty_and_counted(tmp_path):
    access = replace(ALLOWED, record=tmp_path / "answers.jsonl")

    def reply(path, body):
        text = body["messages"][-1]["content"]
        if text == "asks":
            return failed(400, "The prompt was filtered", code="content_filter")
        return said("some of", "content_filter") if text == "gets" else said()

    with scripted(reply) as script:
        model = remote(script.address, access)
        found = model.generate(["asks", "gets", "neither"], GREEDY)
        assert [(answer.text, answer.stopped) for answer in found] == [("", False), ("some of", False), ("yes", True)]
        assert model.meter.spent.withheld == 2
        with pytest.raises(ModelError, match=r"content filter of 127\.0\.0\.1 withholds"):
            list(remote(script.address).stream("asks", GREEDY))


EVENT = b'data: {"choices": [{"index": 0, "delta": {"content": "so far"}, "finish_reason": null}]}\n\n'


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (EVENT, "cannot be reached|ended in the middle"),
        (EVENT + b"data: [DONE]\n\n", "ended in the middle"),
        (EVENT + b'data: {"error": {"message": "out of memory"}}\n\n', "ended an answer with an error: out of memory"),
        (EVENT + b"data: {oops\n\n", "did not answer as OpenAI's protocol says"),
        (EVENT + b'data: {"choices": [3]}\n\n', "did not answer as OpenAI's protocol says"),
    ],
)
def test_a_stream_that_breaks_keeps_what_came_and_says_so(sent, words):
    with scripted(lambda path, body: (200, {"Content-Type": "text/event-stream"}, sent)) as script:
        pieces = remote(script.address).stream("a", GREEDY)
        assert next(pieces) == "so far"
        with pytest.raises(ModelError, match=words):
            next(pieces)


def test_an_error_keeps_the_answers_that_came_before(tmp_path):
    access = replace(ALLOWED, record=tmp_path / "answers.jsonl", at_once=2)
    down = True

    def reply(path, body):
        return failed(500) if down and body["messages"][-1]["content"] == "text 6" else said()

    texts = [f"text {i}" for i in range(12)]
    with scripted(reply) as script:
        with pytest.raises(ModelError, match="What was answered is kept"):
            remote(script.address, access).generate(texts, GREEDY)
        kept = len(lines(access.record))
        assert 5 <= kept < 12
        down = False
        asked = len(script.asked)
        assert len(remote(script.address, access).generate(texts, GREEDY)) == 12
        assert len(script.asked) - asked == 12 - kept


def test_nothing_is_sent_until_something_is_asked(tmp_path):
    with scripted(lambda path, body: said()) as script:
        model = remote(script.address, replace(ALLOWED, record=tmp_path / "answers.jsonl"))
        assert model.prompt_tokens(["twelve chars", Conversation.asking("a", "b")]) == [7, 9]
        assert model.generate([], GREEDY) == []
        assert not script.requests
    assert not list(tmp_path.iterdir())
