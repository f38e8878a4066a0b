"""``/health``: whether the server answers."""

from __future__ import annotations

from fastapi import APIRouter

router = APIRouter()


@router.get("/health")
async def health() -> dict[str, str]:
    """Say that the server answers."""
    return {"status": "ok"}
