"""Everything that can be said of examples without a label, in one go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nshot.core import Dataset, Progress, silent
from nshot.explore import duplicates
from nshot.explore.cells import Cells, cells_of
from nshot.explore.contrasts import Contrast, contrasts, extremes
from nshot.explore.duplicates import Duplicates
from nshot.explore.groups import Groups, find_groups
from nshot.explore.labelling import Choice, first_to_label
from nshot.explore.neighbours import nearest
from nshot.explore.outliers import NEIGHBOURS, Strangeness, strangeness, strangest
from nshot.explore.plane import Plane, plane
from nshot.explore.terms import Term, terms

if TYPE_CHECKING:
    from nshot.training.rowwise import Array

_TYPICAL = 5
_STRANGEST = 20
_WORDS = 6


@dataclass(frozen=True)
class Described:
    """A group in words.

    Attributes:
        size: How many rows it has.
        words: What sets it apart, the surest first.
        typical: The rows nearest its centre, of near-duplicates one.
        terms: Of texts: its terms.
        contrasts: Of a table's rows: the columns in which it differs.
    """

    size: int
    words: tuple[str, ...]
    typical: tuple[int, ...]
    terms: tuple[Term, ...] = ()
    contrasts: tuple[Contrast, ...] = ()


@dataclass(frozen=True)
class Strange:
    """A row that is unlike the others.

    Attributes:
        row: Which.
        times: Its distance to its nearest rows, as a multiple of what is usual.
        nearest: The row nearest to it.
        why: Of a table's row: values that are far outside of what is usual; may be empty.
    """

    row: int
    times: float
    nearest: int
    why: tuple[str, ...] = ()


@dataclass(frozen=True)
class Survey:
    """What was found in n rows; rows are positions among them.

    Attributes:
        groups: The groups; `Groups.n_groups` is 0 where there are none.
        described: Each group in words.
        strangeness: How unlike the others each row is.
        strangest: The strangest rows.
        duplicates: Which rows are the same or nearly.
        to_label: Which rows to label first.
        plane: The map.
    """

    groups: Groups
    described: tuple[Described, ...]
    strangeness: Strangeness
    strangest: tuple[Strange, ...]
    duplicates: Duplicates
    to_label: tuple[Choice, ...]
    plane: Plane


def survey(
    examples: Dataset,
    vectors: Array,
    *,
    unlabelled: Array,
    n_label: int = 50,
    n_groups: int | None = None,
    seed: int = 0,
    threads: int = 1,
    progress: Progress = silent,
) -> Survey:
    """Find groups, outliers, near-duplicates and the rows to label first.

    Args:
        examples: n examples.
        vectors: Shape (n, d), float32: what a backbone makes of them.
        unlabelled: Shape (n,), bool: rows that may be chosen to be labelled.
        n_label: How many rows to choose.
        n_groups: How many groups; None: found.
        seed: The only source of chance.
        threads: Processor threads.
        progress: Where to report.
    """
    n = len(examples)
    cells = cells_of(examples.examples, np.arange(n)) if examples.modality == "row" else None
    near = nearest(vectors, NEIGHBOURS, seed=seed, progress=progress)
    if cells is not None:
        alike = duplicates.among_rows(cells, near, vectors.shape[1])
    elif examples.modality == "image":
        alike = duplicates.among_images(examples.examples, near, vectors.shape[1])
    else:
        alike = duplicates.among_texts(examples.examples)
    groups = find_groups(vectors, seed=seed, threads=threads, n_groups=n_groups, progress=progress)
    strange = strangeness(near)
    rows = strangest(strange, alike.groups, _STRANGEST)
    why = extremes(cells, rows) if cells is not None else [[] for _ in rows]
    to_label = first_to_label(
        vectors,
        labels=groups.labels,
        confidence=groups.confidence,
        distinct=alike.groups,
        candidates=np.flatnonzero(unlabelled),
        n=n_label,
        seed=seed,
    )
    described = _described(examples, vectors, cells, groups, alike, seed)
    shown = [*rows, *(choice.row for choice in to_label), *(row for group in described for row in group.typical)]
    return Survey(
        groups=groups,
        described=tuple(described),
        strangeness=strange,
        strangest=tuple(
            Strange(row, float(strange.times[row]), int(near.positions[row, 0]), tuple(words))
            for row, words in zip(rows, why, strict=True)
        ),
        duplicates=alike,
        to_label=tuple(to_label),
        plane=plane(vectors, always=np.unique(np.array(shown, dtype=np.int64)), seed=seed, threads=threads),
    )


def _described(
    examples: Dataset, vectors: Array, cells: Cells | None, groups: Groups, alike: Duplicates, seed: int
) -> list[Described]:
    if groups.n_groups < 2:
        return []
    words: list[Described] = []
    sizes = np.bincount(groups.labels[groups.labels >= 0], minlength=groups.n_groups)
    typical = [_typical(vectors, np.flatnonzero(groups.labels == i), alike.groups) for i in range(groups.n_groups)]
    is_text = examples.modality == "text"
    found = terms(examples.examples, groups.labels, groups.n_groups, seed=seed) if is_text else None
    apart = contrasts(cells, groups.labels, groups.n_groups, seed=seed) if cells is not None else None
    for i in range(groups.n_groups):
        own_terms, own_contrasts = tuple(found[i] if found else ()), tuple(apart[i] if apart else ())
        said = [term.words for term in own_terms] or [contrast.words for contrast in own_contrasts]
        words.append(Described(int(sizes[i]), tuple(said[:_WORDS]), tuple(typical[i]), own_terms, own_contrasts))
    return words


def _typical(vectors: Array, rows: Array, distinct: Array) -> list[int]:
    """Return the rows nearest the middle of these rows, of near-duplicates one."""
    own = vectors[rows]
    order = rows[np.argsort(np.square(own - own.mean(axis=0)).sum(axis=1), kind="stable")]
    chosen: list[int] = []
    seen: set[int] = set()
    for row in order.tolist():
        if len(chosen) == _TYPICAL:
            break
        if int(distinct[row]) not in seen:
            seen.add(int(distinct[row]))
            chosen.append(row)
    return chosen
