"""``/v1/labels``: a new label, or further examples of one, for a model that can learn it without a fit."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from nshot.bundle import LabelGiven
from nshot.core import NshotError, OutputError, UnsupportedError
from nshot.serving import problems
from nshot.serving.bodies import ERROR, body_of, described, described_body
from nshot.serving.inputs import INPUT
from nshot.serving.log import log
from nshot.serving.predicting import ServedPredictor
from nshot.serving.routes.models import named
from nshot.serving.service import service_of
from nshot.spec import Spec

router = APIRouter(prefix="/v1/labels")

_OFF = (
    "This server teaches its models nothing. Start it with --grow DIR, a folder for what they learn: "
    "nshot serve MODEL --grow DIR."
)


class LabelRequest(Spec):
    """The body of a request."""

    model: str | None = None
    """A name out of ``/v1/models``; may be left out where there is one model."""
    label: str
    """The label: a new one, or one that the model answers and that is to get further examples."""
    description: str | None = None
    """What it means, for a model that knows labels by their names."""
    examples: list[Any] = Field(default=[], json_schema_extra={"items": INPUT})
    """Inputs with this label, as in ``/v1/predict``."""


_ANSWER = {
    "type": "object",
    "properties": {
        "model": {"type": "string"},
        "label": {"type": "string"},
        "is_new": {"type": "boolean"},
        "n_examples": {"type": "integer"},
        "labels": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["model", "label", "is_new", "n_examples", "labels"],
}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: described(_ANSWER, "All labels that the model answers from now on, and how many examples it learnt from."),
    400: described(ERROR, "The label or its examples are not what the model can learn from."),
    401: described(ERROR, "A token is needed."),
    403: described(ERROR, "The server was not started with --grow."),
    404: described(ERROR, "There is no such model."),
    409: described(ERROR, "The model has to be fitted again for a new label."),
    413: described(ERROR, "The body is too large."),
    415: described(ERROR, "The body is of another type than JSON."),
    429: described(ERROR, "Too many labels wait to be learnt; Retry-After tells when to come back."),
    503: described(ERROR, "The grown model cannot be saved; the model goes on as it was."),
    504: described(ERROR, "The body did not come in time."),
}


@router.post(
    "",
    response_model=None,
    responses=_RESPONSES,
    openapi_extra=described_body(LabelRequest, router.prefix, "The label."),
)
async def learn(request: Request) -> dict[str, Any] | Response:
    """Teach a model a label: the answer comes once it is saved, and all later requests are answered with it."""
    service = await service_of(request)
    asked = await body_of(request, LabelRequest, service.limits.deadline_seconds)
    if service.growing is None:
        return problems.response(403, _OFF, code="growing_is_off")
    model = named(asked.model, service)
    if isinstance(model, Response):
        return model
    if not isinstance(model, ServedPredictor):
        return _not_growable(f"{model.name} writes its answers: it has no labels.")
    examples = model.examples(asked.examples, service.limits.inputs) if asked.examples else []
    given = LabelGiven(asked.label, asked.description, examples)
    try:
        grown = await service.growing.grow(model.name, given)
    except NshotError as error:
        service.counters.growths[model.name, "refused"] += 1
        if isinstance(error, UnsupportedError):
            return _not_growable(str(error))
        if isinstance(error, OutputError):
            log.error("%s: what it learnt cannot be saved, so it goes on as it was: %s", model.name, error)
            return problems.response(503, "What the model learnt cannot be saved; it goes on as it was.")
        raise
    service.counters.growths[model.name, "done"] += 1
    growth = grown.manifest.grown[-1]
    return {
        "model": grown.name,
        "label": growth.label,
        "is_new": growth.is_new,
        "n_examples": growth.n_examples,
        "labels": list(grown.task.labels),
    }


def _not_growable(message: str) -> Response:
    return problems.response(409, message, param="model", code="not_growable")
