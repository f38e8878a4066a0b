"""A page to try the models by hand; it holds nothing of them, asks like any other client, and loads from here only."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from fastapi import APIRouter
from starlette.responses import Response

router = APIRouter(include_in_schema=False)
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


@router.get("/")
async def page() -> Response:
    """Return the page."""
    return _file("index.html", "text/html")


@router.get("/page.js")
async def program() -> Response:
    """Return its program."""
    return _file("page.js", "text/javascript")


@router.get("/page.css")
async def style() -> Response:
    """Return its style sheet."""
    return _file("page.css", "text/css")


def _file(name: str, kind: str) -> Response:
    return Response(_read(name), media_type=f"{kind}; charset=utf-8", headers=_HEADERS)


@cache
def _read(name: str) -> str:
    return files("nshot.serving").joinpath("page", name).read_text(encoding="utf-8")
