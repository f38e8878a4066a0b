"""Checks of data whose answers are texts to write: each fires on data made for it, those of labels are silent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from nshot.core import Check, DataError, Example, Severity, TokenisedText
from nshot.data.options import ReadOptions
from nshot.data.reading import read
from nshot.evaluation.checks import AuditReport, audit
from nshot.evaluation.checks.facts import TokenCounts, count_tokens

THINGS = ["card", "bill", "parcel", "refund", "password", "invoice", "order", "account", "voucher", "contract"]
PLACES = ["in the shop", "on the website", "at the desk", "by telephone", "with your app"]
CLAIMS = ["got lost", "never came", "is wrong", "was charged twice", "does not work", "looks broken", "has expired"]
ADVICE = [
    "please call us",
    "wait a day or two",
    "send a photograph",
    "we have refunded it",
    "try once more",
    "sign again",
]


def clean(n: int = 120, seed: int = 0) -> list[dict[str, Any]]:
    """Return pairs that no check but near-duplicates has anything to say about."""
    random = np.random.default_rng(seed)
    pairs: dict[str, str] = {}
    while len(pairs) < n:
        asked = "the {} {} {} and my {} {}".format(
            *(str(random.choice(p)) for p in (THINGS, CLAIMS, PLACES, THINGS, CLAIMS))
        )
        pairs[asked] = "about your {}: {}, then {}".format(*(str(random.choice(p)) for p in (THINGS, ADVICE, ADVICE)))
    return [{"prompt": asked, "completion": answer} for asked, answer in pairs.items()]


def report(rows: list[dict[str, Any]], test: list[dict[str, Any]] | None = None, **options: Any) -> AuditReport:
    train = read(rows, ReadOptions.parse(options))
    return audit(train, read(test, like=train) if test else None)


def finding(code: str, found: AuditReport) -> Check | None:
    return next((check for check in found.checks if check.code == code), None)


def fired(code: str, found: AuditReport) -> Check:
    check = finding(code, found)
    assert check is not None, f"{code} did not fire; these did: {[each.code for each in found.checks]}"
    return check


def chat(*turns: tuple[str, str]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": said} for role, said in turns]}


def chats(n: int = 40) -> list[dict[str, Any]]:
    return [chat(("user", row["prompt"]), ("assistant", row["completion"])) for row in clean(n)]


def test_clean_data_and_its_test_have_no_findings_but_near_duplicates():
    rows = clean(160)
    assert {check.code for check in report(rows[:120], rows[120:]).checks} <= {"N101"}


def test_checks_of_labels_are_silent_where_answers_are_written():
    # One answer for all, or one each: as labels, both would be contradictions, small classes and imbalance.
    rows = [*clean(30), *({**row, "completion": "please call us by telephone now"} for row in clean(30, seed=1))]
    codes = {check.code for check in report([*rows, {"prompt": rows[0]["prompt"], "completion": "no"}]).checks}
    assert not codes & {"N104", "N105", "N107", "N108", "N110", "N111", "N112", "N114"}


def test_n102_counts_an_input_again_only_with_the_same_answer():
    rows = clean(40)
    again = [{**rows[0], "prompt": rows[0]["prompt"].upper()}, {**rows[1], "completion": "something else altogether"}]
    check = fired("N102", report([*rows, *again]))
    assert (check.count, check.rows) == (1, (40,))
    assert "input and answer" in check.explanation


def test_n103_finds_inputs_of_the_test_whatever_their_answers_and_leaves_them_out():
    rows = clean(60)
    found = report(
        rows[:40], [*rows[40:], {"prompt": rows[3]["prompt"] + "!", "completion": "something else altogether"}]
    )
    check = fired("N103", found)
    assert (check.count, check.rows, check.details["test_rows"]) == (1, (3,), [20])
    assert "test input" in check.explanation
    assert found.leaked.tolist() == [3]


def test_inputs_of_one_template_stay_apart_unless_their_answers_are_alike_too():
    rows = [
        {
            "mr": f"name[Alimentum], area[city centre], familyFriendly[no], price[{i}]",
            "ref": f"{row['completion']} {row['prompt']}",
        }
        for i, row in enumerate(clean(30))
    ]
    twin = {"mr": rows[0]["mr"].replace("[0]", "[zero]"), "ref": rows[0]["ref"] + "."}
    groups = report([*rows, twin]).groups
    assert groups[0] == groups[30]
    assert len(set(groups.tolist())) == 30


def test_system_messages_that_all_share_do_not_make_conversations_alike():
    rows = [{**row, "system": "You are the kind assistant of a very large shop. " * 40} for row in clean(30)]
    assert len(set(report(rows).groups.tolist())) >= 25


def test_n106_and_n113_look_at_prompts_and_at_answers():
    rows = [*clean(40), {"prompt": " ", "completion": "nobody asked for this answer"}]
    rows[3]["completion"] = "the cafÃ© is closed today"
    found = report(rows)
    assert fired("N106", found).rows == (40,)
    assert fired("N113", found).rows == (3,)


def test_n115_tells_missing_answers_from_answers_marked_as_bad():
    rows: list[dict[str, Any]] = chats(12)
    for i, row in enumerate(rows):
        row["label"] = i % 4 != 0
    rows[1]["messages"][-1]["content"] = ""
    rows[2]["messages"].pop()
    check = fired("N115", report(rows))
    assert (check.rows, check.count, check.severity) == ((1, 2), 5, Severity.ISSUE)
    assert check.details["marked_as_bad"] == [0, 4, 8]
    assert "2 rows of 12" in check.explanation
    marked = [{**row, "label": i > 2} for i, row in enumerate(chats(12))]
    assert fired("N115", report(marked)).severity is Severity.NOTE


def test_n115_names_rows_of_the_test_that_cannot_be_scored():
    rows = clean(40)
    check = fired("N115", report(rows[:30], [*rows[30:], {"prompt": "and who answers this", "completion": ""}]))
    assert check.details["test_rows"] == [10]


def test_n116_estimates_without_a_model_and_says_so():
    rows = clean(40)
    rows[7]["completion"] = "word " * 2500
    check = fired("N116", report(rows))
    assert (check.rows, check.details["counted_by"]) == ((7,), None)
    assert "estimate" in check.explanation
    assert "--backbone" in check.advice


def test_n116_takes_the_models_own_counts():
    rows = clean(20)
    source = read(rows)
    inputs = np.full(20, 10)
    lengths = np.where(np.arange(20) == 4, 200, 30)
    tokens = TokenCounts(np.where(np.arange(20) == 4, 150, inputs), lengths, 100, "tiny")
    check = fired("N116", audit(source, None, tokens))
    assert (check.rows, check.details["nothing_left"]) == ((4,), 1)
    assert "the 100 tokens that tiny takes in" in check.explanation
    assert finding("N116", audit(source, None, TokenCounts(inputs, lengths, None, "tiny"))) is None


class Words:
    """A model whose tokens are words, and which refuses what begins with "no"."""

    longest = 12

    def prompt_tokens(self, examples: Sequence[Example]) -> list[int]:
        if any(each.last.startswith("no") for each in examples):
            raise DataError("This one is refused.")
        return [sum(len(message.content.split()) for message in each.messages) for each in examples]

    def conversations(self, examples: Sequence[Example], answers: Sequence[str]) -> list[TokenisedText]:
        sizes = [
            size + len(answer.split()) + 1 for size, answer in zip(self.prompt_tokens(examples), answers, strict=True)
        ]
        return [TokenisedText((0,) * size, (False,) * size) for size in sizes]


def test_tokens_are_counted_with_the_instruction_and_estimated_where_the_model_refuses():
    rows = [{"prompt": "a b c", "completion": "d e f g"}, {"prompt": "no way at all", "completion": "d e f g"}]
    found = count_tokens(read(rows, ReadOptions(instruction="Be brief.", task="generate")), Words(), "words")
    assert (found.inputs[0], found.rows[0], found.longest) == (5, 10, 12)
    assert found.rows[1] > found.inputs[1] > 0


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        ([("user", "a"), ("user", "b"), ("assistant", "c")], "two turns of the user's in a row"),
        ([("assistant", "a"), ("user", "b"), ("assistant", "c")], "an answer before anybody asked"),
        ([("user", "a"), ("system", "b"), ("assistant", "c")], "a system message that is not the first"),
        ([("system", "a"), ("system", "b"), ("user", "c"), ("assistant", "d")], "more than one system message"),
        ([("user", "a"), ("tool", "b"), ("assistant", "c")], "a tool's answer without a call"),
        ([("user", "a"), ("assistant", "b"), ("assistant", "c")], "two answers in a row"),
        ([("user", "a"), ("assistant", "b"), ("user", "c"), ("user", "d")], "two turns of the user's in a row"),
    ],
)
def test_n117_names_what_is_out_of_order(turns, reason):
    check = fired("N117", report([*chats(), chat(*turns)]))
    assert (check.rows, list(check.details["reasons"])) == ((40,), [reason])
    assert check.severity is Severity.ISSUE


def test_n117_accepts_calls_with_several_answers_and_a_system_message():
    call = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}] * 2}
    rows = chats()
    for row in rows:
        said = row["messages"]
        answers = [{"role": "tool", "content": "1"}, {"role": "tool", "content": "2"}]
        row["messages"] = [{"role": "system", "content": "s"}, said[0], call, *answers, said[1]]
    assert finding("N117", report(rows)) is None


def test_n118_is_about_answers_with_next_to_nothing_in_common():
    rows = clean(40)
    other = {**rows[5], "completion": "zebras drink cold water"}
    same = {**rows[6], "completion": rows[6]["completion"].replace("about", "concerning")}
    check = fired("N118", report([*rows, other, same]))
    assert (check.count, check.rows, check.severity) == (1, (5, 40), Severity.NOTE)


def test_n119_names_answers_that_repeat_the_prompt():
    rows = clean(40)
    rows[9]["completion"] = rows[9]["prompt"].capitalize() + "."
    check = fired("N119", report(rows))
    assert (check.rows, check.severity) == ((9,), Severity.ISSUE)
