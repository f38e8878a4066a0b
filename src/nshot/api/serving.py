"""`serve`: saved models behind HTTP."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from nshot import bundle, serving
from nshot.api.options import resolved_options
from nshot.api.writers import name_of, open_writer, opener
from nshot.bundle.manifest import MANIFEST, MODEL_CONFIG
from nshot.core import OptionError
from nshot.study.options import ComputingOptions

if TYPE_CHECKING:
    from nshot.serving.sharing import SharedBackbones


class ServeOptions(ComputingOptions):
    """How to offer models."""

    host: str = "127.0.0.1"
    """Address to listen at; other machines can ask if it is not this machine's own, so a token is needed then."""
    port: int = Field(default=8000, ge=0, le=65535)
    """Port to listen at; 0 for any that is free."""
    token_env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Name of the environment variable with the token that requests have to carry (Authorization: Bearer TOKEN)."""
    deadline: float = Field(default=30.0, gt=0, le=3600)
    """How many seconds a prediction may take, and a conversation may wait for its turn; what comes later is answered
    with 504."""
    max_queue: int = Field(default=4096, ge=1)
    """How many examples may wait to be predicted; further ones are told at once to come back later."""
    max_rows: int = Field(default=1024, ge=1)
    """How many examples one request may hold."""
    max_characters: int = Field(default=100_000, ge=1)
    """The longest text, in characters."""
    max_body: int = Field(default=1_000_000, ge=1)
    """The longest body of a request, in bytes."""
    grow: Path | None = None
    """Let requests teach the models labels (POST /v1/labels), and save what they learn in this folder, from where it is
    served again after a restart; without it no request changes a model."""
    max_waiting: int = Field(default=16, ge=0)
    """How many conversations may wait while one is answered; further ones are told at once to come back later."""
    max_tokens: int = Field(default=4096, ge=1)
    """The longest answer to a conversation that may be asked for, in tokens."""

    @classmethod
    def called(cls) -> str:
        """Return what messages call these options."""
        return "serve"

    def limits(self) -> serving.Limits:
        """Return what a request may ask for."""
        return serving.Limits(
            most_waiting=self.max_waiting,
            most_tokens=self.max_tokens,
            most_bytes=self.max_body,
            most_examples=self.max_queue,
            inputs=serving.InputLimits(self.max_rows, self.max_characters),
            deadline_seconds=self.deadline,
        )


def serve(
    models: Sequence[str],
    *,
    options: ServeOptions | Mapping[str, Any] | None = None,
    announce: Callable[[Sequence[str], str], None],
    log_requests: bool = False,
) -> None:
    """Offer models until the process is stopped.

    Args:
        models: Folders of saved models, or a folder or hub id of a pre-trained one that writes; as ``NAME=MODEL`` where
            requests are to call it otherwise than it is called.
        options: A `ServeOptions` or its fields.
        announce: Told the models' names and the address once they can be asked.
        log_requests: Log a line for every request, never with a text.

    Raises:
        NshotError: One cannot be opened, two have one name, or the address cannot be listened at; the text says what to
            do.
    """
    resolved = resolved_options(ServeOptions, options, {})
    token = _token(resolved.token_env)
    serving.require_possible(resolved.host, token)
    offers = _offers(models, resolved)
    serving.serve(
        offers,
        host=resolved.host,
        port=resolved.port,
        token=token,
        limits=resolved.limits(),
        announce=lambda address: announce([offer.name for offer in offers], address),
        log_requests=log_requests,
    )


def _offers(models: Sequence[str], options: ServeOptions) -> list[serving.Offer]:
    from nshot.serving.sharing import SharedBackbones

    shared = SharedBackbones(opener(options, None))
    offers: dict[str, serving.Offer] = {}
    for model in models:
        name, place = _named(model)
        folder = Path(place).expanduser()
        # What is there and no pre-trained model either is refused as a saved one: that is what is mostly meant.
        if (folder / MANIFEST).is_file() or (folder.exists() and not (folder / MODEL_CONFIG).is_file()):
            offer = _saved(name or name_of(folder), folder, shared, options.grow)
        else:
            offer = _pre_trained(name, place, options)
        if offer.name in offers:
            raise OptionError(f"Two models are called '{offer.name}'. Name one of them: OTHER={place}.")
        offers[offer.name] = offer
    if options.grow is not None and all(offer.grown_at is None for offer in offers.values()):
        raise OptionError("--grow keeps what saved models learn, and none was named. Name the folder of one.")
    return list(offers.values())


def _saved(name: str, folder: Path, shared: SharedBackbones, grow: Path | None) -> serving.Offer:
    """Return the offer of a saved model; of what it has learnt since, where that is kept."""
    from nshot.serving.growing import place_to_open
    from nshot.serving.predicting import open_saved

    if grow is None:
        return serving.Offer(name, partial(open_saved, name, folder, shared))
    if Path(name).name != name or name in {".", ".."}:
        raise OptionError(
            f"What '{name}' learns cannot be saved in {grow}: its name is no name of a folder. Give it another one: "
            f"OTHER={folder}."
        )
    place = grow.expanduser() / name
    bundle.require_writable(place)
    return serving.Offer(name, lambda: open_saved(name, place_to_open(name, folder, place), shared), place)


def _pre_trained(name: str | None, model: str, options: ServeOptions) -> serving.Offer:
    """Return the offer of a pre-trained model that writes, opened; it never has a later version."""
    found = open_writer(model, options, None)
    found = replace(found, name=name or found.name)
    return serving.Offer(found.name, lambda: found)


def _named(model: str) -> tuple[str | None, str]:
    """Return the name before ``=``, if there is one, and the rest."""
    name, found, place = model.partition("=")
    return (name, place) if found and name and place and not Path(model).expanduser().exists() else (None, model)


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
