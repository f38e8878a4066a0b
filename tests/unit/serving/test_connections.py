"""Requests whose heads do not end."""

from __future__ import annotations

import socket
import time

import pytest

from endpoints import serving
from nshot.serving import connections

HEAD = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(scope="module")
def port():
    with serving() as address:
        yield int(address.removesuffix("/v1").rpartition(":")[2])


def answered(port: int, *parts: bytes) -> bytes:
    """Return everything that is answered to what is sent, until the connection is closed."""
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        found = b""
        try:
            for part in parts:
                connection.sendall(part)
            while piece := connection.recv(65_536):
                found += piece
        except ConnectionError:
            pass  # closed while there was more to send
    return found


@pytest.mark.parametrize("line", [b"X: " + b"a" * 30_000, b"X: a\r\n" * 5_000])
def test_a_head_that_does_not_end_is_cut_off(port, line):
    assert b"200 OK" not in answered(port, HEAD, *[line] * 40)
    assert b"200 OK" in answered(port, HEAD + b"X: " + b"a" * 20_000 + b"\r\nConnection: close\r\n\r\n")


def test_a_head_that_does_not_come_is_not_waited_for(port, monkeypatch):
    monkeypatch.setattr(connections, "_HEAD_SECONDS", 0.2)
    for begun in (b"", HEAD, HEAD + b"\r\n" + HEAD):
        began = time.monotonic()
        answered(port, begun)
        assert time.monotonic() - began < 2


def test_a_kept_connection_may_rest_between_requests(port, monkeypatch):
    monkeypatch.setattr(connections, "_HEAD_SECONDS", 0.2)
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        for _ in range(2):
            connection.sendall(HEAD + b"\r\n")
            found = b""
            while not found.endswith(b'{"status":"ok"}'):  # head and body may come in two pieces
                piece = connection.recv(65_536)
                assert piece
                found += piece
            assert found.startswith(b"HTTP/1.1 200")
            time.sleep(0.4)
