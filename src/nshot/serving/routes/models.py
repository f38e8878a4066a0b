"""``/v1/models`` of OpenAI's protocol: what is offered."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from nshot.serving import problems
from nshot.serving.predicting import ServedPredictor
from nshot.serving.service import Model, Offered, Service

router = APIRouter(prefix="/v1/models")


@router.get("")
async def models(service: Offered) -> dict[str, Any]:
    """List the models."""
    return {"object": "list", "data": [_entry(model) for model in service.models.values()]}


@router.get("/{name:path}", response_model=None)
async def model(name: str, service: Offered) -> dict[str, Any] | Response:
    """Describe one model."""
    found = service.models.get(name)
    return unknown(name, service) if found is None else _entry(found)


def named(name: str | None, service: Service) -> Model | Response:
    """Return the model that a request names, the only one where it names none, or what is answered instead."""
    if name is None:
        if len(service.models) > 1:
            listed = ", ".join(service.models)
            return problems.response(400, f"Name a model. Models: {listed}.", param="model")
        name = next(iter(service.models))
    return service.models.get(name) or unknown(name, service)


def unknown(name: str, service: Service) -> Response:
    """Return that there is no such model."""
    listed = ", ".join(service.models)
    return problems.response(
        404, f"There is no model '{name}'. Models: {listed}.", param="model", code="model_not_found"
    )


def _entry(model: Model) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": model.name, "object": "model", "created": model.created, "owned_by": "nshot"}
    # What follows is not in the protocol; clients that know it keep to it.
    if isinstance(model, ServedPredictor):
        return entry | model.describe()
    return entry | {"task": "generate"} | ({} if model.longest is None else {"max_model_len": model.longest})
