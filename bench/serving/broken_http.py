"""Connections that break the rules of HTTP, or stop half-way: the server goes on, and answers others meanwhile.

    python bench/serving/broken_http.py [--rounds 40] [--deadline 2]

A server in a process of its own, with a model of texts, is sent every case of `CASES` over real sockets, some of them
many times at once. After each round it has to answer a good request as before; at the end its memory is held against
that after the first rounds. A status of 500 or above counts as wrong, 504 for a body that does not come aside.
"""

from __future__ import annotations

import argparse
import gzip
import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from common import resident_bytes

from nshot import api

WARM_UP_ROUNDS = 8
GOOD = json.dumps({"inputs": "where is my parcel"}).encode()
HEAD = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
CHAT = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def sized(body: bytes, more: bytes = b"", head: bytes = HEAD) -> bytes:
    """Return a request with this body and the right length."""
    return head + more + b"Content-Length: %d\r\n\r\n" % len(body) + body


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    """Return a request whose body comes in chunks."""
    return HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in chunks) + end


CASES: dict[str, bytes] = {
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
    "no version": b"GET /\r\n\r\n",
    "unknown version": b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "two hosts": b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
    "no host": b"GET /health HTTP/1.1\r\n\r\n",
    "a line that is no header": b"GET /health HTTP/1.1\r\nHost: localhost\r\nnonsense\r\n\r\n",
    "NUL in a header": b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n",
    "huge header": b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 1_000_000 + b"\r\n\r\n",
    "many headers": b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + b"X: a\r\n" * 50_000 + b"\r\n",
    "long path": b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "way out of the folder": b"GET /../../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "escaped way out": b"GET /v1/models/%2e%2e%2f%2e%2e%2fetc/passwd%00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "upgrade": b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    "length too long": HEAD + b"Content-Length: 500\r\n\r\n" + GOOD,
    "length too short": HEAD + b"Content-Length: 5\r\n\r\n" + GOOD,
    "negative length": HEAD + b"Content-Length: -1\r\n\r\n" + GOOD,
    "length of many digits": HEAD + b"Content-Length: " + b"9" * 4000 + b"\r\n\r\n" + GOOD,
    "two lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 34\r\n\r\n" + GOOD,
    "length and chunks": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks": chunked(GOOD[:5], GOOD[5:]),
    "chunks without end": chunked(GOOD, end=b""),
    "chunk of no size": chunked(end=b"zz\r\n\r\n"),
    "chunk of huge size": chunked(end=b"fffffffffffffffff\r\n"),
    "chunks beyond the limit": chunked(*[b"x" * 65_536] * 40),
    "gzip": sized(gzip.compress(GOOD), b"Content-Encoding: gzip\r\n"),
    "gzip bomb": sized(gzip.compress(bytes(100_000_000)), b"Content-Encoding: gzip\r\n"),
    "body beyond the limit": sized(b"x" * 1_500_000),
    "waits to be asked on": HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(GOOD),
    "nothing": b"",
    "half a head": HEAD,
    "nested": sized(b'{"inputs": ' + b"[" * 400_000),
    "nested objects": sized(b'{"inputs": ' + b'{"a": ' * 100_000),
    "no UTF-8": sized(b'{"inputs": "\xff\xfe"}'),
    "half a surrogate": sized(b'{"inputs": "\\ud800"}'),
    "half a surrogate as a name": sized(b'{"model": "\\ud800", "inputs": "a"}'),
    "NaN": sized(b'{"inputs": [NaN, Infinity, -Infinity]}'),
    "the same key twice": sized(b'{"inputs": "a", "inputs": ["b", "c"]}'),
    "number of many digits": sized(b'{"inputs": "a", "top": ' + b"9" * 100_000 + b"}"),
    "UTF-16": sized('{"inputs": "a"}'.encode("utf-16")),
    "two requests at once": sized(GOOD) * 2,
    "conversation: nested": sized(b'{"model": "m", "messages": ' + b"[" * 400_000, head=CHAT),
    "conversation: half a surrogate": sized(
        b'{"model": "\\ud800", "messages": [{"role": "user", "content": "\\udfff"}]}', head=CHAT
    ),
    "conversation: chunks without end": CHAT + b'Transfer-Encoding: chunked\r\n\r\n5\r\n{"mod\r\n',
    "conversation: NaN": sized(
        b'{"model": "m", "temperature": NaN, "messages": [{"role": "user", "content": "a"}]}', head=CHAT
    ),
}
STALLED = ("chunks without end", "length too long", "half a head", "nothing", "conversation: chunks without end")
"""They keep a connection open; many of them at once must not keep others from being answered."""


def status_of(port: int, request: bytes, patience_seconds: float) -> str:
    """Return the status that a request is answered with, or what became of the connection."""
    with socket.create_connection(("127.0.0.1", port), patience_seconds) as connection:
        with suppress(OSError):  # it was closed before all was sent; an answer may lie there
            connection.sendall(request)
        try:
            answer = connection.recv(65_536)
        except TimeoutError:
            return "waits"
        except OSError:
            return "reset"
    return answer[9:12].decode("latin-1") if answer.startswith(b"HTTP/1.1 ") else "closed" if not answer else "no HTTP"


def answers(port: int) -> float:
    """Return how many seconds a good request takes.

    Raises:
        OSError: It is not answered.
    """
    began = time.monotonic()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/predict", GOOD, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert json.load(answer)["predictions"][0]["label"] == "parcel"
    return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--deadline", type=float, default=2.0)
    asked = parser.parse_args()
    texts = [f"{word} number {i}" for i in range(12) for word in ("parcel", "refund")]
    counts: dict[str, Counter[str]] = {name: Counter() for name in CASES}
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "tickets"
        api.fit((texts, [text.split()[0] for text in texts]), method="tfidf_linear").save(model)
        command = [sys.executable, "-m", "nshot.cli", "serve", str(model), "--port", "0", "--json"]
        with subprocess.Popen(
            [*command, "--deadline", str(asked.deadline)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as server:
            assert server.stdout and server.stderr
            shown = ""
            while not shown.rstrip().endswith("}"):
                shown += server.stdout.readline()
            port = int(json.loads(shown)["address"].removesuffix("/v1").rpartition(":")[2])
            slowest, before = 0.0, 0
            for number in range(asked.rounds):
                if number == WARM_UP_ROUNDS:
                    before = resident_bytes(server.pid)
                for name, request in CASES.items():
                    counts[name][status_of(port, request, 0.2)] += 1
                with ThreadPoolExecutor(32) as pool:
                    stalled = [request for name in STALLED for request in [CASES[name]] * 20]
                    waiting = [pool.submit(status_of, port, request, 1.0) for request in stalled]
                    slowest = max(slowest, answers(port))
                    for each in waiting:
                        each.result()
            grown = resident_bytes(server.pid) / before - 1 if before else 0.0
            answer = status_of(port, CASES["length too long"], asked.deadline + 5)
            server.terminate()
            said = server.stderr.read()
    for name, found in counts.items():
        print(f"{name:35} {dict(found)}")
    wrong = [name for name, found in counts.items() if any(each >= "500" and each.isdigit() for each in found)]
    print(f"a body that does not come: {answer}; slowest good request meanwhile {slowest:.2f} s; memory {grown:+.1%}")
    print(f"wrong: {wrong}; ended with {server.returncode}; traceback: {'Traceback' in said}")
    sys.exit(bool(wrong) or server.returncode != 0 or "Traceback" in said)


if __name__ == "__main__":
    main()
