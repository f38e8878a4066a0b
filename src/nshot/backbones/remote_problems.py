"""What goes wrong with a remote model, in plain words and under the one error tree."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from nshot.backbones.remote_endpoint import Endpoint
from nshot.core import DataError, ModelError, NshotError, closest, listed, shortened

if TYPE_CHECKING:
    import openai

_SHOWN_LETTERS = 200
_TOO_LONG = ("context length", "context_length", "maximum context", "context window", "context size", "too long")
_NOTHING_LOST = "What was answered is kept; the same command asks only for what is missing."
_WITHHELD = ("content_filter", "content_policy_violation", "content_policy")


class RefusedError(ModelError):
    """The endpoint does not take the request as it is."""


class WithheldError(ModelError):
    """The endpoint's content filter withholds the answer."""


def problem(
    error: Exception,
    endpoint: Endpoint,
    key_variable: str | None,
    timeout_seconds: float,
    names: Callable[[], list[str]],
    *,
    is_recorded: bool,
) -> NshotError:
    """Return what an error of the openai package means.

    Args:
        error: What it raised.
        endpoint: Who was asked.
        key_variable: Where the key came from; None: none was sent.
        timeout_seconds: How long an answer could take.
        names: Returns the models that the endpoint has.
        is_recorded: Whether the answers so far are in a file, so that the same command goes on.
    """
    import openai

    kept = f" {_NOTHING_LOST}" if is_recorded else ""
    if isinstance(error, openai.APITimeoutError):
        return ModelError(f"{endpoint.host} did not answer within {timeout_seconds:g} s, tried several times.{kept}")
    if isinstance(error, openai.APIStatusError):
        return _of_status(error, endpoint, key_variable, names, kept)
    if isinstance(error, openai.APIConnectionError):
        return ModelError(
            f"{endpoint.address} cannot be reached ({_innermost(error)}). Start the server or correct the address."
            f"{kept}"
        )
    if isinstance(error, openai.APIError):  # told inside a stream that had begun well
        return ModelError(f"{endpoint.host} ended an answer with an error: {_shown(error.message)}")
    return no_answer(endpoint, str(error))


def no_answer(endpoint: Endpoint, found: str) -> ModelError:
    """Return that what came is no answer as the protocol has them.

    Args:
        endpoint: Who was asked.
        found: What came.
    """
    return ModelError(
        f"{endpoint.address} did not answer as OpenAI's protocol says. Its answer begins: {_shown(found)!r}. "
        "Check the address, which usually ends in /v1."
    )


def seconds_to_wait(error: openai.RateLimitError) -> float | None:
    """Return how long the endpoint asks to wait, or None where it does not say."""
    told = error.response.headers.get("retry-after", "")
    try:
        return max(0.0, float(told))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(told).timestamp() - time.time())
    except ValueError:
        return None


def _of_status(
    error: openai.APIStatusError,
    endpoint: Endpoint,
    key_variable: str | None,
    names: Callable[[], list[str]],
    kept: str,
) -> NshotError:
    status, told = error.status_code, _sentence(_shown(_told(error)))
    if status in {401, 403}:
        return ModelError(_refused_key(endpoint, key_variable, told))
    if status == 404:
        return ModelError(_unknown(endpoint, names(), told))
    if status == 429:
        return ModelError(
            f"{endpoint.host} lets no more requests through (429): {told} Wait, check the limits of your account, or "
            f"ask more slowly: --requests-per-minute N.{kept}"
        )
    if status in {400, 413, 422}:
        return _of_request(error, endpoint, told)
    return ModelError(f"{endpoint.host} failed ({status}), tried several times: {told}{kept}")


def _of_request(error: openai.APIStatusError, endpoint: Endpoint, told: str) -> NshotError:
    code = (error.code or "").lower()
    if code in _WITHHELD:
        return WithheldError(f"The content filter of {endpoint.host} withholds the answer: {told}")
    if error.status_code == 413 or any(words in f"{code} {_told(error)}".lower() for words in _TOO_LONG):
        return DataError(
            f"it is longer than {endpoint.model} takes in, answer included. Shorten it, show fewer worked examples, or "
            f"ask for a shorter answer. {endpoint.host} says: {told}"
        )
    return RefusedError(f"{endpoint.host} refused the request ({error.status_code}): {told}")


def _refused_key(endpoint: Endpoint, key_variable: str | None, told: str) -> str:
    if key_variable is None:
        return (
            f"{endpoint.host} wants a key, and none was sent: {told} Put it into an environment variable and name "
            "that: --api-key-env NAME."
        )
    return f"{endpoint.host} refused the key in the environment variable {key_variable}: {told} Correct the key."


def _unknown(endpoint: Endpoint, names: list[str], told: str) -> str:
    if not names or endpoint.model in names:
        return f"{endpoint.address} has nothing for {endpoint.model} (404): {told} Check the address and the name."
    return f"{endpoint.host} has no model '{endpoint.model}'.{closest(endpoint.model, names)} It has: {listed(names)}."


def _told(error: openai.APIStatusError) -> str:
    """Return the words of the endpoint, without what the package puts around them."""
    body = error.body
    said = body.get("message") if isinstance(body, dict) else body
    return said if isinstance(said, str) and said else error.message


def _innermost(error: BaseException) -> str:
    """Return the words of the system, which stand at the end of a chain of errors."""
    while error.__cause__ is not None or error.__context__ is not None:
        inner = error.__cause__ or error.__context__
        if inner is None:
            break
        error = inner
    return _shown(str(error)) or type(error).__name__


def _shown(text: str) -> str:
    return shortened(text, _SHOWN_LETTERS)


def _sentence(text: str) -> str:
    """Return what an endpoint said so that another sentence can follow."""
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."
