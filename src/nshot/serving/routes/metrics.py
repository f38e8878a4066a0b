"""``/metrics``: what the server counts about itself, for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import PlainTextResponse, Response

from nshot.serving.predicting import ServedPredictor
from nshot.serving.service import Offered

router = APIRouter()


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(service: Offered) -> Response:
    """Return all figures in the text format of Prometheus."""
    waiting = {
        name: service.batcher(model).waiting
        for name, model in service.models.items()
        if isinstance(model, ServedPredictor)
    }
    return Response(service.counters.text(waiting), media_type="text/plain; version=0.0.4; charset=utf-8")
