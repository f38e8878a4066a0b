"""What several checks look at, computed once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from nshot import core
from nshot.core import Conversation, DataError, Example, TaskKind, TokenisedText, as_conversation
from nshot.data import duplicates
from nshot.data.reading import Source
from nshot.training.writing import instructed

LABELS = frozenset({TaskKind.CLASSIFY})
"""The tasks that checks of labels are about."""
WRITING = frozenset({TaskKind.GENERATE})
ANY = LABELS | WRITING

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
        texts: Its n labelled texts; to generate, the conversations as text.
        targets: Their labels; to generate, the answer of each row.
        test_texts: The m labelled texts of the test; empty without one.
        exact: Shape (n,), int64: equal where normalised texts are equal.
        test_exact: Shape (m,), int64: the same ids for the test.
        copies: Shape (n,), int64: equal where rows repeat each other: as `exact`; to generate, with their answers.
        pairs: Near-duplicates; positions from n on are test rows. To generate, of texts with their answers.
        groups: Shape (n,), int64: equal texts, near-duplicates and named groups together.
        test_groups: Shape (m,), int64: the same ids for the test, or None.
        leaked: Training positions whose normalised text stands in the test.
        tokens: How long the rows are for a model, or None where nobody counted.
    """

    train: Source
    test: Source | None
    texts: Sequence[str]
    targets: Sequence[str]
    test_texts: Sequence[str]
    exact: np.ndarray
    test_exact: np.ndarray
    copies: np.ndarray
    pairs: duplicates.NearPairs
    groups: np.ndarray
    test_groups: np.ndarray | None
    leaked: np.ndarray
    tokens: TokenCounts | None = None

    @property
    def writes(self) -> bool:
        """Whether answers are texts that a model is to write."""
        return self.train.task.kind is TaskKind.GENERATE

    @property
    def noun(self) -> str:
        """What a row's text is called."""
        return "input" if self.writes else "text"

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


def _texts(source: Source) -> tuple[list[str], list[str], list[str]]:
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


def listed(names: Sequence[str], most: int = 5) -> str:
    """Return the first of these names in quotes, and how many more there are."""
    return core.listed([f"'{name}'" for name in names], most)
