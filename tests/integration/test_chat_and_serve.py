"""Talking to a model and serving one, as a user types it; the models are on this machine."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
import urllib.request

import openai
import pytest

from endpoints import Slow, echo, serving
from integration.calling import nshot, succeeded
from nshot import api

NSHOT = [sys.executable, "-m", "nshot.cli"]


@pytest.fixture(scope="module")
def address():
    with serving(echo()) as found:
        yield found


def remote(address):
    return f"openai:echo@{address}", "--allow-remote"


# ---------------------------------------------------------------------------------------------- a pipe


def test_lines_of_a_pipe_are_answered_one_by_one(address):
    called = succeeded("chat", *remote(address), stdin="capital of France\n\ncapital of Spain\n")
    # The echo answers the second question like the one before that is most like it.
    assert called.out == "capital of France\ncapital of France\n"


def test_reset_and_exit_hold_in_a_pipe_too(address):
    asked = "one two three\none two\n/reset\none two\n/exit\nnever asked\n"
    assert succeeded("chat", *remote(address), stdin=asked).out.splitlines() == ["one two three"] * 2 + ["one two"]


def test_bytes_that_are_no_text_are_asked_as_well_as_they_can_be(address):
    assert succeeded("chat", *remote(address), stdin=b"caf\xe9 au lait\n").out.endswith("au lait\n")


def test_an_error_ends_a_pipe_with_its_exit_code():
    called = nshot("chat", "openai:m@http://127.0.0.1:1/v1", "--allow-remote", stdin="hello\n")
    assert called.code == 3
    assert "cannot be reached" in called.err
    assert "Traceback" not in called.err


def test_a_pre_trained_model_is_talked_to_as_it_is(shared_models):
    model = shared_models / "stories260K"
    called = succeeded("chat", model, "--max-tokens", "12", "--precision", "fp32", stdin="Once upon a time\n")
    again = succeeded("chat", model, "--max-tokens", "12", "--precision", "fp32", stdin="Once upon a time\n")
    assert called.out.strip()
    assert called.out == again.out


# ---------------------------------------------------------------------------------------------- a terminal


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, *arguments: str) -> None:
        self._master, slave = pty.openpty()
        environment = {**os.environ, "TERM": "dumb"}
        self.process = subprocess.Popen(
            [*NSHOT, *arguments], stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True
        )
        os.close(slave)
        self.shown = ""
        self._seen = 0

    def until(self, words: str, seconds: float = 60) -> str:
        """Return what is shown, from where the last call ended up to these words."""
        end = time.monotonic() + seconds
        while (place := self.shown.find(words, self._seen)) < 0:
            left = end - time.monotonic()
            ready, _, _ = select.select([self._master], [], [], max(0.0, left))
            assert ready, f"{words!r} was not shown: {self.shown!r}"
            try:
                data = os.read(self._master, 4096)
            except OSError:
                data = b""
            assert data, f"it ended before {words!r}: {self.shown!r}"
            self.shown += data.decode(errors="replace")
        begun, self._seen = self._seen, place + len(words)
        return self.shown[begun : self._seen]

    def types(self, text: str) -> None:
        os.write(self._master, text.encode())

    def interrupts(self) -> None:
        os.kill(self.process.pid, signal.SIGINT)

    def interrupts_until(self, words: str, attempts: int = 20) -> None:
        """Press Ctrl-C until these words are shown.

        A signal that comes after readline has shown its prompt and before it waits for keys is noticed at the next key
        only, so that one alone may be lost.
        """
        for _ in range(attempts):
            self.interrupts()
            try:
                self.until(words, seconds=3)
            except AssertionError:
                continue
            return
        raise AssertionError(f"{words!r} was not shown: {self.shown!r}")

    def ends(self) -> int:
        return self.process.wait(timeout=30)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)


def test_on_a_terminal_ctrl_c_stops_the_answer_and_the_session_goes_on():
    model = Slow(0.05)
    with (
        serving(echo(model, longest=400)) as address,
        Terminal("chat", *remote(address), "--max-tokens", "400") as terminal,
    ):
        terminal.until("Talking to echo")
        terminal.until("> ")
        terminal.types("word " * 100 + "\n")
        terminal.until("word \r\nword word")
        terminal.interrupts()
        terminal.until("(stopped)")
        terminal.until("> ")
        assert model.written < 60
        terminal.interrupts_until("(Ctrl-D or /exit ends)")
        terminal.until("> ")
        terminal.types("/reset\n")
        terminal.until("Forgotten.")
        terminal.until("> ")
        terminal.types("still here\n")
        terminal.until("\nstill here")
        terminal.until("> ")
        terminal.types("\x04")
        assert terminal.ends() == 0


# ---------------------------------------------------------------------------------------------- a server


def test_a_served_model_answers_and_ctrl_c_ends_it_cleanly(shared_models, monkeypatch):
    monkeypatch.setenv("TEST_TOKEN", "a-token-of-some-length")
    model = f"stories={shared_models / 'stories260K'}"
    arguments = ["serve", model, "--port", "0", "--json", "--token-env", "TEST_TOKEN"]
    with subprocess.Popen([*NSHOT, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        shown = ""
        while not shown.rstrip().endswith("}"):
            line = process.stdout.readline()
            assert line, process.stderr.read()
            shown += line
        found = json.loads(shown)
        assert found["model"] == "stories"
        with openai.OpenAI(base_url=found["address"], api_key="a-token-of-some-length", max_retries=0) as client:
            asked = {"model": "stories", "messages": [{"role": "user", "content": "Once upon a time"}], "max_tokens": 8}
            whole = client.chat.completions.create(**asked)
            chunks = list(client.chat.completions.create(**asked, stream=True))
        text = whole.choices[0].message.content
        assert text
        assert whole.usage.completion_tokens == 8
        assert whole.choices[0].finish_reason == "length"
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == text
        with urllib.request.urlopen(found["address"].removesuffix("/v1") + "/health") as health:
            assert json.load(health) == {"status": "ok"}
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
        assert process.stdout.read() == ""
        assert "Traceback" not in process.stderr.read()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["x", "--host", "0.0.0.0"], 2, "a token is needed"),
        (["x", "--token-env", "NO_SUCH_TOKEN"], 2, "NO_SUCH_TOKEN is not set"),
        (["openai:m"], 2, "behind an address already"),
        (["./no_such_folder"], 3, "no_such_folder"),
        (["x", "--port", "99999"], 2, "port"),
    ],
)
def test_what_cannot_be_served_is_said(arguments, code, words):
    called = nshot("serve", *arguments)
    assert called.code == code
    assert words in called.err
    assert "Traceback" not in called.err


def test_a_port_that_is_taken_is_said(address, shared_models):
    port = address.removesuffix("/v1").rpartition(":")[2]
    called = nshot("serve", shared_models / "stories260K", "--port", port)
    assert called.code == 3
    assert f"Cannot listen at 127.0.0.1, port {port}" in called.err


def test_a_token_that_can_be_guessed_is_refused(monkeypatch):
    monkeypatch.setenv("TEST_TOKEN", "short")
    assert "needs at least 16" in nshot("serve", "x", "--token-env", "TEST_TOKEN").err


def test_without_the_packages_it_says_what_to_install(monkeypatch):
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name in {"fastapi", "openai"} else found(name, *more)
    )
    called = nshot("serve", "x")
    assert (called.code, "pip install 'nshot[serve]'" in called.err) == (3, True)
    called = nshot("chat", "openai:m@http://127.0.0.1:1/v1", "--allow-remote", stdin="")
    assert (called.code, "pip install 'nshot[remote]'" in called.err) == (3, True)


def test_several_models_are_served_and_a_signal_brings_in_the_next_version(tmp_path):
    texts = [f"{word} number {i}" for i in range(12) for word in ("parcel", "refund")]
    labels = [text.split()[0] for text in texts]
    api.fit((texts, labels), method="tfidf_linear").save(tmp_path / "tickets")
    api.fit((texts, labels), method="majority").save(tmp_path / "plain")
    arguments = ["serve", str(tmp_path / "tickets"), f"usual={tmp_path / 'plain'}", "--port", "0", "--json"]
    with subprocess.Popen([*NSHOT, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        shown = ""
        while not shown.rstrip().endswith("}"):
            line = process.stdout.readline()
            assert line, process.stderr.read()
            shown += line
        found = json.loads(shown)
        assert found["models"] == ["tickets", "usual"]

        def label(model: str) -> str:
            body = json.dumps({"model": model, "inputs": "parcel please"}).encode()
            asked = urllib.request.Request(f"{found['address']}/predict", body, {"Content-Type": "application/json"})
            with urllib.request.urlopen(asked) as answer:
                return json.load(answer)["predictions"][0]["label"]

        assert label("tickets") == "parcel"
        api.fit((texts, [name.upper() for name in labels]), method="tfidf_linear").save(tmp_path / "tickets")
        (tmp_path / "plain" / "settings.json").write_text("damaged")
        process.send_signal(signal.SIGHUP)
        end = time.monotonic() + 20
        while label("tickets") != "PARCEL":
            assert time.monotonic() < end
            time.sleep(0.1)
        before = label("usual")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
        said = process.stderr.read()
        assert before in {"parcel", "refund"}
        assert "usual: the new version is refused, the one before goes on" in said
        assert "Traceback" not in said


def test_two_models_of_one_name_are_refused(tmp_path):
    api.fit((["a", "b"] * 8, ["x", "y"] * 8), method="majority").save(tmp_path / "one")
    called = nshot("serve", tmp_path / "one", tmp_path / "one")
    assert (called.code, "Two models are called 'one'" in called.err) == (2, True)
