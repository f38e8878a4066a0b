"""``/health`` and ``/ready``: whether the server answers, and whether it can take in more."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from nshot.serving import problems
from nshot.serving.service import Offered

router = APIRouter()


@router.get("/health")
async def health() -> dict[str, str]:
    """Say that the server answers."""
    return {"status": "ok"}


@router.get("/ready", response_model=None)
async def ready(service: Offered) -> dict[str, str] | Response:
    """Say whether the models are loaded, which they are before the server listens, and none has a full queue."""
    if service.queue.is_full or any(batcher.is_full for batcher in service.batchers.values()):
        return problems.response(503, "A queue is full.", code="queue_full", headers={"Retry-After": "1"})
    return {"status": "ready"}
