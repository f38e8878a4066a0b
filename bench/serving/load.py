"""A load generator in a process and on a core of its own: HTTP/1.1 over kept connections, by hand to cost little.

Reads one order per line of standard input, as JSON, and prints what it found as one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Any

DROPPED = 0
"""Stands for a status where the connection was closed without an answer."""


async def connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port)


async def asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> int:
    """Send one request, read its whole answer, return the status."""
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    await reader.readexactly(length)
    return int(head[9:12])


def requests_for(path: str, field: str, texts: list[str]) -> list[bytes]:
    """Return one request per text."""
    made = []
    for text in texts:
        body = json.dumps({field: text}).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        )
        made.append(head.encode() + b"\r\n\r\n" + body)
    return made


async def closed_loop(port: int, requests: list[bytes], clients: int, seconds: float) -> list[tuple[float, int]]:
    """Return seconds and status of every request of clients that each ask again as soon as they are answered."""
    found: list[tuple[float, int]] = []
    end = time.perf_counter() + seconds

    async def client(number: int) -> None:
        reader, writer = await connected(port)
        position = number * 37
        while time.perf_counter() < end:
            began = time.perf_counter()
            status = await asked(reader, writer, requests[position % len(requests)])
            found.append((time.perf_counter() - began, status))
            position += 1
        writer.close()

    await asyncio.gather(*(client(number) for number in range(clients)))
    return found


async def open_loop(port: int, requests: list[bytes], rate: float, seconds: float) -> list[tuple[float, int]]:
    """Return seconds and status of requests that come at a rate, whatever becomes of those before.

    A request's time runs from when it was due, so that a server that falls behind is not flattered.
    """
    found: list[tuple[float, int]] = []
    free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def one(position: int, due: float) -> None:
        try:
            connection = free.pop() if free else await connected(port)
            status = await asked(*connection, requests[position % len(requests)])
        except (OSError, asyncio.IncompleteReadError):
            status = DROPPED
        else:
            free.append(connection)
        found.append((time.perf_counter() - due, status))

    began = time.perf_counter()
    under_way = set()
    for position in range(round(rate * seconds)):
        due = began + position / rate
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        task = asyncio.create_task(one(position, due))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
    await asyncio.gather(*under_way)
    for _, writer in free:
        writer.close()
    return found


def figures(found: list[tuple[float, int]], seconds: float) -> dict[str, Any]:
    times = sorted(took for took, _ in found)
    return {
        "per_second": len(found) / seconds,
        "p50_ms": 1000 * times[len(times) // 2],
        "p99_ms": 1000 * times[int(0.99 * len(times))],
        "errors": sum(status != 200 for _, status in found),
        "requests": len(found),
    }


def main() -> None:
    os.sched_setaffinity(0, {int(sys.argv[1])})
    for line in sys.stdin:
        order = json.loads(line)
        requests = requests_for(order["path"], order["field"], order["texts"])
        began = time.perf_counter()
        if "clients" in order:
            work = closed_loop(order["port"], requests, order["clients"], order["seconds"])
        else:
            work = open_loop(order["port"], requests, order["rate"], order["seconds"])
        found = asyncio.run(work)
        print(json.dumps(figures(found, time.perf_counter() - began)), flush=True)


if __name__ == "__main__":
    main()
