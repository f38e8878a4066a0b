"""What the routes share, and how a route gets at it."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Annotated, TypeAlias

from fastapi import Depends, Request

from nshot.serving.batching import Batcher
from nshot.serving.counters import Counters
from nshot.serving.growing import Growing
from nshot.serving.limits import Limits
from nshot.serving.predicting import ServedPredictor
from nshot.serving.queue import AnswerQueue
from nshot.serving.served import Served

Model: TypeAlias = Served | ServedPredictor
"""A model that is offered: one that writes, or one that predicts."""


@dataclass(frozen=True)
class Service:
    """What is offered.

    Attributes:
        models: By name; looked up anew for every request, so that a later version may take a place.
        queue: Writes the answers to conversations.
        limits: What a request may ask for.
        counters: What is counted.
        growing: Lets models grow; None: they may not.
        batchers: By base: what computes predictions. A base gets its own at the first request.
    """

    models: MutableMapping[str, Model]
    queue: AnswerQueue
    limits: Limits
    counters: Counters
    growing: Growing | None = None
    batchers: dict[str, Batcher] = field(default_factory=dict)

    def batcher(self, model: ServedPredictor) -> Batcher:
        """Return what computes the predictions of a model."""
        found = self.batchers.get(model.base)
        if found is None:
            found = self.batchers[model.base] = Batcher(self.limits.most_examples, self.counters)
        return found

    def close(self) -> None:
        """Finish growths and predictions that wait, break off answers that are written."""
        self.queue.close()
        if self.growing is not None:
            self.growing.close()
        for batcher in self.batchers.values():
            batcher.close()


async def service_of(request: Request) -> Service:
    """Return what the application of a request offers; a coroutine, because others are called in a thread."""
    service: Service = request.app.state.service
    return service


Offered = Annotated[Service, Depends(service_of)]
"""The parameter of a route that uses the service."""
