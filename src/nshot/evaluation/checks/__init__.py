"""Checks of the data before anything is measured, and of the runs after: one file per check.

Each is found by its name ``n<code>_<title>.py``: N1xx are about data and asked by `audit`, for the kinds of task that
they name (``KINDS``), N2xx about runs and asked by `audit_runs`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from nshot.core import Check

if TYPE_CHECKING:
    import numpy as np

    from nshot.data.reading import Source
    from nshot.evaluation.checks.facts import TokenCounts
    from nshot.evaluation.checks.run_facts import RunAudit

DATA, RUNS = "n1", "n2"
"""How the names of the checks of either kind begin."""


@dataclass(frozen=True, eq=False)
class AuditReport:
    """What the checks found, and the facts that splitting needs.

    Attributes:
        checks: The findings, by code.
        groups: Shape (n labelled rows,), int64: rows with one id are near-duplicates or of one named group, and must
            never straddle a split. To generate: have the same input, or nearly the same input and answer. Rows of a
            table, and images: are equal.
        test_groups: The same for the labelled rows of the test, ids shared with `groups`; None without a test.
        leaked: Positions among the labelled rows of the training data whose normalised text (to generate: whole
            conversation up to the answer; of a table: row; image) stands in the test.
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


def _modules(kind: str) -> list[Any]:
    return [importlib.import_module(f"{__name__}.{name}") for name in names(kind)]


def _findings(modules: Sequence[Any], facts: Any) -> Iterator[Check]:
    for module in modules:
        finding: Check | None = module.check(facts)
        if finding is not None:
            yield finding


def audit(train: Source, test: Source | None = None, tokens: TokenCounts | None = None) -> AuditReport:
    """Return what is wrong with the data, or worth knowing about it.

    Args:
        train: The training data.
        test: The test the user gave, read ``like=train``, or None.
        tokens: How long the training rows are for the model that will write; estimated without.
    """
    from nshot.evaluation.checks.facts import gather

    facts = gather(train, test, tokens)
    kind, modality = train.task.kind, train.dataset.modality
    modules = [module for module in _modules(DATA) if kind in module.KINDS and modality in module.MODALITIES]
    return AuditReport(tuple(_findings(modules, facts)), facts.groups, facts.test_groups, facts.leaked)


def audit_runs(facts: RunAudit) -> tuple[Check, ...]:
    """Return what is wrong with what was measured, or worth knowing about it, by code."""
    return tuple(_findings(_modules(RUNS), facts))
