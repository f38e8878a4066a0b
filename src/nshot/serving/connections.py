"""Connections whose requests begin within bounds: how long a head is and takes, uvicorn leaves to a proxy."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_MOST_HEAD_BYTES = 65_536
"""Several times what browsers and proxies send."""
_HEAD_SECONDS = 30.0


class BoundedHttp(HttpToolsProtocol):
    """Gives up a connection on which the head of a request grows too long, or does not come to its end.

    Bodies are bounded where they are read: their length by the middleware, their time by the deadline.
    """

    _head_bytes = 0
    _patience: asyncio.TimerHandle | None = None  # None: a body comes, or nothing

    def connection_made(self, transport: Any) -> None:
        """Wait for the first head."""
        super().connection_made(transport)
        self._begin_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._end_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take in what comes."""
        super().data_received(data)
        if self._patience is None:
            return
        self._head_bytes += len(data)
        if self._head_bytes > _MOST_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The head of the request is too long.")

    def on_message_begin(self) -> None:
        """Note that a head begins."""
        super().on_message_begin()
        if self._patience is None:
            self._begin_head()

    def on_headers_complete(self) -> None:
        """Note that a head has come to its end."""
        self._end_head()
        super().on_headers_complete()

    def _begin_head(self) -> None:
        self._head_bytes = 0
        self._patience = self.loop.call_later(_HEAD_SECONDS, self.transport.close)

    def _end_head(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
