"""Few-shot without training: labelled examples in the prompt."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from nshot.backbones.locate import DEFAULT
from nshot.core import (
    Ability,
    Backbone,
    BackboneRef,
    DataError,
    Dataset,
    Decoding,
    Example,
    ExampleError,
    Family,
    FitContext,
    Message,
    Needs,
    Prediction,
    Predictor,
    State,
    Task,
    TaskKind,
    Written,
    as_conversation,
)
from nshot.spec import Method
from nshot.training.writing import WritingOptions

if TYPE_CHECKING:
    import numpy as np

    from nshot.training.frozen import Encoder
    from nshot.training.prompting import LabelReader, Worked
    from nshot.training.rowwise import Array
    from nshot.training.writing import Decoder

_LOOKED_AT = 10
"""For each example to be shown so many are looked at whether they fit."""
_FILE = "examples.json"


class InContext(WritingOptions, Method):
    """Show the language model labelled examples before every input; nothing is trained.

    **Idea.** An answer is what the model writes after ``x_1 y_1 ... x_k y_k x``. With `choose` ``random`` the examples
    are drawn once, so that the model reads them once for all inputs; with ``nearest`` each input gets those whose
    vectors lie nearest to its own (cosine, by a text encoder), the nearest last. To classify, every label gets its
    turn before any gets a second, and ``p(c | x) = softmax_c(log p(c | x) - log p(c))`` as without examples, p(c) being
    what the same prompt makes of an input that says nothing. It is not taken off where examples are nearest and some
    label has none: which labels are shown says something itself then.

    **Needs** a backbone that writes, and one labelled example that fits; to classify, label names or descriptions that
    say something. What the model cannot take in is left out. A saved model holds the examples that it shows.

    **Wins** with few labels and a large model; ``nearest`` wins where answers are much alike. **Loses** to training
    with many labels, and where examples are long; every answer pays for reading them, with ``nearest`` in full.

    **Source.** Brown et al. 2020, https://arxiv.org/abs/2005.14165; nearest examples: Liu et al. 2022,
    https://arxiv.org/abs/2101.06804; calibration: Zhao et al. 2021, https://arxiv.org/abs/2102.09690, section 5.

    **Example.** ``nshot fit answers.jsonl --method in_context --set choose=nearest --backbone ./model --out answers``
    """

    needs: ClassVar[Needs] = Needs(
        tasks=frozenset({TaskKind.GENERATE, TaskKind.CLASSIFY}),
        abilities=frozenset({Ability.GENERATES}),
        label_names=True,
    )
    family: ClassVar[Family] = Family.FEW_SHOT
    uses_seed: ClassVar[bool] = True

    shots: int = Field(default=16, ge=1)
    """The most examples that are shown; fewer where the model does not take in so many."""
    choose: Literal["random", "nearest"] = "random"
    """Which examples: the same ones for all inputs, or for each input those nearest to it."""
    encoder: str = DEFAULT
    """The text encoder that says what is near."""

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the chosen examples with the model; see `Method.fit`.

        Raises:
            DataError: Not one example fits into what the model takes in.
        """
        import numpy as np

        from nshot.training import prompting
        from nshot.training.writing import decoder, longest_answer

        self.require(task, train, backbone)
        model = decoder(backbone)
        targets = train.labelled_targets()
        settings: dict[str, Any] = {"backbone": model.ref.as_json(), "seed": context.seed}
        classes = targets if task.kind is TaskKind.CLASSIFY else None
        if classes is None:
            settings["longest_answer"] = longest_answer(model, train)
        before, answer_tokens = self._around(task, model, settings)
        room = prompting.usual_room(model, train.examples, before, answer_tokens)
        order = np.random.default_rng(context.seed).permutation(len(train)).tolist()
        rows = _one_of_each_group(_in_turns(order, classes), train.groups)
        if self.choose == "random":
            rows = rows[: _LOOKED_AT * self.shots]
        inputs = [train.examples[i] for i in rows]
        if classes is None:
            worked = prompting.worked(model, inputs, [targets[i][0] for i in rows])
        else:
            texts = [prompting.one_text(example) for example in inputs]
            worked = prompting.worked(model, texts, [prompting.text_of_label(task, classes[i]) for i in rows])
        fitting = prompting.as_many_as_fit(range(len(rows)), worked, self.shots, room)
        if not fitting:
            raise DataError(
                f"Not one labelled example fits before an input: {model.ref.name} takes {model.longest} tokens, answer "
                f"included, and the shortest example has {min(each.tokens for each in worked)}. "
                "Use a model that takes more, or the method prompt."
            )
        settings |= {"room": room, "shown": len(fitting)}
        tensors: dict[str, Array] = {}
        nearness = None
        if self.choose == "nearest":
            nearness = self._nearness(inputs, None if classes is None else [classes[i] for i in rows], context)
            settings["encoder"] = nearness.encoder.ref.as_json()
            tensors = nearness.tensors()
        else:
            worked = [worked[i] for i in fitting]
        examples = Examples(tuple(worked), self.shots, room, nearness)
        if task.kind is TaskKind.CLASSIFY:
            reader = prompting.LabelReader(model, task)
            if nearness is None and reader.scores:
                tensors["log_prior"] = reader.log_prior((*before, *prompting.turns_of(worked)))
        return self._predictor(task, model, examples, State(settings, tensors, {_FILE: _as_bytes(worked)}))

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved examples with the model; see `Method.restore`."""
        from nshot.training import frozen
        from nshot.training.writing import decoder

        settings, tensors = state.settings, state.tensors
        model = decoder(open_backbone(BackboneRef.from_json(settings["backbone"])))
        nearness = None
        if self.choose == "nearest":
            encoder = frozen.encoder(open_backbone(BackboneRef.from_json(settings["encoder"])))
            nearness = Nearness(encoder, tensors["vectors"], tensors.get("codes"))
        examples = Examples(_from_bytes(state.blobs[_FILE]), self.shots, settings["room"], nearness)
        return self._predictor(task, model, examples, state)

    def _around(self, task: Task, model: Decoder, settings: Mapping[str, Any]) -> tuple[tuple[Message, ...], int]:
        """Return the turns that stand before the examples, and the tokens that an answer may have."""
        from nshot.training.prompting import LabelReader
        from nshot.training.writing import instructed

        if task.kind is TaskKind.CLASSIFY:
            reader = LabelReader(model, task)
            return reader.question(), reader.answer_tokens()
        return instructed(task), self._how(settings).max_new_tokens

    def _how(self, settings: Mapping[str, Any]) -> Decoding:
        return self.decoding(settings["seed"], settings["longest_answer"])

    def _nearness(self, inputs: Sequence[Example], classes: Sequence[str] | None, context: FitContext) -> Nearness:
        import numpy as np

        from nshot.training import frozen
        from nshot.training.prompting import unit_vectors

        encoder = frozen.encoder(context.open(BackboneRef(self.encoder)))
        vectors = unit_vectors(encoder, inputs).astype(np.float32)
        return Nearness(encoder, vectors, None if classes is None else frozen.numbered(classes)[1])

    def _predictor(self, task: Task, model: Decoder, examples: Examples, state: State) -> Predictor:
        from nshot.training.prompting import LabelReader

        if task.kind is TaskKind.CLASSIFY:
            return ShownLabels(LabelReader(model, task), examples, state)
        before, _ = self._around(task, model, state.settings)
        return ShownWriter(model, self._how(state.settings), state, before, examples)


@dataclass(frozen=True)
class Nearness:
    """Unit vectors of the labelled inputs, float32, shape (n, width), and the number of each one's class or None."""

    encoder: Encoder
    vectors: Array
    codes: Array | None

    def tensors(self) -> dict[str, Array]:
        """Return what is saved."""
        return {"vectors": self.vectors} if self.codes is None else {"vectors": self.vectors, "codes": self.codes}

    def orders(self, examples: Sequence[Example]) -> Iterator[tuple[list[int], Array]]:
        """Yield for each example the labelled inputs, the most wanted first, and their cosines, shape (n,)."""
        import numpy as np

        from nshot.training.prompting import unit_vectors
        from nshot.training.rowwise import products

        for vector in unit_vectors(self.encoder, examples):
            cosines = products(vector[None], self.vectors)[0]
            yield _in_turns(np.argsort(-cosines, kind="stable").tolist(), self.codes), cosines


@dataclass(frozen=True)
class Examples:
    """Labelled examples to show.

    Attributes:
        worked: Those that are shown, in their order; with `nearness` those that are chosen from.
        most: How many are shown at most.
        room: Tokens that they may have together, or None.
        nearness: Says which are near; None: all are shown.
    """

    worked: tuple[Worked, ...]
    most: int
    room: int | None
    nearness: Nearness | None

    def chosen(self, inputs: Sequence[Example], rooms: Sequence[int] | None) -> list[tuple[int, ...]]:
        """Return which examples stand before each input, in their order.

        Args:
            inputs: n texts or conversations.
            rooms: Tokens that fit beside each, or None: any number.
        """
        from nshot.training.prompting import as_many_as_fit

        least = [self.room] * len(inputs) if rooms is None or self.room is None else [min(self.room, r) for r in rooms]
        if self.nearness is None:
            everything = range(len(self.worked))
            return [tuple(as_many_as_fit(everything, self.worked, self.most, room)) for room in least]
        found = []
        for (order, cosines), room in zip(self.nearness.orders(inputs), least, strict=True):
            fitting = as_many_as_fit(order, self.worked, self.most, room)
            # The nearest last: what stands last weighs most.
            found.append(tuple(sorted(fitting, key=lambda i: (cosines[i], -i))))
        return found

    def turns(self, chosen: Sequence[int]) -> tuple[Message, ...]:
        """Return the turns of these examples."""
        from nshot.training.prompting import turns_of

        return turns_of(self.worked[i] for i in chosen)


@dataclass(frozen=True)
class ShownWriter:
    """A model that writes after labelled examples.

    Attributes:
        model: Writes.
        decoding: How.
        saved: Its state.
        before: Turns that stand before the examples.
        examples: What it is shown.
    """

    model: Decoder
    decoding: Decoding
    saved: State
    before: tuple[Message, ...]
    examples: Examples

    def predict(self, examples: Sequence[Example]) -> Prediction:
        """Return a text per example, and whether it ended by itself."""
        written: dict[int, Written] = {}
        for asked in self._asked(examples, self._usual(examples)):
            with asked.told_apart():
                answers = self.model.generate(asked.examples, self.decoding, before=asked.before)
            written.update(zip(asked.positions, answers, strict=True))
        every = [written[position] for position in range(len(examples))]
        return Prediction(texts=[answer.text for answer in every], stopped=[answer.stopped for answer in every])

    def likelihoods(self, examples: Sequence[Example], answers: Sequence[str]) -> np.ndarray | None:
        """Return log-probability and number of tokens of each answer; None: the model does not tell.

        Before an answer that is longer than answers are written there may stand fewer examples.
        """
        import numpy as np

        if Ability.SCORES not in self.model.abilities:
            return None
        found = np.zeros((len(examples), 2))
        sizes = self.model.prompt_tokens(answers) if len(answers) else []
        # The token that ends an answer is one more.
        free = [max(usual, size + 1) for usual, size in zip(self._usual(examples), sizes, strict=True)]
        for asked in self._asked(examples, free):
            own = [answers[position] for position in asked.positions]
            with asked.told_apart():
                found[list(asked.positions)] = self.model.likelihoods(asked.examples, own, before=asked.before)
        return found

    def stream(self, example: Example, decoding: Decoding) -> Iterator[str]:
        """Yield the answer to one example in pieces."""
        (asked,) = self._asked([example], self._usual([example]))
        return self.model.stream(asked.examples[0], decoding, before=asked.before)

    def state(self) -> State:
        """Return what `Method.restore` needs."""
        return self.saved

    def _usual(self, examples: Sequence[Example]) -> list[int]:
        """Return the tokens that are kept free for the answer to each example."""
        from nshot.training.prompting import kept_free

        return [kept_free(self.model, self.decoding.max_new_tokens)] * len(examples)

    def _asked(self, examples: Sequence[Example], free: Sequence[int]) -> list[_Asked]:
        """Return what the model is asked: at once what stands after the same examples, which it then reads once.

        Args:
            examples: n inputs.
            free: For each, the tokens that are kept free for its answer.
        """
        from nshot.training.prompting import room_beside

        rooms = room_beside(self.model, examples, self.before, free)
        chosen = self.examples.chosen(examples, rooms)
        whole = tuple(range(len(self.examples.worked))) if self.examples.nearness is None else None
        same = [i for i, shown in enumerate(chosen) if shown == whole]
        others = [i for i, shown in enumerate(chosen) if shown != whole]
        asked = []
        if whole is not None and same:
            before = (*self.before, *self.examples.turns(whole))
            asked.append(_Asked(same, [examples[i] for i in same], before))
        if others:
            own = [as_conversation(examples[i], self.examples.turns(chosen[i])) for i in others]
            asked.append(_Asked(others, own, self.before))
        return asked


@dataclass(frozen=True)
class _Asked:
    """Some of the examples, by position, as they are handed to the model, and what stands before all of them."""

    positions: Sequence[int]
    examples: Sequence[Example]
    before: tuple[Message, ...]

    @contextmanager
    def told_apart(self) -> Iterator[None]:
        """Name an example that is refused inside by where it stands among all of them.

        Raises:
            ExampleError: As the model, of another position.
        """
        try:
            yield
        except ExampleError as error:
            raise error.at(self.positions[error.position]) from None


@dataclass(frozen=True)
class ShownLabels:
    """A model that answers labels after labelled examples.

    Attributes:
        reader: The model and the labels.
        examples: What it is shown.
        saved: Its state.
    """

    reader: LabelReader
    examples: Examples
    saved: State

    @property
    def task(self) -> Task:
        """Whose labels are answered."""
        return self.reader.task

    def predict(self, examples: Sequence[Example]) -> Prediction:
        """Return the likeliest label, and the probability of each where the model tells, for each example."""
        reader, question = self.reader, self.reader.question()
        if self.examples.nearness is not None:
            texts = reader.cut(examples, question, reserved=self.examples.room or 0)
            return self._after_nearest(texts, question, self.examples.nearness)
        before = (*question, *self.examples.turns(range(len(self.examples.worked))))
        texts = reader.cut(examples, before)
        if not reader.scores:
            return reader.written(texts, before)
        return reader.answers(reader.log_shares(texts, before) - self.saved.tensors["log_prior"])

    def _after_nearest(self, texts: Sequence[str], question: tuple[Message, ...], nearness: Nearness) -> Prediction:
        import numpy as np

        reader = self.reader
        chosen = self.examples.chosen(texts, None)
        turns = [self.examples.turns(shown) for shown in chosen]
        if not reader.scores:
            return reader.written(
                [as_conversation(text, own) for text, own in zip(texts, turns, strict=True)], question
            )
        codes = np.zeros(0, dtype=np.int64) if nearness.codes is None else nearness.codes
        n_classes = len(set(codes.tolist()))
        evidence = np.zeros((len(texts), len(reader.task.labels)))
        plain = []
        for i, shown in enumerate(chosen):
            if len(set(codes[list(shown)].tolist())) == n_classes:
                evidence[i] = reader.of_its_own(texts[i], (*question, *turns[i]))
            else:
                plain.append(i)
        if plain:
            evidence[plain] = reader.log_shares([as_conversation(texts[i], turns[i]) for i in plain], question)
        return reader.answers(evidence)

    def state(self) -> State:
        """Return what `Method.restore` needs."""
        return self.saved


def _in_turns(order: Sequence[int], classes: Sequence[Hashable] | Array | None) -> list[int]:
    """Return the positions so that every class has its first before any has its second; without classes as they are."""
    if classes is None:
        return list(order)
    seen: dict[Hashable, int] = {}
    turn = {}
    for position in order:
        turn[position] = seen[classes[position]] = seen.get(classes[position], 0) + 1
    return sorted(order, key=turn.__getitem__)


def _one_of_each_group(order: Sequence[int], groups: Sequence[Hashable] | None) -> list[int]:
    """Return the positions whose group has not come before: what is nearly the same is not shown twice."""
    if groups is None:
        return list(order)
    first: dict[Hashable, int] = {}
    for position in order:
        first.setdefault(groups[position], position)
    return list(first.values())


def _as_bytes(worked: Sequence[Worked]) -> bytes:
    records = [{"messages": [turn.as_json() for turn in each.turns], "tokens": each.tokens} for each in worked]
    return json.dumps(records).encode()


def _from_bytes(data: bytes) -> tuple[Worked, ...]:
    from nshot.training.prompting import Worked

    records = json.loads(data)
    return tuple(
        Worked(tuple(Message.from_json(turn) for turn in record["messages"]), record["tokens"]) for record in records
    )
