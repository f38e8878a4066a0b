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
    predicting = {name: model for name, model in service.models.items() if isinstance(model, ServedPredictor)}
    waiting = {name: service.batcher(model).waiting for name, model in predicting.items()}
    drift = {name: model.drift.figures() for name, model in predicting.items() if model.drift is not None}
    return Response(service.counters.text(waiting, drift), media_type="text/plain; version=0.0.4; charset=utf-8")
