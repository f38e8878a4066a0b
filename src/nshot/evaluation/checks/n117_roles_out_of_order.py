"""N117: conversations whose turns come in an order that chat models do not know."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from nshot.core import ASSISTANT, SYSTEM, TOOL, USER, Check, Conversation, Severity, counted
from nshot.data.reading import Source
from nshot.evaluation.checks.facts import MOST_ROWS, TEXTS, WRITING, Audit

CODE = "N117"
TITLE = "Roles out of order"
KINDS = WRITING
MODALITIES = TEXTS
SYSTEM_LATE = "a system message that is not the first"
SYSTEM_TWICE = "more than one system message"
ASSISTANT_FIRST = "an answer before anybody asked"
USER_TWICE = "two turns of the user's in a row"
ASSISTANT_TWICE = "two answers in a row"
NO_CALL = "a tool's answer without a call"


def check(audit: Audit) -> Check | None:
    """Return the rows of either file whose turns are out of order."""
    found = dict(_disordered(audit.train))
    in_test = dict(_disordered(audit.test)) if audit.test else {}
    if not found and not in_test:
        return None
    counts: dict[str, int] = {}
    for reason in chain(*found.values(), *in_test.values()):
        counts[reason] = counts.get(reason, 0) + 1
    common = sorted(counts, key=lambda reason: (-counts[reason], reason))
    where = [f"{counted(len(found), 'row')} of {audit.train.name}"] if found else []
    if audit.test and in_test:
        where.append(f"{counted(len(in_test), 'row')} of {audit.test.name}")
    n = len(found) + len(in_test)
    listed = "; ".join(f"{reason} ({counts[reason]:,})" for reason in common)
    return Check(
        code=CODE,
        title=TITLE,
        severity=Severity.ISSUE,
        explanation=f"{' and '.join(where)} {'has' if n == 1 else 'have'} turns out of order: {listed}.",
        advice="Put the turns in order: a system message first if there is one, then the user and the assistant by "
        "turns, a tool's answer after its call. Many chat formats refuse anything else, or leave turns out.",
        rows=tuple(sorted(found)[:MOST_ROWS]),
        count=n,
        details={"reasons": counts, "test_rows": sorted(in_test)[:MOST_ROWS]},
    )


def _disordered(source: Source) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield the position and the reasons of each row that is out of order; of a running text there is none."""
    if source.form is None:
        return
    for positions, dataset, is_answered in (
        (source.positions, source.dataset, True),
        (source.unlabelled_positions, source.unlabelled, False),
    ):
        for position, conversation in zip(positions, dataset.examples, strict=True):
            reasons = tuple(dict.fromkeys(_reasons(conversation, is_answered=is_answered)))
            if reasons:
                yield position, reasons


def _reasons(conversation: Conversation, *, is_answered: bool) -> Iterator[str]:
    previous = ""
    called = asked = False
    systems = 0
    answer = (ASSISTANT,) if is_answered else ()
    roles = [*((message.role, bool(message.tool_calls)) for message in conversation.messages)]
    for place, (role, calls) in enumerate(chain(roles, ((role, False) for role in answer))):
        if role == SYSTEM:
            systems += 1
            if systems > 1:
                yield SYSTEM_TWICE
            elif place:
                yield SYSTEM_LATE
            continue
        if role == TOOL and not called:
            yield NO_CALL
        if role == ASSISTANT and not asked:
            yield ASSISTANT_FIRST
        elif role == ASSISTANT and previous == ASSISTANT:
            yield ASSISTANT_TWICE
        if role == USER and previous == USER:
            yield USER_TWICE
        asked = asked or role == USER
        # Several answers of tools can follow one turn that made several calls.
        called = calls or (called and role == TOOL)
        previous = role
