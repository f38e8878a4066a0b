"""The body of a request: read within the deadline, and checked in the same step."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from nshot.serving.queue import DeadlineError

_Body = TypeVar("_Body", bound=BaseModel)
ERROR = {"type": "object", "properties": {"error": {"type": "object"}}, "required": ["error"]}
"""The schema of an answer that says what is wrong."""


async def body_of(request: Request, kind: type[_Body], patience_seconds: float) -> _Body:
    """Return what a request holds; read here and not by FastAPI, which waits for ever and takes what is no Unicode.

    Args:
        request: With a body of the type ``application/json``.
        kind: What it has to hold.
        patience_seconds: How long it may take to come.

    Raises:
        HTTPException: It is of another type; a page of another site may send such without asking first.
        DeadlineError: It has not come in time.
        RequestValidationError: It is no JSON, or not what it has to hold.
    """
    told = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if told != "application/json":
        raise HTTPException(415, "Expected a body of the type application/json.")
    try:
        async with asyncio.timeout(patience_seconds):
            body = await request.body()
    except TimeoutError:
        raise DeadlineError(patience_seconds) from None
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from None


def described(schema: dict[str, Any], about: str) -> dict[str, Any]:
    """Return how the description of the interface tells of what a body of JSON holds."""
    return {"description": about, "content": {"application/json": {"schema": schema}}}


def described_body(kind: type[BaseModel], path: str, about: str) -> dict[str, Any]:
    """Return how the description of the interface tells of a body, as ``openapi_extra`` of its route.

    Args:
        kind: What the body holds.
        path: Of the route.
        about: What it is.
    """
    # What a body is made of stands within its own description: FastAPI collects that of parameters only.
    within = f"#/paths/{path.replace('/', '~1')}/post/requestBody/content/application~1json/schema/$defs/{{model}}"
    schema = kind.model_json_schema(ref_template=within)
    return {"requestBody": {"required": True} | described(schema, about)}
