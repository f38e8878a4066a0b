"""``/v1/predict``: what models say about texts, rows and images."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field, TypeAdapter, ValidationError
from pydantic.config import JsonDict
from starlette.responses import Response

from nshot.serving import problems
from nshot.serving.answers import records
from nshot.serving.batching import DeadlineError
from nshot.serving.predicting import ServedPredictor
from nshot.serving.queue import FullError
from nshot.serving.routes.models import unknown
from nshot.serving.service import Service, service_of
from nshot.spec import Spec

router = APIRouter(prefix="/v1/predict")

_TEXT: JsonDict = {"type": "string"}
_ROW: JsonDict = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean", "null"]}}
_NUMBERS: JsonDict = {"type": "array", "items": {"type": "number"}}
_LIST: JsonDict = {"type": "array", "minItems": 1, "items": {"anyOf": [_TEXT, _ROW, _NUMBERS]}}
_INPUTS: JsonDict = {"anyOf": [_TEXT, _ROW, _LIST]}


class PredictRequest(Spec):
    """The body of a request."""

    model: str | None = None
    """A name out of ``/v1/models``; may be left out where there is one model."""
    inputs: Any = Field(json_schema_extra=_INPUTS)
    """A text, a row (an object), an image file in base64, or a list of them."""
    probabilities: bool = False
    """Whether the probability of every label is told."""
    top: int | None = Field(default=None, ge=1)
    """Tell the probabilities of so many labels, the likeliest first."""


_BODY = TypeAdapter(PredictRequest)
_ERROR = {"type": "object", "properties": {"error": {"type": "object"}}, "required": ["error"]}
_ANSWER = {
    "type": "object",
    "properties": {"model": {"type": "string"}, "predictions": {"type": "array", "items": {"type": "object"}}},
    "required": ["model", "predictions"],
}


def _described(schema: dict[str, Any], about: str) -> dict[str, Any]:
    return {"description": about, "content": {"application/json": {"schema": schema}}}


_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: _described(_ANSWER, "One prediction per input."),
    400: _described(_ERROR, "It is not what the model reads."),
    401: _described(_ERROR, "A token is needed."),
    404: _described(_ERROR, "There is no such model."),
    413: _described(_ERROR, "The body is too large."),
    415: _described(_ERROR, "The body is of another type than JSON."),
    429: _described(_ERROR, "The queue is full; Retry-After tells when to come back."),
    503: _described(_ERROR, "The machine cannot answer."),
    504: _described(_ERROR, "There was no answer in time."),
}


# The body is read here and not by FastAPI: within the deadline, and read and checked in one step.
@router.post(
    "",
    response_model=None,
    responses=_RESPONSES,
    openapi_extra={"requestBody": {"required": True} | _described(PredictRequest.model_json_schema(), "The inputs.")},
)
async def predict(request: Request) -> Response:
    """Answer one input or many."""
    began = time.monotonic()
    service = await service_of(request)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        return problems.response(415, "Expected a body of the type application/json.", code="unsupported_media_type")
    patience = service.limits.deadline_seconds
    try:
        async with asyncio.timeout(patience):
            body = await request.body()
    except TimeoutError:
        raise DeadlineError(patience) from None
    try:
        asked = _BODY.validate_json(body)
    except ValidationError as error:
        return problems.of_body(error)
    model = _model(service, asked.model)
    if not isinstance(model, ServedPredictor):
        return model
    try:
        answer = await _answer(service, model, asked, patience - (time.monotonic() - began))
    except (FullError, DeadlineError) as error:
        service.counters.rejected[model.name, "full" if isinstance(error, FullError) else "deadline"] += 1
        raise
    service.counters.seconds[model.name].add(time.monotonic() - began)
    return answer


def _model(service: Service, name: str | None) -> ServedPredictor | Response:
    """Return the model that a request names, or the answer to one that names none."""
    if name is None:
        if len(service.models) > 1:
            listed = ", ".join(service.models)
            return problems.response(400, f"Name a model. Models: {listed}.", param="model")
        name = next(iter(service.models))
    found = service.models.get(name)
    if found is None:
        return unknown(name, service)
    if isinstance(found, ServedPredictor):
        return found
    return problems.response(400, f"{name} writes its answers: ask it at /v1/chat/completions.", param="model")


async def _answer(service: Service, model: ServedPredictor, asked: PredictRequest, patience: float) -> Response:
    examples = model.examples(asked.inputs, service.limits.inputs)
    answered = await service.batcher(model).answer(model, examples, patience)
    found = records(
        model, answered.prediction, examples, answered.first, probabilities=asked.probabilities, top=asked.top
    )
    for record in found:
        label = record.get("label")
        if label is not None:
            service.counters.predictions[model.name, label] += 1
    body = json.dumps({"model": model.name, "predictions": found}, ensure_ascii=False, allow_nan=False)
    return Response(body, media_type="application/json")
