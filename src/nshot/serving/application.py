"""The application: all routes that lie in ``routes``, behind the middleware."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import APIRouter, FastAPI

from nshot.serving import problems, routes
from nshot.serving.middleware import AccessMiddleware
from nshot.serving.queue import AnswerQueue
from nshot.serving.served import Served
from nshot.serving.service import Service


def application(
    models: Sequence[Served],
    *,
    token: str | None = None,
    most_waiting: int = 16,
    most_tokens: int = 4096,
    most_bytes: int = 1_000_000,
) -> AccessMiddleware:
    """Return an ASGI application that offers models.

    Args:
        models: Those that are offered.
        token: What a request has to carry; None: requests come from this machine only.
        most_waiting: How many requests may wait while one is answered.
        most_tokens: The longest answer that may be asked for, in tokens.
        most_bytes: The longest body of a request.
    """
    queue = AnswerQueue(most_waiting)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        queue.close()

    # The pages that show the interface would load their programs from elsewhere; its description is served.
    app = FastAPI(title="nshot", version=version("nshot"), docs_url=None, redoc_url=None, lifespan=lifespan)
    app.state.service = Service({model.name: model for model in models}, queue, most_tokens)
    problems.handle(app)
    for router in _routers():
        app.include_router(router)
    return AccessMiddleware(app, token, most_bytes)


def _routers() -> list[APIRouter]:
    """Return the router of every file in ``routes``."""
    names = sorted(module.name for module in pkgutil.iter_modules(routes.__path__))
    return [importlib.import_module(f"{routes.__name__}.{name}").router for name in names]
