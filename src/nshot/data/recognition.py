"""Which column holds the texts, which the labels, and whether the label names say anything."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

TEXT_NAMES = (
    "text", "texts", "sentence", "message", "utterance", "tweet", "review", "review_text", "comment", "content",
    "body", "question", "query", "post", "document", "description", "title", "headline", "abstract", "prompt",
    "input", "narrative", "complaint", "feedback", "transcript", "email", "sms", "request", "phrase", "statement",
    "passage", "paragraph", "article", "subject", "summary", "note", "notes", "context", "conversation",
    "texte", "testo", "texto", "nachricht", "frage",
)  # fmt: skip
LABEL_NAMES = (
    "label_text", "label_name", "label", "labels", "category", "class", "target", "intent", "sentiment", "emotion",
    "topic", "queue", "class_name", "tag", "polarity", "decision", "rating", "stars", "type", "outcome", "verdict",
    "gold", "annotation", "category_name", "kind", "department", "priority", "severity", "genre", "status", "score",
    "genres", "tags", "topics", "categories",
    "y", "kategorie", "etichetta", "categoria", "etiqueta",
)  # fmt: skip
PROMPT_NAMES = (
    "prompt", "question", "query", "mr", "meaning_representation", "instruction", "source", "src", "input", "inputs",
    "source_text", "problem", "user", "request", "context", "document", "article", "dialogue", "text", "message",
)  # fmt: skip
ANSWER_NAMES = (
    "completion", "response", "answer", "answers", "output", "outputs", "chosen", "ref", "refs", "reference",
    "references", "human_reference", "target", "target_text", "targets", "tgt", "summary", "highlights", "translation",
    "reply", "solution", "assistant", "label", "labels",
)  # fmt: skip
MESSAGES_NAMES = (
    "messages", "conversations", "conversation", "prompt", "dialogue", "dialog", "turns", "chat", "chosen",
)  # fmt: skip
# Columns that say where a row comes from, not what it is about.
_PROVENANCE = frozenset(
    {
        "id",
        "idx",
        "index",
        "uuid",
        "guid",
        "key",
        "row",
        "number",
        "url",
        "uri",
        "link",
        "filename",
        "file",
        "path",
        "hash",
        "date",
        "time",
        "timestamp",
        "datetime",
        "created",
        "updated",
        "split",
        "fold",
        "set",
        "author",
        "user",
        "username",
        "customer",
        "source",
        "lang",
        "language",
        "contract",
        "patient",
    }
)
_LABEL_PREFIXES = frozenset({"is", "has", "was"})
TRUTHS = frozenset({"true", "false"})
WHOLE_NUMBER = re.compile(r"[+-]?\d+(\.0*)?")
VALUE_NAMES = ("target", "y", "label", "value", "price", "outcome", "score", "output", "median_house_value", "medv")
"""What a column of numbers to predict is called, where nobody names it."""
TRUTH_NAMES = (
    "label",
    "labels",
    "class",
    "target",
    "y",
    "truth",
    "anomaly",
    "is_anomaly",
    "outlier",
    "is_outlier",
    "fraud",
    "is_fraud",
    "attack",
    "true_group",
    "true_cluster",
)
"""What a column that says which rows are anomalies, or which group each belongs to, is called."""
_LONGEST_LABEL = 100
_TIE = 0.75
_SURELY_WORDS = 6.0
_FEW_KINDS = 0.05
"""Where fewer of the filled cells differ, a table's column of words holds categories, however long they are."""
# An empty column with the right name is better than none: the message can then say that it is empty.
_EMPTY_SCORE = 1.0


@dataclass(frozen=True)
class ColumnFacts:
    """What a column looks like.

    Attributes:
        name: Its name.
        filled: How many cells are not empty.
        distinct: How many different values they have; estimated beyond 20,000.
        mean_characters: Mean length of those.
        mean_words: Mean number of words of those.
        numeric: Whether all of the first thousand are numbers.
        is_truth: Whether all of the first thousand are true or false.
        is_messages: Whether most of the first twenty are lists of messages.
        is_answered: Whether most of these end with an answer of the assistant's.
        is_nested: Whether the file has lists or objects in it, not only texts.
        is_json: Whether the first twenty begin like lists or objects of JSON.
        is_fractional: Whether some of the first thousand are numbers that are not whole.
    """

    name: str
    filled: int
    distinct: int
    mean_characters: float
    mean_words: float
    numeric: bool
    is_truth: bool = False
    is_messages: bool = False
    is_answered: bool = False
    is_nested: bool = False
    is_json: bool = False
    is_fractional: bool = False


@lru_cache(maxsize=1 << 15)
def words_of(name: str) -> tuple[str, ...]:
    """Return the words of a column's name in lower case: ``CustomerID`` gives customer and id."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip())
    return tuple(word for word in re.split(r"[^0-9a-zA-Z\u00c0-\uffff]+", apart.lower()) if word)


def _name_score(name: str, usual: Sequence[str]) -> float:
    words = words_of(name)
    joined = "_".join(words)
    if joined in usual:
        return 4.0 - usual.index(joined) / len(usual)
    if words and words[-1] in usual:
        return 2.5
    return 1.5 if any(word in usual for word in words) else 0.0


def is_usual_name(name: str) -> bool:
    """Return whether a cell is exactly what text or label columns are usually called."""
    return "_".join(words_of(name)) in {*TEXT_NAMES, *LABEL_NAMES, "id"} and len(name) <= 30


def text_score(column: ColumnFacts, rows: int) -> float:
    """Return how much a column looks like the texts; 0 or less: it does not."""
    named = _name_score(column.name, TEXT_NAMES)
    if not column.filled:
        return _EMPTY_SCORE if named > 3.0 else -1.0
    if column.numeric and column.mean_words < 2:
        return -1.0
    unlike = 3.0 if any(word in _PROVENANCE for word in words_of(column.name)) else 0.0
    varied = column.distinct / column.filled
    wordy = min(column.mean_words, 12.0) / 12.0
    # One word a cell, few kinds of them: a category whatever its name.
    named *= 0.3 if varied < _FEW_KINDS and column.mean_words < 3 else 1.0
    return named + varied + 1.5 * wordy + 0.5 * (column.filled / rows) - 1.0 - unlike


def label_score(column: ColumnFacts, rows: int, *, last: bool) -> float:
    """Return how much a column looks like the labels; 0 or less: it does not."""
    words = words_of(column.name)
    named = _name_score(column.name, LABEL_NAMES)
    if not column.filled:
        return _EMPTY_SCORE if named > 3.0 else -1.0
    if column.mean_characters > _LONGEST_LABEL:
        return -1.0
    if named == 0.0 and words and words[0] in _LABEL_PREFIXES:
        named = 2.0
    unlike = 3.0 if any(word in _PROVENANCE for word in words) and named < 3.0 else 0.0
    repeated = 1.0 - column.distinct / column.filled
    few = 1.0 if 2 <= column.distinct <= max(20, column.filled // 20) else 0.0
    if named < 3.0 and (repeated < 0.5 or not few):
        return -1.0
    if named == 0.0 and column.is_fractional:
        return -1.0  # a measurement of which few values occur: no classes, and nothing says that it is to be predicted
    return named + repeated + few + (0.5 if last else 0.0) - unlike


def is_number(cell: str) -> bool:
    """Return whether a cell is a number as programs write it."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


def is_named(name: str, usual: Sequence[str]) -> bool:
    """Return whether a column is called exactly like one of these."""
    return "_".join(words_of(name)) in usual


def is_label_name(name: str) -> bool:
    """Return whether a column is called what labels are called, possibly after other words."""
    words = words_of(name)
    return is_named(name, LABEL_NAMES) or bool(words and words[-1] in LABEL_NAMES)


def holds_answers(column: ColumnFacts) -> bool:
    """Return whether the cells of a column are mostly different texts of several words, as no labels are."""
    if not column.filled or column.numeric:
        return False
    # Few rows can have a label each; what is called a label has to look even less like one.
    called_labels = is_label_name(column.name)
    varied, wordy = (0.8, 4.0) if called_labels else (0.5, 3.0)
    return column.is_messages or (column.distinct >= varied * column.filled and column.mean_words >= wordy)


def prompt_score(column: ColumnFacts, rows: int) -> float:
    """Return how much a column looks like what a model is asked; 0 or less: it does not."""
    if not column.filled:
        return _EMPTY_SCORE if is_named(column.name, PROMPT_NAMES) else -1.0
    unlike = 3.0 if any(word in _PROVENANCE for word in words_of(column.name)) else 0.0
    wordy = min(column.mean_words, 12.0) / 12.0
    few = 2.0 if column.numeric or column.is_truth else 0.0
    return _name_score(column.name, PROMPT_NAMES) + wordy + column.filled / rows - unlike - few


def answer_score(column: ColumnFacts, rows: int, *, last: bool) -> float:
    """Return how much a column looks like answers in words; 0 or less: it does not."""
    named = _name_score(column.name, ANSWER_NAMES)
    if not column.filled:
        return _EMPTY_SCORE if named > 3.0 else -1.0
    if named <= 3.0 and not holds_answers(column):
        return -1.0
    unlike = 3.0 if any(word in _PROVENANCE for word in words_of(column.name)) and named <= 3.0 else 0.0
    return named + column.distinct / column.filled + (0.5 if last else 0.0) - unlike


def is_surely_text(column: ColumnFacts) -> bool:
    """Return whether a column that looks most like texts is them in a table with many other columns."""
    if column.distinct < _FEW_KINDS * column.filled:
        return False
    return _name_score(column.name, TEXT_NAMES) >= 2.5 or column.mean_words >= _SURELY_WORDS


@dataclass(frozen=True)
class Choice:
    """The likeliest column, and others that could be meant."""

    name: str
    others: tuple[str, ...] = ()


def choose(scores: Mapping[str, float]) -> Choice | None:
    """Return the column with the highest positive score (the first of equal ones), or None."""
    positive = {name: score for name, score in scores.items() if score > 0}
    if not positive:
        return None
    best = max(positive, key=lambda name: positive[name])
    others = tuple(
        name for name, score in positive.items() if name != best and score > 1.5 and positive[best] - score < _TIE
    )
    return Choice(best, others)


_EMPTY_WORDS = frozenset(
    {"true", "false", "yes", "no", "maybe", "y", "n", "t", "f", "none", "null", "nan", "na", "unknown"}
)
_NUMBERED = re.compile(
    r"(label|labels|class|category|cat|cluster|group|topic|type|intent|target|level|grade|lbl|cls|kind|[a-z])?"
    r"[\s_\-#.:]*([+-]?\d+([.,]\d+)?|[a-z])?",
    re.IGNORECASE,
)


def says_nothing(label: str) -> bool:
    """Return whether a label name alone tells nobody what it means: numbers, single letters, LABEL_0, yes."""
    bare = label.strip().strip("_").casefold()
    return bare in _EMPTY_WORDS or _NUMBERED.fullmatch(bare) is not None


def names_say_something(labels: Iterable[str], descriptions: Mapping[str, str]) -> bool:
    """Return whether more than half of the labels have a name or a description that means something."""
    names = list(labels)
    empty = sum(says_nothing(label) and not descriptions.get(label) for label in names)
    return 2 * empty < len(names)
