"""What the routes share, and how a route gets at it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from nshot.serving.answering import Answering
from nshot.serving.served import Served


@dataclass(frozen=True)
class Service:
    """What is offered.

    Attributes:
        models: By name.
        answering: Writes the answers.
        most_tokens: The longest answer that may be asked for, in tokens.
    """

    models: Mapping[str, Served]
    answering: Answering
    most_tokens: int


def _of(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


Offered = Annotated[Service, Depends(_of)]
"""The parameter of a route that uses the service."""
