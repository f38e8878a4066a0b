"""What stands before every route: who may ask, and how much may be sent."""

from __future__ import annotations

import hmac
from collections import Counter
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nshot.core import is_loopback
from nshot.serving import problems
from nshot.serving.log import log_without_texts

_PAGE = frozenset({"/", "/page.js", "/page.css"})
_OPEN_PATHS = _PAGE | {"/health", "/ready"}
"""Asked by programs that watch the server, and by browsers, which ask for a token later; tell nothing about a model."""
_ASKED_PATHS = {"/v1/predict", "/v1/labels", "/v1/chat/completions", "/v1/models"}
_COUNTED_PATHS = _OPEN_PATHS | _ASKED_PATHS | {"/metrics", "/openapi.json"}


@dataclass(frozen=True)
class AccessMiddleware:
    """An application that is reached only by what may ask.

    Without a token only this machine asks, and only under its own name: a page that a browser shows could otherwise
    point a name of its own at the server and read its answers (DNS rebinding).

    Attributes:
        app: The application.
        token: What a request has to carry (``Authorization: Bearer ...``); None: nothing.
        most_bytes: The longest body of a request.
        requests: Counts them by path and status.
    """

    app: ASGIApp
    token: str | None
    most_bytes: int
    requests: Counter[tuple[str, ...]]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass; answer the rest."""
        if scope["type"] != "http":
            # There are no websockets; the start and the end of the application pass.
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        path = scope["path"]

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.requests[path if path in _COUNTED_PATHS else "other", str(message["status"])] += 1
            await send(message)

        refused = self._refused(path, Headers(scope=scope))
        if refused is not None:
            await refused(scope, receive, noted)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.most_bytes:
                raise HTTPException(413, self._too_large())
            return message

        try:
            await self.app(scope, counted, noted)
        except ClientDisconnect:
            return
        except Exception as error:  # answered already; the server's own log would hold its message
            log_without_texts(error)

    def _refused(self, path: str, headers: Headers) -> ASGIApp | None:
        """Return the answer to what may not pass, or None."""
        if self.token is None and not is_loopback(_host(headers.get("host", ""))):
            return problems.response(403, "This server answers on its own machine only, under the name localhost.")
        if self.token is not None and path not in _OPEN_PATHS:
            given = headers.get("authorization", "")
            if not hmac.compare_digest(given.encode(), f"Bearer {self.token}".encode()):
                return problems.response(
                    401,
                    "A token is needed: Authorization: Bearer TOKEN.",
                    code="invalid_api_key",
                    headers={"WWW-Authenticate": "Bearer"},
                )
        told = headers.get("content-length", "0")
        if not told.isdecimal() or int(told) > self.most_bytes:
            return problems.response(413, self._too_large())
        return None

    def _too_large(self) -> str:
        return f"The request is too large. At most {self.most_bytes:,} bytes are taken."


def _host(header: str) -> str:
    """Return the name in a ``Host`` header, without its port."""
    return header.partition("]")[0].removeprefix("[") if header.startswith("[") else header.partition(":")[0]
