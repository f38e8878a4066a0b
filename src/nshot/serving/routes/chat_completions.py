"""``/v1/chat/completions`` of OpenAI's protocol, whole or as a stream of events.

Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from pydantic import AfterValidator, BaseModel, Field, field_validator
from starlette.responses import JSONResponse, Response

from nshot.core import Conversation, Decoding
from nshot.data.conversations import asked_in
from nshot.serving import problems
from nshot.serving.bodies import body_of, described_body
from nshot.serving.queue import DeadlineError, FullError, PendingAnswer
from nshot.serving.routes.models import unknown
from nshot.serving.served import Answer, Served
from nshot.serving.service import service_of
from nshot.spec import Spec

router = APIRouter(prefix="/v1/chat/completions")


def _only(*allowed: Any) -> AfterValidator:
    """Return a check that refuses what the protocol has and this server has not."""

    def check(value: Any) -> Any:
        if value is not None and value not in allowed:
            shown = " or ".join(json.dumps(each) for each in allowed)
            raise ValueError(f"is not supported here; leave it out or send {shown}")
        return value

    return AfterValidator(check)


class _Part(BaseModel):
    type: Literal["text"]
    text: str


def _is_text_part(value: Any) -> bool:
    return isinstance(value, dict) and value.get("type") == "text" and isinstance(value.get("text"), str)


class _Message(BaseModel):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[_Part] | None = None
    tool_calls: list[dict[str, Any]] = []
    name: str | None = None

    @field_validator("content", mode="before")
    @classmethod
    def _of_texts(cls, value: Any) -> Any:
        """Refuse images and the like in one sentence, not once for each form that was tried."""
        is_text = value is None or isinstance(value, str)
        if not is_text and not (isinstance(value, list) and all(map(_is_text_part, value))):
            raise ValueError('expected a text, or parts such as {"type": "text", "text": "Hello"}')
        return value


class _StreamOptions(BaseModel):
    include_usage: bool = False


class ChatRequest(Spec):
    """The body of a request."""

    model: str
    """A name out of ``/v1/models``."""
    messages: list[_Message] = Field(min_length=1)
    """The conversation; it ends with what is to be answered."""
    stream: bool | None = None
    """Answer with a stream of events."""
    stream_options: _StreamOptions | None = None
    """What the stream tells besides the answer."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    """0: always the likeliest token; the model's own setting unless given."""
    top_p: float | None = Field(default=None, gt=0, le=1)
    """Only the likeliest tokens that together have this probability are drawn from."""
    max_tokens: int | None = Field(default=None, ge=1)
    """The longest answer, in tokens."""
    max_completion_tokens: int | None = Field(default=None, ge=1)
    """The same under its newer name."""
    stop: str | list[str] | None = None
    """Texts at which the answer ends."""
    seed: int | None = Field(default=None, ge=0)
    """The source of chance."""
    tools: list[dict[str, Any]] | None = None
    """Functions that the model is told of; a call of one is part of the text."""

    n: Annotated[int | None, _only(1)] = None
    logprobs: Annotated[bool | None, _only(False)] = None
    top_logprobs: Annotated[int | None, _only(0)] = None
    frequency_penalty: Annotated[float | None, _only(0)] = None
    presence_penalty: Annotated[float | None, _only(0)] = None
    logit_bias: Annotated[dict[str, float] | None, _only({})] = None
    response_format: Annotated[dict[str, Any] | None, _only({"type": "text"})] = None
    tool_choice: Annotated[str | dict[str, Any] | None, _only("auto")] = None
    modalities: Annotated[list[str] | None, _only(["text"])] = None

    # Without a meaning here, and without harm.
    user: Any = None
    metadata: Any = None
    store: Any = None
    service_tier: Any = None
    safety_identifier: Any = None
    prompt_cache_key: Any = None
    parallel_tool_calls: Any = None

    def conversation(self) -> Conversation:
        """Return what is to be answered.

        Raises:
            DataError: A message says nothing, or the last one is an answer.
        """
        return asked_in([message.model_dump() for message in self.messages], self.tools or ())

    def longest_answer(self) -> int | None:
        """Return the longest answer that is asked for, in tokens."""
        return self.max_completion_tokens or self.max_tokens

    def decoding(self, usual: Decoding) -> Decoding:
        """Return how the answer is written.

        Args:
            usual: What holds for everything that is not given.
        """
        stop = [self.stop] if isinstance(self.stop, str) else self.stop
        return Decoding(
            self.longest_answer() or usual.max_new_tokens,
            usual.temperature if self.temperature is None else self.temperature,
            usual.top_p if self.top_p is None else self.top_p,
            usual.stop if stop is None else tuple(mark for mark in stop if mark),
            usual.seed if self.seed is None else self.seed,
        )


@router.post("", response_model=None, openapi_extra=described_body(ChatRequest, router.prefix, "The conversation."))
async def complete(request: Request) -> Response:
    """Answer a conversation."""
    began = time.monotonic()
    service = await service_of(request)
    patience = service.limits.deadline_seconds
    asked = await body_of(request, ChatRequest, patience)
    model = service.models.get(asked.model)
    if model is None:
        return unknown(asked.model, service)
    if not isinstance(model, Served):
        return problems.response(400, f"{asked.model} does not write: ask it at /v1/predict.", param="model")
    most_tokens = service.limits.most_tokens
    if (asked.longest_answer() or 0) > most_tokens:
        return problems.response(
            400,
            f"max_tokens is {asked.longest_answer()}, and this server writes at most {most_tokens}.",
            param="max_tokens",
        )
    usual = model.decoding
    decoding = asked.decoding(replace(usual, max_new_tokens=min(usual.max_new_tokens, most_tokens)))
    answer = Answer(model, asked.conversation(), decoding)
    try:
        begun = service.queue.begin(answer, patience - (time.monotonic() - began))
        pieces = begun.pieces(request.is_disconnected)
        if not asked.stream:
            text = "".join([piece async for piece in pieces])
            return JSONResponse(_whole(model, answer, text))
        # What cannot be answered at all is told with a status of its own, so the first piece is waited for.
        first = await anext(pieces, None)
    except (FullError, DeadlineError) as error:
        service.counters.rejected[model.name, error.reason] += 1
        raise
    with_usage = bool(asked.stream_options and asked.stream_options.include_usage)
    events = _events(model, begun, first, pieces, with_usage=with_usage)
    return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})


async def _events(
    model: Served, begun: PendingAnswer, first: str | None, pieces: AsyncIterator[str], *, with_usage: bool
) -> AsyncIterator[str]:
    """Yield the events of a stream."""
    chunk = _chunks(model, with_usage=with_usage)
    try:
        yield chunk({"role": "assistant", "content": first or ""})
        async for piece in pieces:
            yield chunk({"content": piece})
        yield chunk({}, begun.answer.finish_reason)
        if with_usage:
            yield chunk(None, usage=_usage(begun.answer))
        yield "data: [DONE]\n\n"
    except Exception as error:  # the status is sent already: the error is an event
        yield _event(json.loads(bytes(problems.of(error).body)))
    finally:
        begun.cancel()


def _chunks(model: Served, *, with_usage: bool) -> Callable[..., str]:
    head = {**_head(model), "object": "chat.completion.chunk"}

    def chunk(
        delta: Mapping[str, Any] | None, finish_reason: str | None = None, usage: Mapping[str, int] | None = None
    ) -> str:
        choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish_reason}]
        return _event({**head, "choices": choices, **({"usage": usage} if with_usage else {})})

    return chunk


def _event(record: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(record, ensure_ascii=False)}\n\n"


def _whole(model: Served, answer: Answer, text: str) -> dict[str, Any]:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text, "refusal": None},
        "logprobs": None,
        "finish_reason": answer.finish_reason,
    }
    return {**_head(model), "object": "chat.completion", "choices": [choice], "usage": _usage(answer)}


def _head(model: Served) -> dict[str, Any]:
    return {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": model.name}


def _usage(answer: Answer) -> dict[str, int]:
    total = answer.tokens_in + answer.tokens_out
    return {"prompt_tokens": answer.tokens_in, "completion_tokens": answer.tokens_out, "total_tokens": total}
