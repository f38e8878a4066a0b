"""``/v1/predict``: what models say about texts, rows and images."""

from __future__ import annotations

import json
import time
from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field
from pydantic.config import JsonDict
from starlette.responses import Response

from nshot.serving import problems
from nshot.serving.answers import records
from nshot.serving.bodies import ERROR, body_of, described, described_body
from nshot.serving.inputs import INPUT
from nshot.serving.predicting import ServedPredictor
from nshot.serving.queue import DeadlineError, FullError
from nshot.serving.routes.models import named
from nshot.serving.served import Served
from nshot.serving.service import Service, service_of
from nshot.spec import Spec

router = APIRouter(prefix="/v1/predict")

_INPUTS: JsonDict = {"anyOf": [INPUT, {"type": "array", "minItems": 1, "items": INPUT}]}


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


_ANSWER = {
    "type": "object",
    "properties": {"model": {"type": "string"}, "predictions": {"type": "array", "items": {"type": "object"}}},
    "required": ["model", "predictions"],
}


_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: described(_ANSWER, "One prediction per input."),
    400: described(ERROR, "It is not what the model reads."),
    401: described(ERROR, "A token is needed."),
    404: described(ERROR, "There is no such model."),
    413: described(ERROR, "The body is too large."),
    415: described(ERROR, "The body is of another type than JSON."),
    429: described(ERROR, "The queue is full; Retry-After tells when to come back."),
    503: described(ERROR, "The machine cannot answer."),
    504: described(ERROR, "There was no answer in time."),
}


@router.post(
    "",
    response_model=None,
    responses=_RESPONSES,
    openapi_extra=described_body(PredictRequest, router.prefix, "The inputs."),
)
async def predict(request: Request) -> Response:
    """Answer one input or many."""
    began = time.monotonic()
    service = await service_of(request)
    patience = service.limits.deadline_seconds
    asked = await body_of(request, PredictRequest, patience)
    model = _model(service, asked.model)
    if not isinstance(model, ServedPredictor):
        return model
    try:
        answer = await _answer(service, model, asked, patience - (time.monotonic() - began))
    except (FullError, DeadlineError) as error:
        service.counters.rejected[model.name, error.reason] += 1
        raise
    service.counters.seconds[model.name].add(time.monotonic() - began)
    return answer


def _model(service: Service, name: str | None) -> ServedPredictor | Response:
    """Return the model that a request names, or the answer to one that names none that predicts."""
    found = named(name, service)
    if isinstance(found, Served):
        message = f"{found.name} writes its answers: ask it at /v1/chat/completions."
        return problems.response(400, message, param="model")
    return found


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
