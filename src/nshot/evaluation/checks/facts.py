"""What several checks look at, computed once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from nshot.data import duplicates
from nshot.data.reading import Source

MOST_ROWS = 200
MOST_PAIRS = 50


@dataclass(frozen=True, eq=False)
class Audit:
    """The data and its duplicates.

    Attributes:
        train: The training data.
        test: The test, or None.
        texts: Its n labelled texts.
        targets: Their labels.
        test_texts: The m labelled texts of the test; empty without one.
        exact: Shape (n,), int64: equal where normalised texts are equal.
        test_exact: Shape (m,), int64: the same ids for the test.
        pairs: Near-duplicates; positions from n on are test rows.
        groups: Shape (n,), int64: near-duplicates and named groups together.
        test_groups: Shape (m,), int64: the same ids for the test, or None.
        leaked: Training positions whose normalised text stands in the test.
    """

    train: Source
    test: Source | None
    texts: Sequence[str]
    targets: Sequence[str]
    test_texts: Sequence[str]
    exact: np.ndarray
    test_exact: np.ndarray
    pairs: duplicates.NearPairs
    groups: np.ndarray
    test_groups: np.ndarray | None
    leaked: np.ndarray

    def rows(self, positions: Iterable[int]) -> tuple[int, ...]:
        """Return the rows in the training file of the first of these labelled positions."""
        return _rows(self.train, positions)

    def test_rows(self, positions: Iterable[int]) -> tuple[int, ...]:
        """Return the rows in the test file of the first of these labelled positions."""
        return _rows(self.test, positions) if self.test else ()


def _rows(source: Source, positions: Iterable[int]) -> tuple[int, ...]:
    found: list[int] = []
    for position in positions:
        if len(found) == MOST_ROWS:
            break
        found.append(int(source.positions[int(position)]))
    return tuple(found)


def gather(train: Source, test: Source | None) -> Audit:
    """Return the facts about these data; finding the near-duplicates is most of the work."""
    texts = list(train.dataset.examples)
    test_texts = list(test.dataset.examples) if test else []
    n = len(texts)
    everything = texts + test_texts
    exact, pairs = duplicates.exact_and_near(everything)
    groups = duplicates.linked(exact, pairs)
    named = _named_groups(train, test)
    if named is not None:
        groups = duplicates.merged(groups, named)
    leaked = np.flatnonzero(np.isin(exact[:n], exact[n:]))
    return Audit(
        train=train,
        test=test,
        texts=texts,
        targets=list(train.dataset.labelled_targets()),
        test_texts=test_texts,
        exact=exact[:n],
        test_exact=exact[n:],
        pairs=pairs,
        groups=groups[:n],
        test_groups=groups[n:] if test else None,
        leaked=leaked,
    )


def _named_groups(train: Source, test: Source | None) -> np.ndarray | None:
    """Return an id per row of both files for the groups that a column names, or None where none does."""
    if train.dataset.groups is None:
        return None
    ids: dict[object, int] = {}
    found = [ids.setdefault(key, len(ids)) for key in train.dataset.groups]
    if test:
        if test.dataset.groups is None:  # rows of nobody: a group each
            found.extend(range(len(ids), len(ids) + len(test.dataset)))
        else:
            found.extend(ids.setdefault(key, len(ids)) for key in test.dataset.groups)
    return np.asarray(found, np.int64)


def share(part: int, whole: int) -> str:
    """Return a share in words, such as ``2.4 %``."""
    percent = 100 * part / whole
    return f"{percent:.0f} %" if percent >= 10 else f"{percent:.1f} %"


def number(count: int, one: str, many: str | None = None) -> str:
    """Return a count with its noun, such as ``1 text`` or ``1,204 texts``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def listed(names: Sequence[str], most: int = 5) -> str:
    """Return the first of these names in quotes, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(f"'{name}'" for name in names[:most]) + more
