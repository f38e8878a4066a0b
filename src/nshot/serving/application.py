"""The application: all routes that lie in ``routes``, behind the middleware."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import AsyncIterator, Callable, MutableMapping
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import APIRouter, FastAPI

from nshot.bundle import LabelGiven
from nshot.serving import problems, routes
from nshot.serving.counters import Counters
from nshot.serving.growing import Growing
from nshot.serving.limits import Limits
from nshot.serving.middleware import AccessMiddleware
from nshot.serving.predicting import ServedPredictor
from nshot.serving.queue import AnswerQueue
from nshot.serving.service import Model, Service


def application(
    models: MutableMapping[str, Model],
    *,
    token: str | None = None,
    limits: Limits | None = None,
    counters: Counters | None = None,
    grow: Callable[[str, LabelGiven], ServedPredictor] | None = None,
) -> AccessMiddleware:
    """Return an ASGI application that offers models.

    Args:
        models: Those that are offered, by name; one that is replaced there is answered by its successor from then on.
        token: What a request has to carry; None: requests come from this machine only.
        limits: What a request may ask for; the usual unless given.
        counters: Where to count; the application's own unless given.
        grow: Teaches the model of a name a label; None: none may be taught.
    """
    limits = limits or Limits()
    counters = counters or Counters()
    growing = None if grow is None else Growing(grow)
    service = Service(models, AnswerQueue(limits.most_waiting), limits, counters, growing)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    # The pages that show the interface would load their programs from elsewhere; its description is served.
    app = FastAPI(title="nshot", version=version("nshot"), docs_url=None, redoc_url=None, lifespan=lifespan)
    app.state.service = service
    problems.handle(app)
    for router in _routers():
        app.include_router(router)
    return AccessMiddleware(app, token, limits.most_bytes, counters.requests)


def _routers() -> list[APIRouter]:
    """Return the router of every file in ``routes``."""
    names = sorted(module.name for module in pkgutil.iter_modules(routes.__path__))
    return [importlib.import_module(f"{routes.__name__}.{name}").router for name in names]
