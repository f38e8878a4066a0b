"""A language model behind an address that speaks OpenAI's protocol.

Nothing is sent without permission, every answer is kept, and money is counted; see ``docs/remote.md``.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import threading
import time
import weakref
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from nshot.backbones import remote_protocol as protocol
from nshot.backbones.remote_endpoint import Endpoint, require_permission
from nshot.backbones.remote_options import RemoteAccess
from nshot.backbones.remote_problems import RefusedError, WithheldError, no_answer, problem, seconds_to_wait
from nshot.backbones.remote_record import AnswerRecord, Charge, Meter
from nshot.core import (
    Ability,
    BackboneRef,
    Conversation,
    DataError,
    Decoding,
    Example,
    ExampleError,
    Interrupted,
    Message,
    MissingExtraError,
    NshotError,
    Progress,
    UnsupportedError,
    Written,
    as_conversation,
    silent,
)

if TYPE_CHECKING:
    import numpy as np

_MOST_STOPS = 4
"""Stop texts that the protocol takes; answers are cut at further ones here."""
_LONGEST_PAUSE_SECONDS = 300.0
_PAUSES = 3
"""How often an endpoint is waited for that says when to come back, after the client's own retries."""
_ADAPTABLE = {"max_tokens": "max_completion_tokens", "temperature": None, "top_p": None, "seed": None, "stop": None}
"""Parameters that some models refuse, and under which name they are sent instead, if at all."""
_NO_LIST = frozenset({400, 404, 405, 501})
"""What an endpoint answers that has no list of models."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class RemoteLlm:
    """Writes through an endpoint, and says how likely answers are where the endpoint tells.

    Answers are recorded by the hash of address, model, messages and decoding. An answer that is in the record is not
    asked for again. Without temperature an answer does not depend on the seed, so the seed is then no part of the hash.

    `Scores` needs the log-probabilities of given answers. The protocol has none; vLLM and servers like it add them as
    ``prompt_logprobs`` (its documentation, "OpenAI-compatible server"). One request, without any of the user's texts,
    finds out whether they are there.

    Attributes:
        endpoint: Where the model is.
        meter: What it took so far.
    """

    modalities = frozenset({"text", "conversation"})

    def __init__(self, ref: BackboneRef, access: RemoteAccess | None, progress: Progress = silent) -> None:
        """Make ready to ask; nothing is sent.

        Args:
            ref: Which model; see `Endpoint.of`.
            access: The user's permission; None: there is none.
            progress: Told how many of the examples are answered.

        Raises:
            OptionError: There is no permission, or no limit on the money.
            MissingExtraError: The package ``openai`` is not installed.
        """
        self.endpoint = Endpoint.of(ref)
        self._access = require_permission(self.endpoint, access)
        if importlib.util.find_spec("openai") is None:
            raise MissingExtraError("Remote models need the package openai: pip install 'nshot[remote]'")
        self._progress = progress
        self._record = AnswerRecord(self._access.record)
        self.meter = Meter(self._access, self._record)
        self._pace = _Pace(self._access.requests_per_minute)
        self._replaced: dict[str, str | None] = {}
        if self.endpoint.is_openai:
            self._replaced["max_tokens"] = _ADAPTABLE["max_tokens"]

    @property
    def ref(self) -> BackboneRef:
        """Return the reference; nobody says which weights are behind it."""
        return self.endpoint.ref

    @property
    def abilities(self) -> frozenset[Ability]:
        """Return what it can do; asks the endpoint, once for a record."""
        writes = frozenset({Ability.GENERATES})
        return writes | {Ability.SCORES} if self._facts["tells_likelihoods"] else writes

    @property
    def longest(self) -> int | None:
        """Return the most tokens that it takes in, where the endpoint says; asks it, once for a record."""
        found: int | None = self._facts["longest"]
        return found

    @property
    def left_out(self) -> frozenset[str]:
        """Return the parameters of decoding that the endpoint refused, and without which it was asked."""
        return frozenset(name for name, instead in self._replaced.items() if instead is None)

    def prompt_tokens(self, examples: Sequence[Example], *, before: Sequence[Message] = ()) -> list[int]:
        """Return about how many tokens each example has."""
        conversations = (as_conversation(example, before) for example in examples)
        return [protocol.foreseen_tokens(protocol.sent(conversation)) for conversation in conversations]

    def generate(
        self, examples: Sequence[Example], decoding: Decoding, *, before: Sequence[Message] = ()
    ) -> list[Written]:
        """Return one answer per example, a few asked for at a time; equal examples are asked once.

        An answer that the endpoint's content filter withholds is empty, and counted by `meter`.

        Raises:
            CostLimitError: The next request could exceed the limit.
            DataError: An example is too long.
            ModelError: The endpoint cannot be reached, refuses, or answers something else.
        """
        questions = [self._question(as_conversation(example, before), decoding) for example in examples]
        first = {question.key: position for position, question in reversed(list(enumerate(questions)))}

        def ask(position: int) -> Written:
            try:
                return self._ask(questions[position])
            except DataError as error:
                raise ExampleError(position, f": {error}") from None

        answers = dict(zip(first, self._in_order(ask, list(first.values())), strict=True))
        return [answers[question.key] for question in questions]

    def stream(
        self, example: Example, decoding: Decoding, *, before: Sequence[Message] = ()
    ) -> Generator[str, None, Written]:
        """Yield the answer as it comes, one that is in the record at once; return it whole.

        Raises:
            NshotError: As `generate`.
        """
        question = self._question(as_conversation(example, before), decoding)
        # What the endpoint does not stop at is found in the whole text only.
        cut_here = len(decoding.stop) > _MOST_STOPS or (decoding.stop and "stop" in self.left_out)
        if cut_here or self._record.find(question.key) is not None:
            whole = self._ask(question)
            yield whole.text
            return whole
        with self.meter.request(question.foreseen, decoding.max_new_tokens) as paid:
            answer = protocol.Streamed(question.foreseen)
            try:
                yield from self._streamed(question, answer)
            finally:
                written = _recorded(answer.text, answer.finish_reason, answer.tokens_out)
                if answer.finish_reason == "content_filter":
                    self.meter.was_withheld()
                if answer.finish_reason is not None:
                    self._record.add(question.key, written, paid(answer.tokens_in, answer.tokens_out))
                elif answer.text:  # broken off: it has to be paid, and is no answer
                    self._record.add(None, {}, paid(answer.tokens_in, answer.tokens_out))
        return Written(**written)

    def score(
        self, examples: Sequence[Example], continuations: Sequence[str], *, before: Sequence[Message] = ()
    ) -> np.ndarray:
        """Return log-probabilities, float32, shape (n, k): a request for each pair and one for each example.

        Raises:
            UnsupportedError: The endpoint does not tell them.
            NshotError: As `generate`.
        """
        import numpy as np

        self._require_likelihoods()

        def row(example: Example) -> list[float]:
            conversation = as_conversation(example, before)
            return [self._likelihood(conversation, continuation, ended=False)[0] for continuation in continuations]

        return np.array(self._in_order(row, examples), dtype=np.float32).reshape(len(examples), len(continuations))

    def likelihoods(
        self, examples: Sequence[Example], answers: Sequence[str], *, before: Sequence[Message] = ()
    ) -> np.ndarray:
        """Return log-probability and number of tokens of each example's answer with its end, float64, shape (n, 2).

        Raises:
            UnsupportedError: The endpoint does not tell them.
            NshotError: As `generate`.
        """
        import numpy as np

        self._require_likelihoods()

        def row(pair: tuple[Example, str]) -> tuple[float, int]:
            return self._likelihood(as_conversation(pair[0], before), pair[1], ended=True)

        pairs = list(zip(examples, answers, strict=True))
        return np.array(self._in_order(row, pairs), dtype=np.float64).reshape(len(examples), 2)

    # ------------------------------------------------------------------------------------------ questions

    def _question(self, conversation: Conversation, decoding: Decoding) -> _Question:
        messages = protocol.sent(conversation)
        body: dict[str, Any] = {
            "messages": messages,
            **protocol.tools(conversation),
            "max_tokens": decoding.max_new_tokens,
            "temperature": decoding.temperature,
        }
        if decoding.temperature > 0:
            body |= {"top_p": decoding.top_p, "seed": decoding.seed}
        key = self._key({**body, "stop": list(decoding.stop)})
        if decoding.stop:
            body["stop"] = list(decoding.stop[:_MOST_STOPS])
        return _Question(key, body, decoding, protocol.foreseen_tokens(messages))

    def _key(self, asked: Mapping[str, Any]) -> str:
        whole = {"address": self.endpoint.address, "model": self.endpoint.model, **asked}
        return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()

    def _ask(self, question: _Question) -> Written:
        """Return the answer to one question, from the record or from the endpoint."""
        known = self._record.find(question.key)
        if known is not None:
            self.meter.took_from_record()
            return Written(**known)
        with self.meter.request(question.foreseen, question.decoding.max_new_tokens) as paid:
            try:
                found = self._completion(question.body)
            except WithheldError:
                found = protocol.Completion.withheld()
            choice = found.choices[0]
            if choice.finish_reason == "content_filter":
                self.meter.was_withheld()
            text, cut = protocol.until(choice.message.text(), question.decoding.stop)
            tokens_in, tokens_out = found.tokens(question.foreseen)
            answer = _recorded(text, "stop" if cut else choice.finish_reason, tokens_out)
            self._record.add(question.key, answer, paid(tokens_in, tokens_out))
        return Written(**answer)

    def _streamed(self, question: _Question, answer: protocol.Streamed) -> Iterator[str]:
        """Yield the pieces of an answer that is being written, collecting it in `answer`."""
        import openai

        def begin() -> Any:
            return self._client.chat.completions.create(
                model=self.endpoint.model,
                stream=True,
                stream_options={"include_usage": True},
                **self._adapted(question.body),
            )

        chunks = self._sent(begin)
        try:
            yield from answer.pieces(chunks)
        except openai.OpenAIError as error:
            raise self._problem(error) from None
        except (AttributeError, TypeError, ValueError) as error:  # chunks of another form
            raise no_answer(self.endpoint, str(error)) from None
        finally:
            chunks.close()

    def _completion(self, body: Mapping[str, Any], further: Mapping[str, Any] | None = None) -> protocol.Completion:
        """Return one whole answer of the endpoint's.

        Args:
            body: The parameters.
            further: Parameters that are no part of the protocol.
        """

        def create() -> str:
            response = self._client.chat.completions.with_raw_response.create(
                model=self.endpoint.model, extra_body=dict(further or {}), **self._adapted(body)
            )
            return str(response.text)

        text = self._sent(create)
        try:
            return protocol.Completion.model_validate_json(text)
        except ValidationError:
            raise no_answer(self.endpoint, text) from None

    # ------------------------------------------------------------------------------------------ likelihoods

    def _require_likelihoods(self) -> None:
        if Ability.SCORES not in self.abilities:
            raise UnsupportedError(
                f"{self.endpoint.address} does not tell how likely given answers are (it has no prompt_logprobs). "
                "Use a method that lets the model write."
            )

    def _likelihood(self, conversation: Conversation, answer: str, *, ended: bool) -> tuple[float, int]:
        """Return log-probability and number of tokens of an answer, with the token that ends it or without."""
        start = len(self._prompt_likelihoods(conversation, add_generation_prompt=True))
        answered = conversation.answered(answer)
        tokens = self._prompt_likelihoods(answered, add_generation_prompt=False, continue_final_message=True)
        end = len(tokens)
        if ended:
            # The chat format may put more behind the token that ends an answer, such as a line break.
            tokens = self._prompt_likelihoods(answered, add_generation_prompt=False, continue_final_message=False)
            end += 1
        return sum(tokens[start:end]), end - start

    def _prompt_likelihoods(self, conversation: Conversation, **template: bool) -> list[float]:
        """Return the log-probability of every token of a conversation, 0 for the first."""
        messages = protocol.sent(conversation)
        body = {"messages": messages, **protocol.tools(conversation), "max_tokens": 1, "temperature": 0}
        further = {"prompt_logprobs": 0, **template}
        key, foreseen = self._key({**body, **further}), protocol.foreseen_tokens(messages)
        known = self._record.find(key)
        if known is not None:
            self.meter.took_from_record()
            return list(known["log_probabilities"])
        with self.meter.request(foreseen, 1) as paid:
            found = self._completion(body, further)
            values = found.prompt_likelihoods()
            self._record.add(key, {"log_probabilities": values}, paid(*found.tokens(foreseen)))
        return values

    # ------------------------------------------------------------------------------------------ the endpoint

    @cached_property
    def _facts(self) -> Mapping[str, Any]:
        """What the endpoint says about the model; asked once for a record."""
        key = self._key({"asked": "facts"})
        known = self._record.find(key)
        if known is None:
            listed = self._listed()
            longest = listed.longest(self.endpoint.model) if listed else None
            known = {"longest": longest, "tells_likelihoods": self._tells_likelihoods()}
            self._record.add(key, known, Charge())
        return known

    def _listed(self) -> protocol.Models | None:
        """Return the endpoint's models, or None where it has no list."""
        import openai

        try:
            return protocol.Models.model_validate_json(self._client.models.with_raw_response.list().text)
        except ValidationError:
            return None
        except openai.APIStatusError as error:
            if error.status_code in _NO_LIST:
                return None
            raise self._problem(error) from None
        except openai.OpenAIError as error:
            raise self._problem(error) from None

    def _tells_likelihoods(self) -> bool:
        if self.endpoint.is_openai:
            return False
        messages = [{"role": "user", "content": "Hello"}]
        foreseen = protocol.foreseen_tokens(messages)
        with self.meter.request(foreseen, 1) as paid:
            try:
                found = self._completion(
                    {"messages": messages, "max_tokens": 1, "temperature": 0}, {"prompt_logprobs": 0}
                )
            except (RefusedError, WithheldError):
                return False
            self._record.add(None, {}, paid(*found.tokens(foreseen)))
        return any(found.prompt_likelihoods())

    def _adapted(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters under the names that this endpoint takes."""
        renamed = {self._replaced.get(name, name): value for name, value in body.items()}
        return {name: value for name, value in renamed.items() if name is not None}

    def _sent(self, send: Callable[[], Result]) -> Result:
        """Return what `send` returns; waits and sends again where the endpoint says when to come back.

        Raises:
            NshotError: What went wrong, in plain words.
        """
        import openai

        pauses = 0
        while True:
            self._pace.wait()
            known = frozenset(self._replaced)  # another thread may find out while this request is under way
            try:
                return send()
            except openai.RateLimitError as error:
                wait = seconds_to_wait(error)
                pauses += 1
                if wait is None or wait > _LONGEST_PAUSE_SECONDS or pauses > _PAUSES:
                    raise self._problem(error) from None
                self._pace.pause(wait)
            except openai.BadRequestError as error:
                if error.param not in _ADAPTABLE or error.param in known:
                    raise self._problem(error) from None
                self._replaced[error.param] = _ADAPTABLE[error.param]
            except openai.OpenAIError as error:
                raise self._problem(error) from None

    def _problem(self, error: Exception) -> NshotError:
        variable = self.endpoint.key_variable(self._access.api_key_env)
        return problem(
            error,
            self.endpoint,
            variable,
            self._access.timeout_seconds,
            self._names,
            is_recorded=self._access.record is not None,
        )

    def _names(self) -> list[str]:
        """Return the names of the endpoint's models, for a message; none where it does not tell."""
        try:
            listed = self._listed()
        except NshotError:
            return []
        return [str(entry.get("id")) for entry in listed.data] if listed else []

    @cached_property
    def _client(self) -> Any:
        import openai

        seconds = self._access.timeout_seconds
        client = openai.OpenAI(
            api_key=self.endpoint.key(self._access.api_key_env) or "none",
            base_url=self.endpoint.address,
            timeout=openai.Timeout(seconds, connect=min(10.0, seconds)),
            max_retries=self._access.retries,
        )
        weakref.finalize(self, client.close)
        return client

    def _in_order(self, work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """Return ``work(item)`` of every item, a few at a time; requests under way are waited for before an error."""
        pool = ThreadPoolExecutor(self._access.at_once, thread_name_prefix="nshot-remote")
        self._pace.go_on()
        try:
            waiting = [pool.submit(work, item) for item in items]
            results = []
            for done, future in enumerate(waiting, start=1):
                results.append(future.result())
                self._progress(done, len(items), f"asking {self.ref.name}")
            return results
        finally:
            self._pace.give_up()
            pool.shutdown(wait=True, cancel_futures=True)
            self._pace.go_on()


@dataclass(frozen=True)
class _Question:
    """One question to the endpoint.

    Attributes:
        key: Its hash in the record.
        body: The parameters of the request.
        decoding: How the answer is written.
        foreseen: About how many tokens it has.
    """

    key: str
    body: Mapping[str, Any]
    decoding: Decoding
    foreseen: int


class _Pace:
    """Says when the next request may begin; for any number of threads."""

    def __init__(self, per_minute: int | None) -> None:
        self._gap_seconds = 60.0 / per_minute if per_minute else 0.0
        self._next = 0.0
        self._lock = threading.Lock()
        self._given_up = threading.Event()

    def wait(self) -> None:
        """Wait until the next request may begin.

        Raises:
            Interrupted: It is not going to be asked any more.
        """
        with self._lock:
            begins = max(time.monotonic(), self._next)
            self._next = begins + self._gap_seconds
        if self._given_up.wait(max(0.0, begins - time.monotonic())):
            raise Interrupted("Stopped.")

    def pause(self, seconds: float) -> None:
        """Let no request begin for a while."""
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)

    def give_up(self) -> None:
        """End all waiting."""
        self._given_up.set()

    def go_on(self) -> None:
        """Let requests be waited for again."""
        self._given_up.clear()


def _recorded(text: str, finish_reason: str | None, tokens: int) -> dict[str, Any]:
    """Return what is kept of an answer."""
    return {"text": text, "stopped": finish_reason in {"stop", "tool_calls", "function_call"}, "tokens": tokens}
