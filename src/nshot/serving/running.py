"""Runs the application until it is stopped."""

from __future__ import annotations

import importlib.util
import signal
import socket
import sys
from collections.abc import Callable, Sequence

from nshot.core import EnvironmentProblem, MissingExtraError, OptionError, is_loopback
from nshot.serving.limits import Limits
from nshot.serving.offers import Offer, OpenOffers

_PATIENCE_SECONDS = 30
"""How long a server that is stopped waits for the answers that are being written."""
_KEPT_SECONDS = 75
"""How long a connection is kept without a request: longer than most proxies and clients keep theirs, which is 60 s. One
that the server closes first may be closed just when the next request is sent."""
_SHORTEST_TOKEN = 16


def serve(
    offers: Sequence[Offer],
    *,
    host: str,
    port: int,
    token: str | None,
    limits: Limits,
    announce: Callable[[str], None],
    log_requests: bool,
) -> None:
    """Offer models until the process is stopped (Ctrl-C, or a plain kill); what is being answered is finished.

    At the signal SIGHUP the models are opened again; those that cannot be are answered by the version before.

    Args:
        offers: The models, with different names.
        host: Name or number of the address to listen at.
        port: 0: any that is free.
        token: What requests have to carry; None: nothing, which is possible on this machine only.
        limits: What a request may ask for.
        announce: Told the address as soon as it is listened at.
        log_requests: Log a line for every request: who, what path, what status; never a text.

    Raises:
        NshotError: As `require_possible`, or a model cannot be opened.
        EnvironmentProblem: The address cannot be listened at.
    """
    require_possible(host, token)
    import uvicorn

    from nshot.serving.application import application
    from nshot.serving.connections import BoundedHttp
    from nshot.serving.counters import Counters

    counters = Counters()
    opened = OpenOffers(offers, counters.reloads)
    grow = opened.grow if opened.may_grow else None
    app = application(opened.models, token=token, limits=limits, counters=counters, grow=grow)
    config = uvicorn.Config(
        app,
        http=BoundedHttp,
        log_level="info" if log_requests else "warning",
        access_log=log_requests,
        server_header=False,
        timeout_graceful_shutdown=_PATIENCE_SECONDS,
        timeout_keep_alive=_KEPT_SECONDS,
    )
    with _listening(host, port) as listener:
        if sys.platform != "win32":
            signal.signal(signal.SIGHUP, lambda number, frame: opened.reload_beside())
        shown = f"[{host}]" if ":" in host else host
        announce(f"http://{shown}:{listener.getsockname()[1]}")
        try:
            uvicorn.Server(config).run(sockets=[listener])
        except KeyboardInterrupt:
            return  # the signal that ended it, sent on once everything was closed


def require_possible(host: str, token: str | None) -> None:
    """Raise what makes it impossible to serve, before a model is loaded.

    Args:
        host: Where requests are listened for.
        token: What they have to carry, or None.

    Raises:
        MissingExtraError: What it is served with is not installed.
        OptionError: Other machines could ask, and there is no token or one that can be guessed.
    """
    missing = [name for name in ("fastapi", "httptools", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(f"Serving needs {' and '.join(missing)}: pip install 'nshot[serve]'")
    advice = "Put a long random text into an environment variable, such as what `openssl rand -hex 32` prints"
    if token is not None and len(token) < _SHORTEST_TOKEN:
        raise OptionError(f"The token has {len(token)} letters; it needs at least {_SHORTEST_TOKEN}. {advice}.")
    if token is None and not is_loopback(host):
        raise OptionError(
            f"At {host} other machines can ask, so a token is needed. {advice}, and name it: --token-env NAME. "
            "Or serve this machine only: --host 127.0.0.1."
        )


def _listening(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(address[:2], family=family)
        # Connections inherit it. asyncio sets it only on sockets that it made itself; without it the body of an answer
        # waits some 40 ms for the other side to confirm the headers.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except OSError as error:
        reason = str(error.strerror).partition(" (while")[0]  # what comes after is a tuple of Python's
        raise EnvironmentProblem(
            f"Cannot listen at {host}, port {port}: {reason}. Name another port, --port N (0 for any that is "
            "free), or another address."
        ) from None
