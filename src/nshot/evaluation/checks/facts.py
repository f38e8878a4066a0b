"""What several checks look at, computed once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol, overload

import numpy as np

from nshot import core
from nshot.core import Conversation, DataError, Example, TaskKind, TokenisedText, as_conversation
from nshot.data import duplicates
from nshot.data.equal import equal_images, equal_rows
from nshot.data.reading import Source
from nshot.data.rows import gathered, shown
from nshot.training.writing import instructed

LABELS = frozenset({TaskKind.CLASSIFY})
"""The tasks that checks of labels are about."""
SEVERAL = frozenset({TaskKind.TAG})
"""The task in which a row may have several labels, or none."""
ENTITIES = frozenset({TaskKind.EXTRACT})
WRITING = frozenset({TaskKind.GENERATE})
VALUES = frozenset({TaskKind.REGRESS})
RARE = frozenset({TaskKind.DETECT})
ANY = LABELS | SEVERAL | ENTITIES | WRITING | VALUES | RARE | {TaskKind.CLUSTER, TaskKind.COMPRESS}

TEXTS = frozenset({"text", "conversation"})
"""The modalities that checks of texts are about."""
ROWS = frozenset({"row"})
IMAGES = frozenset({"image"})
EXAMPLES = TEXTS | ROWS | IMAGES

MOST_ROWS = 200
MOST_PAIRS = 50
_COUNTED_AT_ONCE = 1000
TOKENS_PER_WORD = 1.3
CHARACTERS_PER_TOKEN = 6.0
"""Beyond this many characters a token, what has no spaces (Chinese, links, codes) is cut into more than its words."""


class Counts(Protocol):
    """A model that knows how long an example is."""

    @property
    def longest(self) -> int | None:
        """As in `Generates`."""

    def prompt_tokens(self, examples: Sequence[Example]) -> list[int]:
        """As in `Generates`."""

    def conversations(self, examples: Sequence[Example], answers: Sequence[str]) -> list[TokenisedText]:
        """As in `TrainsToWrite`."""


@dataclass(frozen=True, eq=False)
class TokenCounts:
    """How long the labelled rows are as a model reads them.

    Attributes:
        inputs: Shape (n,), int64: tokens up to the answer.
        rows: Shape (n,), int64: tokens with the answer and its end.
        longest: The most tokens that are taken in; None: as many as there are.
        model: What the model is called.
    """

    inputs: np.ndarray
    rows: np.ndarray
    longest: int | None
    model: str


@dataclass(frozen=True, eq=False)
class Audit:
    """The data and its duplicates.

    Attributes:
        train: The training data.
        test: The test, or None.
        texts: Its n labelled texts; to generate, the conversations as text; of rows their cells, of images their names.
        targets: Their labels or other targets; to generate, the answer of each row.
        test_texts: The m labelled texts of the test; empty without one.
        exact: Shape (n,), int64: equal where normalised texts, all cells of a row, or the bytes of an image are equal.
        test_exact: Shape (m,), int64: the same ids for the test.
        copies: Shape (n,), int64: equal where rows repeat each other: as `exact`; to generate, with their answers.
        pairs: Near-duplicates; positions from n on are test rows. To generate, of texts with their answers.
        groups: Shape (n,), int64: equal texts, near-duplicates and named groups together.
        test_groups: Shape (m,), int64: the same ids for the test, or None.
        leaked: Training positions whose normalised text, row or image stands in the test.
        tokens: How long the rows are for a model, or None where nobody counted.
        few_values: More than half of the rows repeat an earlier one, because their columns have few different values:
            equal rows are then no copies of each other, and neither kept together nor left out of the training.
    """

    train: Source
    test: Source | None
    texts: Sequence[str]
    targets: Sequence[Any]
    test_texts: Sequence[str]
    exact: np.ndarray
    test_exact: np.ndarray
    copies: np.ndarray
    pairs: duplicates.NearPairs
    groups: np.ndarray
    test_groups: np.ndarray | None
    leaked: np.ndarray
    tokens: TokenCounts | None = None
    few_values: bool = False

    @property
    def modality(self) -> str:
        """What the examples are: as in `Dataset`."""
        return self.train.dataset.modality

    @property
    def writes(self) -> bool:
        """Whether answers are texts that a model is to write."""
        return self.train.task.kind is TaskKind.GENERATE

    @property
    def noun(self) -> str:
        """What an example is called."""
        return "input" if self.writes else self.modality

    def labels(self) -> Iterator[tuple[int, str]]:
        """Yield each label of each labelled row, with the row's position."""
        for position, target in enumerate(self.targets):
            for label in labels_of(self.train.task.kind, target):
                yield position, label

    @property
    def aside(self) -> str:
        """What equal texts may differ in, in brackets' words; empty of rows and images."""
        return "; case, spaces and punctuation aside" if self.modality in TEXTS else ""

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


def gather(train: Source, test: Source | None, tokens: TokenCounts | None = None) -> Audit:
    """Return the facts about these data; finding the near-duplicates is most of the work.

    Inputs of generation often come from one template, so that half of them resemble each other, and what tells whether
    a row teaches another's answer is whether that answer is nearly the same too: near-duplicates are those of input and
    answer together, without system messages and tools, which whole files share. Equal inputs are in one group
    whatever their answers.
    """
    if train.dataset.modality not in TEXTS:
        return _gather_equal(train, test)
    texts, targets, whole = _texts(train)
    test_texts, _, test_whole = _texts(test) if test else ([], [], [])
    n = len(texts)
    copies, pairs = duplicates.exact_and_near(whole + test_whole)
    groups = duplicates.linked(copies, pairs)
    exact = copies
    if train.task.kind in WRITING:
        exact = duplicates.exact_groups(texts + test_texts)
        groups = duplicates.merged(groups, exact)
    named = _named_groups(train, test)
    if named is not None:
        groups = duplicates.merged(groups, named)
    leaked = np.flatnonzero(np.isin(exact[:n], exact[n:]))
    return Audit(
        train=train,
        test=test,
        texts=texts,
        targets=targets,
        test_texts=test_texts,
        exact=exact[:n],
        test_exact=exact[n:],
        copies=copies[:n],
        pairs=pairs,
        groups=groups[:n],
        test_groups=groups[n:] if test else None,
        leaked=leaked,
        tokens=tokens,
    )


def _gather_equal(train: Source, test: Source | None) -> Audit:
    """Return the facts about rows or images, of which equal ones are found, and no nearly equal ones."""
    n = len(train.dataset)
    sides = [train] if test is None else [train, test]
    exact = _equal(sides)
    few_values = train.dataset.modality in ROWS and 2 * len(np.unique(exact[:n])) < n
    groups = np.arange(len(exact)) if few_values else exact
    named = _named_groups(train, test)
    if named is not None:
        groups = duplicates.merged(groups, named)
    nothing = np.zeros(0, np.int64)
    leaked = nothing if few_values else np.flatnonzero(np.isin(exact[:n], exact[n:]))
    return Audit(
        train=train,
        test=test,
        texts=_Shown(train),
        targets=train.dataset.labelled_targets(),
        test_texts=_Shown(test) if test else (),
        exact=exact[:n],
        test_exact=exact[n:],
        copies=exact[:n],
        pairs=duplicates.NearPairs(nothing, nothing, np.zeros(0)),
        groups=groups[:n],
        test_groups=groups[n:] if test else None,
        leaked=leaked,
        few_values=few_values,
    )


def _equal(sides: Sequence[Source]) -> np.ndarray:
    """Return an id per labelled example of all files, one after the other: equal where examples are."""
    if sides[0].dataset.modality in IMAGES:
        return equal_images(chain.from_iterable(side.dataset.examples for side in sides))
    return equal_rows([gathered(side.dataset.examples) for side in sides])


class _Shown(Sequence[str]):
    """The rows or images of a file as people read them, made when they are asked for."""

    def __init__(self, source: Source) -> None:
        self._source = source
        named = source.dataset.modality in IMAGES and "file" in source.columns
        self._files = source.column("file") if named else None

    def __len__(self) -> int:
        return len(self._source.dataset)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if self._source.dataset.modality in ROWS:
            return shown(self._source.dataset.examples[index])
        at = self._source.positions[index]
        return self._files[at] if self._files is not None else f"image {at + 1:,}"


def count_tokens(source: Source, model: Counts, name: str) -> TokenCounts:
    """Return how long the labelled rows are as a model reads them; of those that it refuses, an estimate.

    Args:
        source: Data with answers to write.
        model: Knows its tokens and its chat format; its weights are not loaded.
        name: What messages call it.

    Raises:
        ModelError: It cannot be read, or has no token that ends an answer.
    """
    examples, targets = source.dataset.examples, source.dataset.labelled_targets()
    inputs = np.zeros(len(examples), np.int64)
    rows = np.zeros(len(examples), np.int64)
    instruction = instructed(source.task)
    for start in range(0, len(examples), _COUNTED_AT_ONCE):
        places = range(start, min(start + _COUNTED_AT_ONCE, len(examples)))
        asked = [as_conversation(examples[i], instruction) for i in places]
        answers = [targets[i][0] for i in places]
        part = slice(places.start, places.stop)
        try:
            inputs[part] = model.prompt_tokens(asked)
            rows[part] = [len(text) for text in model.conversations(asked, answers)]
        except DataError:  # one of them is refused by the chat template
            for i, conversation, answer in zip(places, asked, answers, strict=True):
                inputs[i], rows[i] = _counted(model, conversation, answer)
    return TokenCounts(inputs, rows, model.longest, name)


def _counted(model: Counts, conversation: Conversation, answer: str) -> tuple[int, int]:
    try:
        return model.prompt_tokens([conversation])[0], len(model.conversations([conversation], [answer])[0])
    except DataError:
        inputs = estimated_tokens(conversation.as_text())
        return int(inputs), int(inputs + estimated_tokens(answer))


def _texts(source: Source) -> tuple[list[str], list[Any], list[str]]:
    """Return the labelled rows as text, their labels or answers, and what near-duplicates have nearly in common."""
    rows = source.dataset
    if source.task.kind not in WRITING:
        texts = list(rows.examples)
        return texts, list(rows.labelled_targets()), texts
    asked = list(rows.examples)
    answers = [accepted[0] for accepted in rows.labelled_targets()]
    whole = [f"{each.without_system().as_text()}\n{answer}" for each, answer in zip(asked, answers, strict=True)]
    return [each.as_text() for each in asked], answers, whole


def _named_groups(train: Source, test: Source | None) -> np.ndarray | None:
    """Return an id per row of both files for the groups that a column names, or None where none does."""
    if train.dataset.groups is None or train.group_column is None:
        return None
    ids: dict[object, int] = {}
    found = [ids.setdefault(key, len(ids)) for key in train.dataset.groups]
    if test:
        if test.dataset.groups is None:  # rows of nobody: a group each
            found.extend(range(len(ids), len(ids) + len(test.dataset)))
        else:
            found.extend(ids.setdefault(key, len(ids)) for key in test.dataset.groups)
    return np.asarray(found, np.int64)


def estimated_tokens(text: str) -> float:
    """Return about how many tokens a text has: 1.3 a word, or one for six characters where that is more."""
    return max(len(text.split()) * TOKENS_PER_WORD, len(text) / CHARACTERS_PER_TOKEN)


def share(part: int, whole: int) -> str:
    """Return a share in words, such as ``2.4 %``."""
    percent = 100 * part / whole
    return f"{percent:.0f} %" if percent >= 10 else f"{percent:.1f} %"


def labels_of(kind: TaskKind, target: Any) -> Sequence[str]:
    """Return the labels that a row has, by the kind of task; of entities each label once."""
    if kind in ENTITIES:
        return sorted({span.label for span in target})
    return list(target) if kind in SEVERAL else [target]


def named(target: str | tuple[str, ...]) -> str:
    """Return a row's label, or labels, in quotes."""
    if isinstance(target, str):
        return f"'{target}'"
    return " with ".join(f"'{label}'" for label in target) or "none"


def listed(names: Sequence[str], most: int = 5) -> str:
    """Return the first of these names in quotes, and how many more there are."""
    return core.listed([f"'{name}'" for name in names], most)
