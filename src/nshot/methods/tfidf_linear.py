"""Logistic or ridge regression on weighted word counts: the baseline that no pre-trained model helps."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from nshot.core import (
    Backbone,
    BackboneRef,
    DataError,
    Dataset,
    Example,
    Family,
    FitContext,
    Needs,
    Prediction,
    Predictor,
    State,
    Task,
    TaskKind,
)
from nshot.spec import Method

if TYPE_CHECKING:
    from nshot.training.head import Head
    from nshot.training.rowwise import Array

# Thai, Lao, Khmer, Chinese and Japanese are written without spaces: there every character is a token.
_UNSPACED = "\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
# Vowel signs and accents that follow a letter are no word characters for `re`, but belong to the word.
_MARKS = "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0900-\u0dff\u1000-\u109f"
_TOKEN = re.compile(rf"[{_UNSPACED}]|(?:(?![{_UNSPACED}])[\w{_MARKS}])+|[^\w\s]")
_MANY_TEXTS = 5_000


class TfidfLinear(Method):
    """Learn a linear model on the words and word pairs of the text, with no pre-trained model.

    **Idea.** A text is the vector of ``count(t) * (1 + ln((1 + n) / (1 + n_t)))`` over its tokens and pairs of adjacent
    tokens t, scaled to length one; n_t is the number of training texts with t. On it the regression of `linear_probe`.
    Tokens are case-folded words, single characters of scripts without spaces, and single signs, so that any
    language and even a text of emoji alone has some. From 5,000 texts on, t must stand in two.

    **Needs** texts and one label; no backbone.

    **Wins** where the words decide and the pre-trained model does not know them: another language, codes, product
    names. **Loses** at few labels, because a word that was not in the training texts says nothing.

    **Source.** Spärck Jones 1972, A statistical interpretation of term specificity; Wang and Manning 2012,
    Baselines and Bigrams.

    **Example.** ``nshot compare tickets.csv --methods tfidf_linear,linear_probe``
    """

    needs: ClassVar[Needs] = Needs(tasks=frozenset({TaskKind.CLASSIFY, TaskKind.TAG, TaskKind.REGRESS}))
    family: ClassVar[Family] = Family.BASELINE

    strength: float | None = Field(default=None, gt=0)
    """C, the inverse of the regularisation; left out: chosen inside the labels."""

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return vocabulary and weights; see `Method.fit`."""
        self.require(task, train, backbone)
        return self._fitted(task, train, context)

    def distilled(
        self, task: Task, train: Dataset, probabilities: Array, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return vocabulary and weights that answer like a teacher; see `Distils`."""
        self.require(task, train, backbone)
        return self._fitted(task, train, context, probabilities)

    def _fitted(
        self, task: Task, train: Dataset, context: FitContext, probabilities: Array | None = None
    ) -> FittedWords:
        from nshot.training.head import fit_to

        counts = [Counter(_terms(text)) for text in train.examples]
        vocabulary, rarity = _vocabulary(counts)
        vectors = _vectors(counts, vocabulary, rarity)
        head = fit_to(
            task, vectors, train, objective=context.objective, strength=self.strength, probabilities=probabilities
        )
        return FittedWords(task, vocabulary, rarity, head)

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved vocabulary and weights; see `Method.restore`."""
        from nshot.training import head

        terms: list[str] = json.loads(state.blobs["vocabulary.json"])
        vocabulary = {term: column for column, term in enumerate(terms)}
        return FittedWords(task, vocabulary, state.tensors["rarity"], head.restored(task, state))


@dataclass(frozen=True)
class FittedWords:
    """The column of each term, its rarity weight (float32), and a linear head on them."""

    task: Task
    vocabulary: Mapping[str, int]
    rarity: Array
    head: Head

    def predict(self, examples: Sequence[Example]) -> Prediction:
        """Return label (or labels) and probabilities, or the value, of each text."""
        counts = [Counter(_terms(text)) for text in examples]
        return self.head.answers(self.task, _vectors(counts, self.vocabulary, self.rarity))

    def state(self) -> State:
        """Return the head, the rarity weights, and the terms as a JSON list in the order of the columns."""
        head = self.head.state()
        terms = json.dumps(list(self.vocabulary)).encode()
        return State(head.settings, {**head.tensors, "rarity": self.rarity}, {"vocabulary.json": terms})


def _terms(text: Example) -> Iterator[str]:
    """Yield the tokens of a text, and its pairs of adjacent tokens joined by a space."""
    if not isinstance(text, str):
        raise DataError(f"tfidf_linear reads texts; found {type(text).__name__}. Turn every example into a string.")
    before = None
    for token in _TOKEN.findall(text.casefold()):
        yield token
        if before is not None:
            yield f"{before} {token}"
        before = token


def _vocabulary(counts: Sequence[Counter[str]]) -> tuple[dict[str, int], Array]:
    """Return the column of each term in order of first appearance, and its rarity, float32, shape (terms,)."""
    import numpy as np

    texts_with: Counter[str] = Counter()
    for of_text in counts:
        texts_with.update(of_text.keys())
    fewest = 2 if len(counts) >= _MANY_TEXTS else 1
    kept = [term for term, texts in texts_with.items() if texts >= fewest]
    present = np.array([texts_with[term] for term in kept], dtype=np.float64)
    rarity = 1 + np.log((1 + len(counts)) / (1 + present))
    return {term: column for column, term in enumerate(kept)}, rarity.astype(np.float32)


def _vectors(counts: Sequence[Counter[str]], vocabulary: Mapping[str, int], rarity: Array) -> Any:
    """Return the texts as a SciPy CSR matrix, float32, shape (n, terms), rows of length one or zero."""
    import numpy as np
    from scipy.sparse import csr_matrix

    columns: list[int] = []
    values: list[float] = []
    ends = [0]
    for of_text in counts:
        for term, count in of_text.items():
            column = vocabulary.get(term)
            if column is not None:
                columns.append(column)
                values.append(count)
        ends.append(len(columns))
    weights = np.array(values, dtype=np.float64) * rarity[np.array(columns, dtype=np.int64)]
    row = np.repeat(np.arange(len(counts)), np.diff(ends))
    lengths = np.sqrt(np.bincount(row, weights=np.square(weights), minlength=len(counts)))
    scaled = (weights / lengths[row]).astype(np.float32)
    return csr_matrix((scaled, columns, ends), shape=(len(counts), len(vocabulary)), dtype=np.float32)
