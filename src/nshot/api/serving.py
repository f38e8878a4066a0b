"""`serve`: a model that writes, behind HTTP."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from pydantic import Field

from nshot import serving
from nshot.api.options import resolved_options
from nshot.api.writers import open_writer
from nshot.core import OptionError
from nshot.study.options import ComputingOptions


class ServeOptions(ComputingOptions):
    """How to offer a model."""

    host: str = "127.0.0.1"
    """Address to listen at; other machines can ask if it is not this machine's own, so a token is needed then."""
    port: int = Field(default=8000, ge=0, le=65535)
    """Port to listen at; 0 for any that is free."""
    name: str | None = None
    """What requests call the model; its own name unless given."""
    token_env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Name of the environment variable with the token that requests have to carry (Authorization: Bearer TOKEN)."""
    max_waiting: int = Field(default=16, ge=0)
    """How many requests may wait while one is answered; further ones are told at once to come back later."""
    max_tokens: int = Field(default=4096, ge=1)
    """The longest answer that may be asked for, in tokens."""

    @classmethod
    def called(cls) -> str:
        """Return what messages call these options."""
        return "serve"


def serve(
    model: str,
    *,
    options: ServeOptions | Mapping[str, Any] | None = None,
    announce: Callable[[str, str], None],
    log_requests: bool = False,
) -> None:
    """Offer a model until the process is stopped.

    Args:
        model: Folder of a saved model; or a folder or hub id of a pre-trained one.
        options: A `ServeOptions` or its fields.
        announce: Told the model's name and the address once it can be asked.
        log_requests: Log a line for every request, never with a text.

    Raises:
        NshotError: It cannot be opened, does not write, or the address cannot be listened at; the text says what to do.
    """
    resolved = resolved_options(ServeOptions, options, {})
    token = _token(resolved.token_env)
    serving.require_possible(resolved.host, token)
    found = open_writer(model, resolved, None)
    if resolved.name:
        found = replace(found, name=resolved.name)
    serving.serve(
        [found],
        host=resolved.host,
        port=resolved.port,
        token=token,
        most_waiting=resolved.max_waiting,
        most_tokens=resolved.max_tokens,
        announce=lambda address: announce(found.name, address),
        log_requests=log_requests,
    )


def _token(variable: str | None) -> str | None:
    """Return the token that requests have to carry, from the environment; None: there is none.

    Raises:
        OptionError: The variable was named and is not set.
    """
    if variable is None:
        return None
    token = os.environ.get(variable, "").strip()
    if not token:
        raise OptionError(f"The environment variable {variable} is not set. It was to hold the token of requests.")
    return token
