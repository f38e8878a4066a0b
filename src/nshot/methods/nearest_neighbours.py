"""The labels, or the values, of the most similar labelled examples."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from nshot.core import (
    Ability,
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
    TakesIn,
    Task,
    TaskKind,
)
from nshot.spec import Method

if TYPE_CHECKING:
    from nshot.training.frozen import Encoder
    from nshot.training.rowwise import Array
    from nshot.training.values import Scale

_NUMBERS = (1, 3, 5, 10, 20)
_USUAL_NUMBER = 5
_SHARPNESSES = (5.0, 20.0)
_USUAL_SHARPNESS = 20.0
_EVEN = 0.0
"""The sharpness at which all neighbours count the same."""
_MOST_LEFT_OUT = 1_000
_BLOCK_ELEMENTS = 1 << 22


class NearestNeighbours(Method):
    """Answer what the most similar labelled examples are labelled.

    **Idea.** To classify: the k labelled examples with the largest cosine to x vote for their labels with the weight
    ``exp(sharpness * (cos_i - cos_1))``; ``p(c | x)`` is c's share of the votes, one more vote being spread evenly over
    the classes. k and the sharpness are chosen inside the n labels by leaving each example (with its group) out, by
    the study's metric. Of several labels ``p(c | x)`` is the share of the votes that have c, one more vote having each
    as often as the n examples do, and c is given from the p on that as many left-out examples reach as have c. To
    regress: the mean of the k nearest examples' values, by Euclidean distance d, with the weight
    ``exp(-sharpness / 2 * (d_i^2 - d_1^2))``, which for vectors of length one is the weight above.

    **Needs** a backbone that embeds, and one label. Does not read label names. New classes can be added from
    examples without fitting again.

    **Wins** where a class is many small heaps, and where every answer should be shown with its evidence. **Loses** to a
    probe where classes are wide; its size and its time per answer grow with n.

    **Source.** Cover and Hart 1967, Nearest neighbor pattern classification; the weights follow Dudani 1976.

    **Example.** ``nshot fit tickets.csv --method nearest_neighbours --set number=5 --out model``
    """

    needs: ClassVar[Needs] = Needs(
        tasks=frozenset({TaskKind.CLASSIFY, TaskKind.TAG, TaskKind.REGRESS}), abilities=frozenset({Ability.EMBEDS})
    )
    family: ClassVar[Family] = Family.FEW_SHOT
    takes_in: ClassVar[TakesIn] = TakesIn.BY_EXAMPLES

    number: int | None = Field(default=None, ge=1)
    """k, how many neighbours vote; left out: chosen inside the labels."""

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the labelled examples' vectors with the chosen k; see `Method.fit`."""
        import numpy as np

        from nshot.training import frozen

        self.require(task, train, backbone)
        encoder = frozen.encoder(backbone)
        if task.kind is TaskKind.REGRESS:
            return self._of_values(encoder, train, context)
        if task.kind is TaskKind.TAG:
            return self._of_labels(task, encoder, train, context)
        targets = train.labelled_targets()
        classes, codes = frozen.numbered(targets)
        vectors = frozen.directions(encoder, train.examples).astype(np.float32)
        left_out = _left_out(vectors, None, codes, codes, train.groups)

        def judge(number: int, sharpness: float) -> float:
            shares = left_out.shares(number, sharpness, len(classes))
            return context.objective([targets[i] for i in left_out.rows], frozen.answers(task, classes, shares))

        number, sharpness = self._chosen(judge, left_out.rows)
        return Neighbours(task, encoder, classes, codes, vectors, number, sharpness)

    def _chosen(self, judge: Callable[[int, float], float], rows: Sequence[int]) -> tuple[int, float]:
        from nshot.training.selection import clearly_better

        usual = (self.number or _USUAL_NUMBER, _USUAL_SHARPNESS)
        if not rows:
            return usual
        judged = {
            (number, sharpness): judge(number, sharpness) for number in self._tried() for sharpness in _SHARPNESSES
        }
        best = max(judged, key=lambda pair: judged[pair])
        return best if clearly_better(judged[best], judged[usual], len(rows)) else usual

    def _tried(self) -> Sequence[int]:
        return _NUMBERS if self.number is None else (self.number,)

    def _of_labels(self, task: Task, encoder: Encoder, train: Dataset, context: FitContext) -> TagNeighbours:
        import numpy as np

        from nshot.training import frozen, tagging

        targets = train.labelled_targets()
        names, marks = tagging.numbered(targets)
        vectors = frozen.directions(encoder, train.examples).astype(np.float32)
        same = np.zeros(len(marks), dtype=np.int64)
        left_out = _left_out(vectors, None, same, np.arange(len(marks)), train.groups)
        true = [targets[i] for i in left_out.rows]

        def limits(number: int, sharpness: float) -> tagging.Limits:
            shares = left_out.shares_with(marks, number, sharpness)
            return tagging.chosen_limits(task, names, shares, true, marks.mean(axis=0), context.objective)

        number, sharpness = self._chosen(lambda k, s: limits(k, s).score, left_out.rows)
        return TagNeighbours(task, encoder, names, marks, vectors, limits(number, sharpness).values, number, sharpness)

    def _of_values(self, encoder: Encoder, train: Dataset, context: FitContext) -> ValueNeighbours:
        import numpy as np

        from nshot.training import frozen
        from nshot.training.head import unit_spread
        from nshot.training.selection import best_of
        from nshot.training.values import Scale

        targets = train.labelled_targets()
        scale = Scale.of(targets)
        vectors = frozen.embed(encoder, train.examples)
        values = scale.standard(targets).astype(np.float32)
        same = np.zeros(len(values), dtype=np.int64)
        left_out = _left_out(vectors, _shifts(vectors), same, values, train.groups)
        true = [targets[i] for i in left_out.rows]
        # One sharpness is to mean the same for every backbone.
        factor = unit_spread(vectors) ** 2
        judged = {
            (number, sharpness): context.objective(true, scale.answers(left_out.means(number, sharpness * factor)))
            for number in (self._tried() if true else ())
            for sharpness in (_EVEN, *_SHARPNESSES)
        }
        number, sharpness = best_of(judged, (self.number or _USUAL_NUMBER, _EVEN))
        return ValueNeighbours(encoder, scale, values, vectors, number, sharpness * factor)

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved examples' vectors; see `Method.restore`."""
        from nshot.training import frozen
        from nshot.training.values import Scale

        settings, tensors = state.settings, state.tensors
        encoder = frozen.encoder(open_backbone(BackboneRef.from_json(settings["backbone"])))
        chosen = settings["chosen"]
        if task.kind is TaskKind.REGRESS:
            return ValueNeighbours(
                encoder,
                Scale.from_json(settings["scale"]),
                tensors["values"],
                tensors["vectors"],
                chosen["number"],
                chosen["sharpness"],
            )
        if task.kind is TaskKind.TAG:
            return TagNeighbours(
                task,
                encoder,
                tuple(settings["labels"]),
                tensors["marks"],
                tensors["vectors"],
                tensors["limits"],
                chosen["number"],
                chosen["sharpness"],
            )
        return Neighbours(
            task,
            encoder,
            tuple(settings["classes"]),
            tensors["codes"],
            tensors["vectors"],
            chosen["number"],
            chosen["sharpness"],
        )


@dataclass(frozen=True)
class Neighbours:
    """The labelled examples: unit vectors (n, width) float32, and the number of each one's class, int64."""

    task: Task
    backbone: Encoder
    classes: tuple[str, ...]
    codes: Array
    vectors: Array
    number: int
    sharpness: float

    def predict(self, examples: Sequence[Example]) -> Prediction:
        """Return the label with most votes and every label's share of them, for each example."""
        import numpy as np

        from nshot.training import frozen

        asked = frozen.directions(self.backbone, examples)
        blocks = _in_blocks(asked, self.vectors, self.codes, self.number)
        shares = [nearest.shares(self.number, self.sharpness, len(self.classes)) for nearest in blocks]
        return frozen.answers(self.task, self.classes, np.concatenate([np.zeros((0, len(self.classes))), *shares]))

    def state(self) -> State:
        """Return vectors, classes, what was chosen and the reference of the backbone."""
        settings: dict[str, Any] = {
            "classes": list(self.classes),
            "chosen": {"number": self.number, "sharpness": self.sharpness},
            "backbone": self.backbone.ref.as_json(),
        }
        return State(settings, {"vectors": self.vectors, "codes": self.codes})

    def with_label(self, label: str, description: str | None = None, examples: Sequence[Example] = ()) -> Neighbours:
        """Return a predictor that also answers `label`; examples of a label it has join the others.

        Raises:
            DataError: There is no example.
        """
        import numpy as np

        from nshot.training import frozen

        if len(examples) == 0:
            raise DataError(f"A neighbour labelled '{label}' needs at least one example of it; none was given.")
        classes = self.classes if label in self.classes else (*self.classes, label)
        added = frozen.directions(self.backbone, examples).astype(np.float32)
        codes = np.concatenate([self.codes, np.full(len(added), classes.index(label), dtype=np.int64)])
        return Neighbours(
            self.task.with_label(label, description),
            self.backbone,
            classes,
            codes,
            np.concatenate([self.vectors, added]),
            self.number,
            self.sharpness,
        )


@dataclass(frozen=True)
class TagNeighbours:
    """The labelled examples: unit vectors (n, width), which of k labels each has (n, k), and limits (k,); float32."""

    task: Task
    backbone: Encoder
    names: tuple[str, ...]
    marks: Array
    vectors: Array
    limits: Array
    number: int
    sharpness: float

    def predict(self, examples: Sequence[Example]) -> Prediction:
        """Return the labels whose share of the votes reaches their limit, and all shares, for each example."""
        import numpy as np

        from nshot.training import frozen, tagging

        asked = frozen.directions(self.backbone, examples)
        rows = np.arange(len(self.vectors))
        blocks = _in_blocks(asked, self.vectors, rows, self.number)
        shares = [nearest.shares_with(self.marks, self.number, self.sharpness) for nearest in blocks]
        every = np.concatenate([np.zeros((0, len(self.names))), *shares])
        return tagging.answers(self.task, self.names, every, self.limits)

    def state(self) -> State:
        """Return vectors, labels, what was chosen and the reference of the backbone."""
        settings: dict[str, Any] = {
            "labels": list(self.names),
            "chosen": {"number": self.number, "sharpness": self.sharpness},
            "backbone": self.backbone.ref.as_json(),
        }
        return State(settings, {"vectors": self.vectors, "marks": self.marks, "limits": self.limits})

    def with_label(self, label: str, description: str | None = None, examples: Sequence[Example] = ()) -> TagNeighbours:
        """Return a predictor that also gives `label`, as soon as any other; the examples have no other label.

        Raises:
            DataError: There is no example.
        """
        import numpy as np

        from nshot.training import frozen, tagging

        if len(examples) == 0:
            raise DataError(f"A neighbour labelled '{label}' needs at least one example of it; none was given.")
        is_new = label not in self.names
        names = (*self.names, label) if is_new else self.names
        added = frozen.directions(self.backbone, examples).astype(np.float32)
        marks = np.zeros((len(self.marks) + len(added), len(names)), dtype=np.float32)
        marks[: len(self.marks), : len(self.names)] = self.marks
        marks[len(self.marks) :, names.index(label)] = 1.0
        return TagNeighbours(
            self.task.with_label(label, description),
            self.backbone,
            names,
            marks,
            np.concatenate([self.vectors, added]),
            np.append(self.limits, self.limits.min(initial=tagging.HALF)) if is_new else self.limits,
            self.number,
            self.sharpness,
        )


@dataclass(frozen=True)
class ValueNeighbours:
    """The labelled examples: vectors (n, width) and values on the common scale (n,), both float32."""

    backbone: Encoder
    scale: Scale
    values: Array
    vectors: Array
    number: int
    sharpness: float

    def predict(self, examples: Sequence[Example]) -> Prediction:
        """Return the weighted mean of the neighbours' values, for each example."""
        import numpy as np

        from nshot.training import frozen

        asked = frozen.embed(self.backbone, examples)
        blocks = _in_blocks(asked, self.vectors, self.values, self.number, _shifts(self.vectors))
        means = [nearest.means(self.number, self.sharpness) for nearest in blocks]
        return self.scale.answers(np.concatenate([np.zeros(0), *means]))

    def state(self) -> State:
        """Return vectors, values, what was chosen and the reference of the backbone."""
        settings: dict[str, Any] = {
            "scale": self.scale.as_json(),
            "chosen": {"number": self.number, "sharpness": self.sharpness},
            "backbone": self.backbone.ref.as_json(),
        }
        return State(settings, {"vectors": self.vectors, "values": self.values})


def _shifts(vectors: Array) -> Array:
    """Return ``-|v|^2 / 2``: added to the products with a row, they rank as the Euclidean distance does."""
    import numpy as np

    return np.asarray(-0.5 * np.square(vectors.astype(np.float64)).sum(axis=1))


@dataclass(frozen=True)
class _Nearest:
    """For some rows their nearest labelled examples, the nearest first, shape (rows, k).

    Attributes:
        cosines: How near they are: cosines, or minus half the squared distance up to a constant of the row.
        items: What stands with them: classes, values or positions.
        rows: Which rows; empty where that is not asked.
    """

    cosines: Array
    items: Array
    rows: Sequence[int] = ()

    def shares(self, number: int, sharpness: float, n_classes: int) -> Array:
        """Return each class's share of the votes of the first `number` and of one vote spread over all classes.

        Float64, shape (rows, n_classes).
        """
        import numpy as np

        codes, votes = self.items[:, :number], self._votes(number, sharpness)
        cells = np.arange(len(codes))[:, None] * n_classes + codes
        sums = np.bincount(cells.ravel(), weights=votes.ravel(), minlength=len(codes) * n_classes)
        spread = sums.reshape(len(codes), n_classes) + 1 / n_classes
        return np.asarray(spread / (votes.sum(axis=1, keepdims=True) + 1))

    def shares_with(self, marks: Array, number: int, sharpness: float) -> Array:
        """Return the share that each label has of the votes of the first `number`, and of one vote of all examples.

        Float64, shape (rows, labels).

        Args:
            marks: Which labels each labelled example has, shape (n, labels).
            number: How many vote.
            sharpness: Of their votes.
        """
        import numpy as np

        items, votes = self.items[:, :number], self._votes(number, sharpness)
        sums = np.tile(marks.mean(axis=0, dtype=np.float64), (len(items), 1))
        for place in range(items.shape[1]):
            sums += votes[:, place, None] * marks[items[:, place]]
        return np.asarray(sums / (votes.sum(axis=1, keepdims=True) + 1))

    def means(self, number: int, sharpness: float) -> Array:
        """Return the weighted mean of the values of the first `number`, shape (rows,)."""
        import numpy as np

        votes = self._votes(number, sharpness)
        return np.asarray((votes * self.items[:, :number]).sum(axis=1) / votes.sum(axis=1))

    def _votes(self, number: int, sharpness: float) -> Array:
        import numpy as np

        cosines = self.cosines[:, :number].astype(np.float64)
        allowed = np.isfinite(cosines)
        behind = np.where(allowed, cosines, 0.0) - np.where(allowed, cosines[:, :1], 0.0)
        return np.asarray(np.exp(sharpness * behind) * allowed)


def _in_blocks(
    asked: Array, vectors: Array, items: Array, number: int, shifts: Array | None = None
) -> Iterator[_Nearest]:
    """Yield the nearest of `vectors` to some of the rows asked for at a time, so that few products are held at once."""
    from nshot.training.rowwise import products

    step = max(1, _BLOCK_ELEMENTS // len(vectors))
    for start in range(0, len(asked), step):
        yield _nearest(products(asked[start : start + step], vectors, shifts), items, number)


def _nearest(cosines: Array, items: Array, number: int) -> _Nearest:
    """Return the `number` nearest of each row; of equally near ones those that came first in training."""
    import numpy as np

    n = cosines.shape[1]
    if number < n:
        # A partition leaves open which of equally near ones it takes; the bar and a stable sort do not.
        bar = np.partition(cosines, n - number, axis=1)[:, n - number, None]
        kept = cosines >= bar
        if np.count_nonzero(kept) == number * len(cosines):
            first = np.nonzero(kept)[1].reshape(len(cosines), number)
            near = np.take_along_axis(cosines, first, axis=1)
        else:
            widest = int(kept.sum(axis=1).max())
            first = np.argsort(~kept, axis=1, kind="stable")[:, :widest]
            near = np.take_along_axis(np.where(kept, cosines, -np.inf), first, axis=1)
        order = np.argsort(-near, axis=1, kind="stable")[:, :number]
        picked = np.take_along_axis(first, order, axis=1)
    else:
        picked = np.argsort(-cosines, axis=1, kind="stable")
    return _Nearest(np.take_along_axis(cosines, picked, axis=1), items[picked])


def _left_out(
    vectors: Array, shifts: Array | None, codes: Array, items: Array, groups: Sequence[Hashable] | None
) -> _Nearest:
    """Return the nearest of each training row outside its own group, with their items.

    At most 1,000 rows, evenly spaced: choosing k does not get better by more. A row whose class stands in no other
    group cannot be answered rightly by any k, and is not asked.
    """
    import numpy as np

    from nshot.training.rowwise import products

    numbers: dict[Hashable, int] = {}
    keys = range(len(codes)) if groups is None else groups
    group = np.array([numbers.setdefault(key, len(numbers)) for key in keys])
    groups_of: dict[int, set[int]] = {}
    for code, key in zip(codes.tolist(), group.tolist(), strict=True):
        groups_of.setdefault(code, set()).add(key)
    can = np.array([len(groups_of[code]) > 1 for code in codes.tolist()])
    rows = np.flatnonzero(can)
    rows = rows[:: 1 + len(rows) // _MOST_LEFT_OUT]
    if not len(rows):
        return _Nearest(np.zeros((0, 1), np.float32), np.zeros((0, 1), items.dtype))
    cosines = products(vectors[rows], vectors, shifts)
    cosines[group[rows][:, None] == group[None, :]] = -np.inf
    found = _nearest(cosines, items, max(_NUMBERS))
    return _Nearest(found.cosines, found.items, rows.tolist())
