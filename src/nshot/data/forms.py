"""Which of the forms that people keep conversations in a table is, from what its columns are called and hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from nshot.data.conversations import Form
from nshot.data.recognition import (
    ANSWER_NAMES,
    MESSAGES_NAMES,
    PROMPT_NAMES,
    ColumnFacts,
    answer_score,
    choose,
    holds_answers,
    is_label_name,
    is_named,
    prompt_score,
)

_SYSTEM_NAMES = ("system", "system_prompt", "system_message")
_HISTORY_NAMES = ("history",)
_TOOLS_NAMES = ("tools", "functions")
_MARK_NAMES = ("label", "labels", "kto_tag", "desirable")
_CHOSEN_NAMES = ("chosen",)
_REJECTED_NAMES = ("rejected",)
_USUAL_PAIRS = (
    (("instruction",), ("output", "response", "completion", "answer")),
    (("prompt",), ("completion", "response", "answer", "output", "chosen")),
)
"""Names that only data for language models have: what is asked, and what is answered."""
_INPUT_NAMES = ("input", "inputs", "context")


@dataclass(frozen=True)
class Named:
    """The columns that a person named, or that a model was trained on.

    Attributes:
        text: Columns of the prompt; empty: to be recognised.
        label: Column of the answers; None: to be recognised.
        further: Columns that are something else: groups, times.
    """

    text: tuple[str, ...] = ()
    label: str | None = None
    further: tuple[str, ...] = ()


def messages_form(columns: Mapping[str, ColumnFacts], named: Named) -> Form | None:
    """Return the form of a table that has lists of messages, or None where it has none.

    Args:
        columns: The facts of all columns by name, in their order.
        named: What a person named.
    """
    lists = [name for name, facts in columns.items() if facts.is_messages]
    if named.text:
        if len(named.text) != 1 or named.text[0] not in lists:
            return None
        main = named.text[0]
    else:
        asking = [name for name in lists if not is_named(name, _REJECTED_NAMES)]
        if not asking:
            return None
        usual = [name for wanted in MESSAGES_NAMES for name in asking if is_named(name, (wanted,))]
        main = (usual or asking)[0]
        if is_named(main, _CHOSEN_NAMES) and any(is_named(name, PROMPT_NAMES) for name in columns):
            return None  # what was asked stands beside the answers, as a text
    mark = _mark(columns, named, besides=(main,))
    answer = named.label if named.label not in {main, mark} else None
    if named.label is None and not columns[main].is_answered:
        answer = _reply(columns, besides=(main, mark, *named.further))
    return _with_further(Form((main,), answer, is_messages=True, mark=mark), columns, named)


def prompt_form(columns: Mapping[str, ColumnFacts], rows: int, named: Named) -> Form | None:
    """Return the form of a table with prompts in one column or several and answers in another, or None.

    Args:
        columns: As in `messages_form`.
        rows: Number of rows.
        named: What a person named.
    """
    mark = _mark(columns, named, besides=(*named.text, named.label))
    taken = {*named.text, *named.further, mark}
    free = {name: facts for name, facts in columns.items() if name not in taken}
    answer = named.label
    if answer is None:
        usual = _usual_pair(free)
        last = next(reversed(tuple(columns)), None)
        scores = {
            name: answer_score(facts, rows, last=name == last)
            for name, facts in free.items()
            if not is_named(name, _REJECTED_NAMES)
        }
        choice = choose(scores)
        answer = usual[1] if usual else choice.name if choice else None
    if answer is None or answer in named.text:
        return None
    text = named.text or _prompts({name: facts for name, facts in free.items() if name != answer}, rows)
    if not text:
        return None
    return _with_further(Form(text, answer, mark=mark), columns, named)


def _reply(columns: Mapping[str, ColumnFacts], besides: Iterable[str | None]) -> str | None:
    """Return the column with the answers to conversations that end before them."""
    taken = set(besides)
    return next(
        (
            name
            for wanted in ANSWER_NAMES
            for name, facts in columns.items()
            if name not in taken and is_named(name, (wanted,)) and (facts.is_nested or holds_answers(facts))
        ),
        None,
    )


def asking_form(columns: Mapping[str, ColumnFacts], rows: int, named: Named) -> Form | None:
    """Return the form of a table that is to be answered: whatever answers it has are left aside.

    Args:
        columns: As in `messages_form`.
        rows: Number of rows.
        named: What a person named.
    """
    messages = messages_form(columns, named)
    if messages is not None:
        return replace(messages, answer=None, mark=None)
    asking = {name: facts for name, facts in columns.items() if not is_named(name, ANSWER_NAMES)}
    text = named.text or _prompts(asking, rows)
    return _with_further(Form(text, None), columns, named) if text else None


def is_for_language_models(columns: Mapping[str, ColumnFacts]) -> bool:
    """Return whether the columns are called what only data for language models are called, and hold answers."""
    pair = _usual_pair(columns)
    if pair is None:
        return False
    could_be_labels = any(
        is_label_name(name) and not facts.is_truth for name, facts in columns.items() if name not in pair
    )
    return holds_answers(columns[pair[1]]) and not could_be_labels


def to_write(columns: Mapping[str, ColumnFacts], rows: int, named: Named, labels: str | None) -> Form | None:
    """Return the form of a table whose answers are texts to write, or None where they are labels or it is unclear.

    They are labels where a column looks like labels, unless the table is in a form that only data for language models
    have, or the answers are many different texts.

    Args:
        columns: As in `messages_form`.
        rows: Number of rows.
        named: What a person named.
        labels: The column that looks most like labels, or None.
    """
    if named.label is not None and named.label not in named.text and not holds_answers(columns[named.label]):
        return None
    messages = messages_form(columns, named)
    if messages is not None and messages.answer is None and not columns[messages.inputs[0]].is_answered and labels:
        return None  # conversations that end with a question, and a label for each
    if messages is not None or named.label is not None or is_for_language_models(columns):
        return messages or prompt_form(columns, rows, named)
    if labels is not None and is_label_name(labels):
        return prompt_form(columns, rows, replace(named, label=labels)) if holds_answers(columns[labels]) else None
    form = prompt_form(columns, rows, named)
    return form if form is not None and _is_clear(form, columns, besides_labels=labels is not None) else None


def _is_clear(form: Form, columns: Mapping[str, ColumnFacts], *, besides_labels: bool) -> bool:
    """Return whether answers are surely texts to write, where no column or only a doubtful one looks like labels."""
    if form.answer is None:
        return False
    is_answer, is_called_so = holds_answers(columns[form.answer]), is_named(form.answer, ANSWER_NAMES)
    if besides_labels:
        return is_answer and is_called_so and is_named(form.inputs[0], PROMPT_NAMES)
    return is_answer or is_called_so


def answers_beside(columns: Mapping[str, ColumnFacts], text: Iterable[str], label: str) -> str | None:
    """Return a column that could be meant as answers to write, where columns of texts and labels were chosen."""
    pair = _usual_pair(columns)
    if pair is not None and pair[1] != label and holds_answers(columns[pair[1]]):
        return pair[1]
    taken = {*text, label}
    return next(
        (
            name
            for name, facts in columns.items()
            if name not in taken and is_named(name, ANSWER_NAMES) and holds_answers(facts)
        ),
        None,
    )


def described(form: Form, *, rows: int, answered: int, inputs: int, refused: int) -> str:
    """Return what was recognised, for people.

    Args:
        form: How rows become conversations.
        rows: Number of rows.
        answered: Rows with an answer to learn from.
        inputs: Different inputs.
        refused: Answers that are marked as bad.
    """
    quoted = " + ".join(f'"{name}"' for name in form.inputs)
    count = f"{answered:,} {'answer' if answered == 1 else 'answers'}"
    sentence = f"answers to write: {'conversations' if form.is_messages else 'prompts'} from {quoted}, {count} from "
    sentence += f'"{form.answer}"' if form.answer else "their last turns"
    if inputs < rows:
        sentence += f" ({inputs:,} different inputs)"
    for what, column in (("system messages", form.system), ("earlier turns", form.history), ("tools", form.tools)):
        if column is not None:
            sentence += f', {what} from "{column}"'
    if form.rejected:
        sentence += f'; those in "{form.rejected}" are not learnt from'
    if form.mark:
        sentence += f'; {refused:,} that are marked as bad in "{form.mark}" are not learnt from'
    return sentence + "; --task, --text and --label say otherwise"


def _usual_pair(columns: Iterable[str]) -> tuple[str, str] | None:
    names = list(columns)
    for asked, answered in _USUAL_PAIRS:
        left = [name for name in names if is_named(name, asked)]
        right = [name for wanted in answered for name in names if is_named(name, (wanted,))]
        if left and right:
            return left[0], right[0]
    return None


def _prompts(columns: Mapping[str, ColumnFacts], rows: int) -> tuple[str, ...]:
    choice = choose({name: prompt_score(facts, rows) for name, facts in columns.items()})
    if choice is None:
        return ()
    instruction = [name for name in columns if is_named(name, ("instruction",))]
    if not instruction:
        return (choice.name,)
    further = [name for name in columns if is_named(name, _INPUT_NAMES)]
    return (instruction[0], *further[:1])


def _mark(columns: Mapping[str, ColumnFacts], named: Named, besides: Sequence[str | None]) -> str | None:
    """Return the column that says which answers are good: true or false in data that are otherwise conversations."""
    names = [
        name
        for name, facts in columns.items()
        if facts.is_truth and is_named(name, _MARK_NAMES) and name not in besides and name not in named.further
    ]
    return names[0] if names else None


def _with_further(form: Form, columns: Mapping[str, ColumnFacts], named: Named) -> Form:
    """Return the form with what else belongs to a conversation."""
    used = {*form.columns, *named.further}

    def of(names: Sequence[str], *, is_json: bool = False) -> str | None:
        found = (name for name in columns if name not in used and is_named(name, names))
        return next((name for name in found if columns[name].is_json or not is_json), None)

    answer = columns[form.answer] if form.answer is not None else None
    return Form(
        form.inputs,
        form.answer,
        is_messages=form.is_messages,
        system=of(_SYSTEM_NAMES),
        history=None if form.is_messages else of(_HISTORY_NAMES, is_json=True),
        tools=of(_TOOLS_NAMES, is_json=True),
        mark=form.mark,
        rejected=of(_REJECTED_NAMES) if form.answer and is_named(form.answer, _CHOSEN_NAMES) else None,
        has_lists=answer is not None and (answer.is_nested or answer.is_messages),
    )
