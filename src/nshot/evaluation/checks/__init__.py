"""Checks of the data before anything is measured, and of the runs after: one file per check.

Each is found by its name ``n<code>_<title>.py``: N1xx are about data and asked by `audit`, N2xx about runs and asked by
`audit_runs`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from nshot.core import Check

if TYPE_CHECKING:
    import numpy as np

    from nshot.data.reading import Source
    from nshot.evaluation.checks.run_facts import RunAudit

DATA, RUNS = "n1", "n2"
"""How the names of the checks of either kind begin."""


@dataclass(frozen=True, eq=False)
class AuditReport:
    """What the checks found, and the facts that splitting needs.

    Attributes:
        checks: The findings, by code.
        groups: Shape (n labelled rows,), int64: rows with one id are near-duplicates or of one named group, and must
            never straddle a split.
        test_groups: The same for the labelled rows of the test, ids shared with `groups`; None without a test.
        leaked: Positions among the labelled rows of the training data whose normalised text stands in the test.
    """

    checks: tuple[Check, ...]
    groups: np.ndarray
    test_groups: np.ndarray | None
    leaked: np.ndarray


@cache
def names(kind: str) -> tuple[str, ...]:
    """Return the module names of the checks of one kind, sorted by code; imports none of them."""
    found = (module.name for module in pkgutil.iter_modules(__path__))
    return tuple(sorted(name for name in found if name.startswith(kind) and name[1:4].isdigit()))


def _findings(kind: str, facts: Any) -> Iterator[Check]:
    for name in names(kind):
        finding: Check | None = importlib.import_module(f"{__name__}.{name}").check(facts)
        if finding is not None:
            yield finding


def audit(train: Source, test: Source | None = None) -> AuditReport:
    """Return what is wrong with the data, or worth knowing about it.

    Args:
        train: The training data.
        test: The test the user gave, read ``like=train``, or None.
    """
    from nshot.evaluation.checks.facts import gather

    facts = gather(train, test)
    return AuditReport(tuple(_findings(DATA, facts)), facts.groups, facts.test_groups, facts.leaked)


def audit_runs(facts: RunAudit) -> tuple[Check, ...]:
    """Return what is wrong with what was measured, or worth knowing about it, by code."""
    return tuple(_findings(RUNS, facts))
