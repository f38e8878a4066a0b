"""Endpoints that speak OpenAI's protocol, on this machine: nshot's own server, and one that misbehaves on demand."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import uvicorn

from nshot.backbones.fake import FakeGenerator
from nshot.bundle import LabelGiven
from nshot.core import Decoding, Example, Message, State
from nshot.serving.application import application
from nshot.serving.connections import BoundedHttp
from nshot.serving.limits import Limits
from nshot.serving.predicting import ServedPredictor
from nshot.serving.served import Served, served
from nshot.serving.service import Model
from nshot.training.writing import ModelWriter


def echo(
    model: FakeGenerator | None = None, *, name: str = "echo", before: tuple[Message, ...] = (), longest: int = 64
) -> Served:
    """Return a model that says what it is told."""
    return served(name, ModelWriter(model or FakeGenerator(), Decoding(longest), State(), before))


class Slow(FakeGenerator):
    """Waits before every word; counts the words that it has written."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.written = 0

    def stream(self, example: Example, decoding: Decoding, *, before: Sequence[Message] = ()) -> Any:
        """Yield the answer word by word, slowly."""
        for word in super().stream(example, decoding, before=before):
            time.sleep(self.seconds)
            self.written += 1
            yield word


@contextmanager
def serving(
    *models: Model,
    offered: dict[str, Model] | None = None,
    token: str | None = None,
    grow: Callable[[str, LabelGiven], ServedPredictor] | None = None,
    **limits: Any,
) -> Iterator[str]:
    """Serve models, or those that are offered by name, on a free port; yield the base address of the protocol."""
    by_name = offered or {model.name: model for model in models or (echo(),)}
    app = application(by_name, token=token, limits=Limits(**limits), grow=grow)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", http=BoundedHttp))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        finally:
            server.should_exit = True
            thread.join(timeout=10)


Reply = tuple[int, dict[str, str], str | bytes]
"""Status, headers, body."""


def said(text: str = "yes", finish_reason: str = "stop", tokens: tuple[int, int] = (10, 5), **more: Any) -> Reply:
    """Return a reply that answers."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish_reason}
    usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]}
    return 200, {}, json.dumps({"object": "chat.completion", "choices": [choice], "usage": usage, **more})


def failed(status: int, message: str = "no", headers: dict[str, str] | None = None, **error: Any) -> Reply:
    """Return a reply that is an error of the protocol's form."""
    return status, headers or {}, json.dumps({"error": {"message": message, **error}})


class Scripted:
    """What an endpoint was asked.

    Attributes:
        address: Base of its paths.
        requests: Path, headers and body of each request to it, in order.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.requests: list[tuple[str, dict[str, str], dict[str, Any]]] = []

    @property
    def asked(self) -> list[dict[str, Any]]:
        """Return the bodies of the requests for answers."""
        return [body for path, _, body in self.requests if path.endswith("/chat/completions")]


@contextmanager
def scripted(reply: Callable[[str, dict[str, Any]], Reply]) -> Iterator[Scripted]:
    """Serve what `reply` returns for path and body; a body in bytes is sent in chunks and broken off."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["content-length"]))
            self._answer(json.loads(data))

        def _answer(self, body: dict[str, Any]) -> None:
            script.requests.append((self.path, {key.lower(): value for key, value in self.headers.items()}, body))
            status, headers, content = reply(self.path, body)
            try:
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                if isinstance(content, bytes):
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))
                    self.wfile.flush()
                    self.close_connection = True
                    return
                data = content.encode()
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            except OSError:
                self.close_connection = True  # who asked has gone

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    script = Scripted(f"http://127.0.0.1:{server.server_address[1]}/v1")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield script
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)
