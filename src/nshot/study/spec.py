"""One planned run: everything that decides its outcome, and the key made of it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from nshot.core import Candidate


@dataclass(frozen=True)
class RunSpec:
    """A candidate, a training subset and a seed: planned, immutable.

    Attributes:
        candidate: What is fitted.
        n_labels: Size of the training subset; 0 for none.
        repeat: Which random order of the training rows.
        fold: Which fold of it is the test.
        seed: Seed of the fit; the same for every candidate on the same subset.
        data: Fingerprint of the data, the division into draws included.
        precision: Number format of the network, or None for a candidate without a backbone.
    """

    candidate: Candidate
    n_labels: int
    repeat: int
    fold: int
    seed: int
    data: str
    precision: str | None

    @cached_property
    def key(self) -> str:
        """Return 24 hex digits: equal for runs that must give equal results."""
        record = json.dumps(self.as_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.blake2b(record.encode(), digest_size=12).hexdigest()

    def as_json(self) -> dict[str, Any]:
        """Return the spec as a json-able record."""
        backbone = self.candidate.backbone
        return {
            "method": self.candidate.method,
            "version": self.candidate.version,
            "options": dict(self.candidate.options),
            "backbone": backbone.as_json() if backbone else None,
            "n_labels": self.n_labels,
            "repeat": self.repeat,
            "fold": self.fold,
            "seed": self.seed,
            "data": self.data,
            "precision": self.precision,
        }
