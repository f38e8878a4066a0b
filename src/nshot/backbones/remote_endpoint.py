"""Where a remote model is, and whether it may be asked."""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from nshot.backbones.remote_options import RemoteAccess
from nshot.core import REMOTE, BackboneRef, ModelError, OptionError, is_loopback

_USUAL_ADDRESS = "https://api.openai.com/v1"
_ADDRESS_VARIABLE = "OPENAI_BASE_URL"
_KEY_VARIABLE = "OPENAI_API_KEY"


@dataclass(frozen=True)
class Endpoint:
    """Where a remote model is.

    Attributes:
        model: Its name there.
        address: Base of the protocol's paths, such as ``http://127.0.0.1:8000/v1``.
    """

    model: str
    address: str

    @classmethod
    def of(cls, ref: BackboneRef) -> Endpoint:
        """Return where the model of a reference is.

        Without an address in the id it is that of the environment variable OPENAI_BASE_URL, or OpenAI's own.

        Raises:
            OptionError: The id names no model, or its address is none or holds a key.
        """
        model, named, rest = ref.id.removeprefix(REMOTE).partition("@http")
        address = f"http{rest}" if named else os.environ.get(_ADDRESS_VARIABLE) or _USUAL_ADDRESS
        if not model or not _is_address(address):
            usual = "" if named else f", with {_ADDRESS_VARIABLE}={os.environ.get(_ADDRESS_VARIABLE, '')}"
            raise OptionError(f"Expected openai:MODEL or openai:MODEL@http://host:port/v1. Found: {ref.id}{usual}")
        parts = urlsplit(address)
        if parts.username or parts.password or parts.query or parts.fragment:
            raise OptionError(
                f"The address of {model} must hold no key and no query, because it is written into records. "
                "Put the key into an environment variable and name that: --api-key-env NAME."
            )
        return cls(model, address.rstrip("/"))

    @property
    def host(self) -> str:
        """Return the name or number of the machine."""
        return urlsplit(self.address).hostname or ""

    @property
    def is_here(self) -> bool:
        """Return whether it is on this machine."""
        return is_loopback(self.host)

    @property
    def is_openai(self) -> bool:
        """Return whether it is OpenAI's own service."""
        return self.address == _USUAL_ADDRESS

    @property
    def ref(self) -> BackboneRef:
        """Return the reference that finds it again, whatever the environment says then."""
        return BackboneRef(f"{REMOTE}{self.model}" + ("" if self.is_openai else f"@{self.address}"))

    def key_variable(self, named: str | None) -> str | None:
        """Return the environment variable with the key that may be sent there, or None.

        Args:
            named: The variable that the user named. Where there is none, OPENAI_API_KEY belongs to the address of
                OPENAI_BASE_URL or OpenAI's own, and is sent to no other.
        """
        usual = os.environ.get(_ADDRESS_VARIABLE) or _USUAL_ADDRESS
        return named or (_KEY_VARIABLE if self.address == usual.rstrip("/") else None)

    def key(self, named: str | None) -> str | None:
        """Return the key, from the environment; None where none is needed to try.

        Args:
            named: As in `key_variable`.

        Raises:
            ModelError: There has to be one and there is none, or it cannot be one.
        """
        variable = self.key_variable(named)
        key = os.environ.get(variable, "").strip() if variable else ""
        if not key and (named or self.is_openai):
            raise ModelError(
                f"The key for {self.host} is read from the environment variable {variable}, which is not set. "
                "Set it, or name another one: --api-key-env NAME."
            )
        if not key.isascii() or not key.isprintable():
            raise ModelError(f"What the environment variable {variable} holds is no key: it has letters no key has.")
        return key or None


def require_permission(endpoint: Endpoint, access: RemoteAccess | None) -> RemoteAccess:
    """Return the permission to ask `endpoint`.

    Raises:
        OptionError: There is none; or there has to be a limit on the money, or prices for one.
    """
    prices = "--max-cost 5 --price-in X --price-out Y (prices per million tokens; 0 for what costs nothing)"
    if access is None or not access.allow:
        where = f"another program on this machine ({endpoint.address})" if endpoint.is_here else endpoint.host
        limited = "" if endpoint.is_here else f" It also needs a limit on the cost: {prices}."
        raise OptionError(
            f"{endpoint.model} is a remote model. Asking it sends to {where}: the text of every example that it "
            f"answers, your instruction, and the worked examples with their labels or answers. "
            f"If that may be sent, add --allow-remote.{limited}"
        )
    if access.max_cost is None and not endpoint.is_here:
        raise OptionError(f"Asking {endpoint.model} at {endpoint.host} needs a limit on the cost: {prices}.")
    if access.max_cost is not None and (access.price_in is None or access.price_out is None):
        raise OptionError(f"A limit on the cost needs the prices of {endpoint.model}: {prices}.")
    return access


def _is_address(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, a bracket that is not closed
        return False
