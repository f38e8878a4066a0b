"""The option that every detector has, stated once."""

from __future__ import annotations

from pydantic import Field

from nshot.spec import Spec


class PoolOptions(Spec):
    """How much of the pool a detector learns from."""

    most_rows: int = Field(default=20_000, ge=2)
    """The most unlabelled rows that are learnt from; of a larger pool as many, drawn at random."""
