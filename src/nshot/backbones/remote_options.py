"""What a user allows where texts may leave the machine, and what it may cost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from nshot.spec import Spec


@dataclass(frozen=True)
class RemoteAccess:
    """Permission to ask models behind an address, and its limits.

    Attributes:
        allow: Whether any text may be sent at all.
        max_cost: The most money that may be spent, what `record` says was spent before included; None: no limit.
        price_in: Of a million tokens that are read; None: nobody said.
        price_out: Of a million tokens that are written; None: nobody said.
        api_key_env: Name of the environment variable that holds the key; None: see `RemoteLlm`.
        requests_per_minute: The most requests that are begun in a minute; None: as many as the endpoint takes.
        record: File to which every answer is appended, and from which it is taken when it is wanted again; None:
            answers are kept as long as the process.
        at_once: How many requests are under way at the same time.
        timeout_seconds: How long an answer may take.
        retries: How often a request that failed is sent again.
    """

    allow: bool = False
    max_cost: float | None = None
    price_in: float | None = None
    price_out: float | None = None
    api_key_env: str | None = None
    requests_per_minute: int | None = None
    record: Path | None = None
    at_once: int = 4
    timeout_seconds: float = 120.0
    retries: int = 3

    def price(self, tokens_in: int, tokens_out: int) -> float:
        """Return what so many tokens cost; a price that nobody named counts as nothing."""
        return (tokens_in * (self.price_in or 0.0) + tokens_out * (self.price_out or 0.0)) / 1e6


class RemoteOptions(Spec):
    """Whether models behind an address may be asked, and within which limits."""

    allow_remote: bool = False
    """Allow models behind an address (--backbone openai:MODEL): the texts and the labels shown as examples are sent
    there."""
    max_cost: float | None = Field(default=None, ge=0)
    """The most money that may be spent on remote models, in the currency of the prices; needed for every address that
    is not this machine's."""
    price_in: float | None = Field(default=None, ge=0)
    """Price of a million tokens that a remote model reads."""
    price_out: float | None = Field(default=None, ge=0)
    """Price of a million tokens that a remote model writes."""
    api_key_env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Name of the environment variable that holds the key, OPENAI_API_KEY for the usual address; the key itself is
    never an option and is written nowhere."""
    requests_per_minute: int | None = Field(default=None, ge=1)
    """The most requests to a remote model in a minute."""

    def access(self, record: Path | None) -> RemoteAccess:
        """Return the permission that these options give.

        Args:
            record: File with the answers so far, to be continued; None: answers are not kept.
        """
        return RemoteAccess(
            self.allow_remote,
            self.max_cost,
            self.price_in,
            self.price_out,
            self.api_key_env,
            self.requests_per_minute,
            record,
        )
