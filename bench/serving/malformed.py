"""Malformed requests, many of them: no status of 500 or above, and no exception that gets out.

    python bench/serving/malformed.py [--requests 10000] [--seed 0]

Half of them are made by schemathesis out of the server's own description of its interface, half by hand: bytes and
fields of good requests replaced by odd ones. All are handed to the application in this process, without a socket; what
is no HTTP at all is in broken_http.py.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from nshot import api
from nshot.backbones import open_backbone
from nshot.backbones.fake import FakeGenerator
from nshot.core import Decoding, State
from nshot.serving.application import application
from nshot.serving.middleware import AccessMiddleware
from nshot.serving.predicting import open_saved
from nshot.serving.served import served
from nshot.serving.sharing import SharedBackbones
from nshot.training.writing import ModelWriter

ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 1e308, -1e308, 10**400, "", " ", "\u0000", "\ud83d\ude00" * 50, "\u202eabc",
    "x" * 5000, "../../etc/passwd", "=1+1", "NaN", "2024-02-30", [], {}, [[]], [{}], {"": ""}, ["a"] * 2000,
    {"heat": {}}, {"heat": "NaN", "site": None}, {"heat": "1e999", "site": True}, [1, "a"], [None], {"messages": [{}]},
)  # fmt: skip
GOOD: tuple[dict[str, Any], ...] = (
    {"model": "tickets", "inputs": ["where is my parcel", "refund"], "probabilities": True, "top": 1},
    {"model": "prices", "inputs": [{"heat": 61.5, "site": "north"}, {"heat": None, "site": "south"}]},
    {"model": "tickets", "inputs": "parcel"},
)
"""Of requests for predictions."""
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
GOOD_CHATS: tuple[dict[str, Any], ...] = (
    {"model": "echo", "messages": [{"role": "user", "content": "where is my parcel"}], "max_tokens": 8, "stop": ["x"]},
    {"model": "echo", "messages": [{"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
                                   {"role": "user", "content": "refund"}],
     "stream": True, "stream_options": {"include_usage": True}, "temperature": 0.5, "top_p": 0.9, "seed": 1},
    {"model": "echo", "messages": [{"role": "user", "content": "Rain?"},
                                   {"role": "assistant", "content": None, "tool_calls": [CALL]},
                                   {"role": "tool", "tool_call_id": "c1", "content": "yes", "name": "weather"}],
     "tools": [{"type": "function", "function": {"name": "weather", "parameters": {}}}], "metadata": {"a": [1]}},
)  # fmt: skip
"""Of requests for answers to conversations."""
PATHS = (
    "/v1/predict",
    "/v1/chat/completions",
    "/v1/models",
    "/v1/models/tickets",
    "/health",
    "/ready",
    "/metrics",
    "/",
)


def models(folder: Path) -> AccessMiddleware:
    """Return the application with a model of texts, one of rows, and one that says what it is told."""
    texts = [f"{word} number {i}" for i in range(12) for word in ("parcel", "refund")]
    api.fit((texts, [text.split()[0] for text in texts]), method="tfidf_linear").save(folder / "tickets")
    rows = [{"heat": 50.0 + i % 17, "site": ("north", "south")[i % 2], "cost": 3.0 * (i % 17)} for i in range(60)]
    api.fit(rows, task="regress", label="cost", method="linear_probe", out=folder / "prices")
    shared = SharedBackbones(open_backbone)
    echo = served("echo", ModelWriter(FakeGenerator(), Decoding(64), State()))
    return application(
        {name: open_saved(name, folder / name, shared) for name in ("tickets", "prices")} | {"echo": echo}
    )


def replaced(value: Any, source: random.Random) -> Any:
    """Return a value with one odd thing somewhere in it."""
    if isinstance(value, dict) and value and source.random() < 0.8:
        key = source.choice(list(value))
        if source.random() < 0.1:
            return {
                **{k: v for k, v in value.items() if k != key},
                source.choice(["", key + "s", "\u0000"]): value[key],
            }
        return {**value, key: replaced(value[key], source)}
    if isinstance(value, list) and value and source.random() < 0.8:
        at = source.randrange(len(value))
        return [*value[:at], replaced(value[at], source), *value[at + 1 :]]
    return source.choice(ODD)


def damaged(body: bytes, source: random.Random) -> bytes:
    """Return bytes with a few changed, cut off, or repeated."""
    kind = source.randrange(4)
    at = source.randrange(len(body))
    if kind == 0:
        return body[:at]
    if kind == 1:
        return body[:at] + bytes([source.randrange(256)]) + body[at + 1 :]
    if kind == 2:
        return body[:at] + source.choice([b"[" * 5000, b'{"a":' * 2000, b"\xff\xfe", b"\\ud800", b"1e999"]) + body[at:]
    return body * source.randrange(2, 5)


def by_hand(source: random.Random) -> tuple[str, str, list[tuple[bytes, bytes]], bytes]:
    """Return method, path, headers and body of a malformed request."""
    usual, good = source.choice((("/v1/predict", GOOD), ("/v1/chat/completions", GOOD_CHATS)))
    body = json.dumps(replaced(source.choice(good), source)).encode()
    if source.random() < 0.4:
        body = damaged(body, source)
    kinds = [b"text/plain", b"", b"\xff", b"application/json; charset=x", b"multipart/form-data"]
    odd_headers = [
        (b"content-type", source.choice(kinds)),
        (b"content-length", source.choice([b"-1", b"9" * 30, b"x", b"\xb2"])),
        (b"host", source.choice([b"evil.example", b"", b"[::1", b"localhost:x"])),
        (b"authorization", b"Bearer \xff"),
    ]
    headers = {b"host": b"localhost", b"content-type": b"application/json"}
    if source.random() < 0.15:
        headers |= dict([source.choice(odd_headers)])
    method = source.choice(["POST"] * 20 + ["GET", "PUT", "DELETE", "OPTIONS", "\u00c4"])
    path = source.choice([usual] * 40 + [*PATHS, "/v1/models/../../etc/passwd", "/\u0000", "//v1//predict"])
    return method, path, list(headers.items()), body


async def sent(app: AccessMiddleware, method: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes) -> int:
    """Return the status of the answer to a request."""
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": headers,
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
    }  # fmt: skip
    statuses: list[int] = []
    parts = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> dict[str, Any]:
        return next(parts, None) or await asyncio.Future()  # whoever asked does not go away

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await app(scope, receive, send)
    return statuses[0] if statuses else 0


def made_by_hand(app: AccessMiddleware, wanted: int, seed: int) -> tuple[Counter[int], list[str]]:
    """Return the statuses of so many malformed requests, and those that should not be."""
    source = random.Random(seed)
    counts: Counter[int] = Counter()
    wrong: list[str] = []

    async def all_of_them() -> None:
        for _ in range(wanted):
            request = by_hand(source)
            status = await sent(app, *request)
            counts[status] += 1
            if not 200 <= status < 500:
                wrong.append(f"{status}: {request!r:.600}")

    asyncio.run(all_of_them())
    return counts, wrong


def made_by_schemathesis(app: AccessMiddleware, wanted: int, seed: int) -> tuple[Counter[int], list[str]]:
    """Return the same of requests that schemathesis makes out of the description of the interface."""
    import schemathesis
    from schemathesis import GenerationMode

    assert isinstance(app.app, FastAPI)
    operations = [found.ok() for found in schemathesis.openapi.from_dict(app.app.openapi()).get_all_operations()]
    # Where nothing is sent there is nothing to get wrong.
    asking = [each for each in operations if each.method.upper() == "POST" or "{" in each.path]
    counts: Counter[int] = Counter()
    wrong: list[str] = []
    loop = asyncio.new_event_loop()

    def status(case: Any) -> None:
        body = case.body
        if isinstance(body, dict) and sum(counts.values()) % 2:  # a name that is no model's goes no further
            body = {**body, "model": "echo" if "chat" in case.path else "tickets"}
        body = body if isinstance(body, bytes) else json.dumps(body, default=str).encode()
        headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
        found = loop.run_until_complete(sent(app, case.method.upper(), case.formatted_path, headers, body))
        counts[found] += 1
        if not 200 <= found < 500:
            wrong.append(f"{found}: {case!r:.600}")

    for operation in asking:
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            _try(status, operation.as_strategy(generation_mode=mode), wanted // (2 * len(asking)), seed)
    loop.close()
    return counts, wrong


def _try(asks: Callable[[Any], None], cases: Any, wanted: int, seed: int) -> None:
    import hypothesis

    unchecked = list(hypothesis.HealthCheck)

    @hypothesis.seed(seed)
    @hypothesis.settings(max_examples=wanted, deadline=None, database=None, suppress_health_check=unchecked)
    @hypothesis.given(cases)
    def asks_each(case: Any) -> None:
        asks(case)

    try:
        asks_each()
    except hypothesis.errors.Unsatisfiable:
        print(f"schemathesis makes no such case: {cases!r:.200}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    from common import resident_bytes

    ways: tuple[Callable[..., tuple[Counter[int], list[str]]], ...] = (made_by_hand, made_by_schemathesis)
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        for way in ways:
            app, other = (models(Path(folder) / way.__name__ / name) for name in ("app", "other"))
            way(other, 200, asked.seed + 1)  # what is loaded at first use is no growth
            before = resident_bytes(os.getpid())
            counts, wrong = way(app, asked.requests // len(ways), asked.seed)
            grown = resident_bytes(os.getpid()) / before - 1
            print(
                way.__name__,
                dict(sorted(counts.items())),
                f"{len(wrong)} wrong, memory {grown:+.1%}, what makes the requests included",
            )
            print("\n".join(wrong[:10]))
            failed |= bool(wrong)
    sys.exit(failed)


if __name__ == "__main__":
    main()
