"""What the routes share, and how a route gets at it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from nshot.serving.queue import AnswerQueue
from nshot.serving.served import Served


@dataclass(frozen=True)
class Service:
    """What is offered.

    Attributes:
        models: By name.
        queue: Writes the answers.
        most_tokens: The longest answer that may be asked for, in tokens.
    """

    models: Mapping[str, Served]
    queue: AnswerQueue
    most_tokens: int


def _of(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


Offered = Annotated[Service, Depends(_of)]
"""The parameter of a route that uses the service."""
