"""Each check fires on data made for it, and is silent on clean data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nshot.core import Check, Severity
from nshot.data.options import ReadOptions
from nshot.data.reading import Source, read
from nshot.evaluation.checks import DATA, AuditReport, audit, names

THINGS = ["card", "bill", "parcel", "refund", "password", "invoice", "order", "account", "voucher", "contract"]
PLACES = ["in the shop", "on the website", "at the desk", "by telephone", "with your app"]
CLAIMS = ["got lost", "never came", "is wrong", "was charged twice", "does not work", "looks broken", "has expired"]


def clean(n: int = 200, seed: int = 0) -> list[dict[str, Any]]:
    """Return rows that no check has anything to say about."""
    random = np.random.default_rng(seed)
    texts: dict[str, None] = {}
    while len(texts) < n:
        parts = [str(random.choice(part)) for part in (THINGS, CLAIMS, PLACES, THINGS, CLAIMS)]
        texts["the {} {} {} and my {} {}".format(*parts)] = None
    labels = ["money", "delivery", "access"]
    return [{"text": text, "label": labels[i % 3]} for i, text in enumerate(texts)]


def report(rows: list[dict[str, Any]], test: list[dict[str, Any]] | None = None, **options: Any) -> AuditReport:
    train = read(rows, ReadOptions.parse(options))
    return audit(train, read(test, like=train) if test else None)


def finding(code: str, found: AuditReport) -> Check | None:
    return next((check for check in found.checks if check.code == code), None)


def fired(code: str, found: AuditReport) -> Check:
    check = finding(code, found)
    assert check is not None, f"{code} did not fire; these did: {[each.code for each in found.checks]}"
    return check


@pytest.fixture(scope="module")
def spotless() -> AuditReport:
    rows = clean(400)
    return report(rows[:300], rows[300:])


def test_every_check_is_found_by_its_file_name():
    assert [name[:4] for name in names(DATA)] == [f"n{code}" for code in range(101, 129)]


DOCS = Path(__file__).resolve().parents[3] / "docs" / "checks"


@pytest.mark.parametrize("code", [name[:4].upper() for name in names(DATA)])
def test_every_check_has_its_page(code):
    assert (DOCS / f"{code}.md").read_text(encoding="utf-8").startswith(f"# {code}")


# N101 has a test of its own: the rows here are made of few parts, so some come out nearly the same.
@pytest.mark.parametrize("code", [name[:4].upper() for name in names(DATA) if name[:4] != "n101"])
def test_check_is_silent_on_clean_data(spotless, code):
    assert finding(code, spotless) is None


def test_findings_are_json_able_and_say_what_to_do():
    import json

    rows = [*clean(), {"text": "", "label": "money"}, {"text": "x", "label": ""}]
    for check in report(rows).checks:
        assert json.loads(json.dumps(check.as_json()))["code"] == check.code
        assert check.explanation.endswith(".")
        assert check.advice.endswith(".")


def test_n101_names_the_pairs_and_puts_them_in_one_group():
    rows = [{"text": f"{text} {i}", "label": "ab"[i % 2]} for i, text in enumerate(UNLIKE)]
    assert finding("N101", report(rows)) is None
    rows.append({"text": UNLIKE[2] + " 2 thank you", "label": "a"})
    found = report(rows)
    check = fired("N101", found)
    assert check.details["pairs"] == [[2, len(rows) - 1]]
    assert found.groups[2] == found.groups[-1]
    assert len(set(found.groups.tolist())) == len(rows) - 1


UNLIKE = [
    "how do i get my money back after a cancelled flight to lisbon",
    "somebody used the office printer for private photographs again",
    "what time does the swimming pool open during school holidays",
    "please send the signed documents directly to our legal team",
    "we had wonderful weather and terrible food throughout the week",
    "never buying shoes without trying both of them on first again",
]


def test_n102_counts_copies_but_not_their_first():
    rows = clean(60)
    check = fired("N102", report([*rows, {**rows[4], "text": rows[4]["text"].upper() + "!"}]))
    assert (check.count, check.rows, check.severity) == (1, (60,), Severity.NOTE)


def test_n102_is_an_error_where_all_texts_are_equal():
    check = fired("N102", report([{"text": "Hello there", "label": "ab"[i % 2]} for i in range(10)]))
    assert check.severity is Severity.ERROR


def test_n103_counts_test_texts_and_names_the_rows_of_both_files():
    rows = clean(120)
    test = [{**rows[7], "text": rows[7]["text"].title()}, *rows[100:]]
    found = report(rows[:100], test)
    check = fired("N103", found)
    assert (check.count, check.rows) == (1, (7,))
    assert check.details["pairs"] == [[7, 0]]
    assert found.leaked.tolist() == [7]
    assert found.test_groups is not None
    assert found.groups[7] == found.test_groups[0]


def test_n104_names_the_rows_of_a_text_with_two_labels():
    rows = clean(60)
    check = fired("N104", report([*rows, {"text": rows[0]["text"] + ".", "label": "access"}]))
    assert (check.count, check.rows) == (1, (0, 60))
    assert check.details["texts"] == [{"rows": [0, 60], "labels": ["access", "money"]}]


def test_n105_names_labels_with_few_rows():
    check = fired("N105", report([*clean(60), {"text": "quite another matter", "label": "rare"}]))
    assert check.severity is Severity.ISSUE
    assert check.details["counts"] == {"rare": 1}
    assert check.rows == (60,)


def test_n105_is_an_error_where_every_label_has_a_single_row():
    rows = [{**row, "label": f"kind of {row['text'][4:30]} {i}"} for i, row in enumerate(clean(50))]
    assert fired("N105", report(rows, task="classify")).severity is Severity.ERROR


def test_n106_names_rows_without_text_in_both_files():
    rows = clean(120)
    check = fired(
        "N106", report([*rows[:60], {"text": " ", "label": "money"}], [*rows[60:], {"text": "", "label": "money"}])
    )
    assert (check.count, check.rows, check.details["test_rows"]) == (2, (60,), [60])


def test_n107_names_texts_beyond_what_a_model_reads():
    rows = [*clean(60), {"text": "word " * 300, "label": "money"}, {"text": "漢字" * 2000, "label": "access"}]
    check = fired("N107", report(rows))
    assert (check.rows, check.severity) == ((60, 61), Severity.NOTE)


def test_n108_notices_a_column_that_tells_the_label():
    rows = [{**row, "agent": {"money": "Ann", "delivery": "Bob", "access": "Cem"}[row["label"]]} for row in clean()]
    check = fired("N108", report(rows, label="label"))
    assert check.details["columns"] == ["agent"]
    assert check.severity is Severity.NOTE
    as_text = fired("N108", report(rows, text="text,agent", label="label"))
    assert as_text.severity is Severity.ISSUE


def test_n108_notices_a_word_in_the_text_that_tells_the_label():
    code = {"money": "[A]", "delivery": "[B]", "access": "[C]"}
    first = fired("N108", report([{**row, "text": f"{code[row['label']]} {row['text']}"} for row in clean()]))
    assert "first word" in first.explanation
    literal = fired("N108", report([{**row, "text": f"the {row['label']} case: {row['text']}"} for row in clean()]))
    assert "literally" in literal.explanation


def test_n108_ignores_ids_and_columns_that_tell_little():
    rows = [{**row, "id": i, "shop": ["north", "south"][i % 2]} for i, row in enumerate(clean())]
    assert finding("N108", report(rows, label="label", text="text")) is None


def test_n109_notices_other_shares_of_labels():
    rows = clean(400)
    check = fired("N109", report(rows[:200], [{**row, "label": "money"} for row in rows[200:]]))
    assert "'money' is 34% of the training rows and 100% of the test" in check.explanation
    assert "auroc" not in check.details


def test_n109_notices_other_words():
    test = [
        {**row, "text": row["text"].replace("the", "ye olde").replace("and", "forsooth")} for row in clean(200, seed=1)
    ]
    assert fired("N109", report(clean(200), test)).details["auroc"] > 0.9


def test_n110_says_which_rows_are_unlabelled():
    check = fired("N110", report([{"text": "one without a label", "label": ""}, *clean(60)]))
    assert (check.rows, check.count, check.severity) == ((0,), 1, Severity.NOTE)


def test_n111_joins_spellings_of_a_label():
    rows = clean(60)
    rows[3] = {**rows[3], "label": "Money "}
    rows[4] = {**rows[4], "label": "MONEY"}
    check = fired("N111", report(rows))
    assert check.details["labels"] == [["MONEY", "Money", "money"]]
    assert check.rows == (3, 4)


def test_n112_notes_a_dominant_label():
    rows = [{**row, "label": "rare" if i % 6 == 0 else "usual"} for i, row in enumerate(clean())]
    assert "83 % of the rows" in fired("N112", report(rows)).explanation


@pytest.mark.parametrize(
    "broken", ["crÃ¨me brulee", "itâ€™s here", "unreadable \ufffd sign", "ä½\xa0å¥½ there", "SÃ\xa0rl"]
)
def test_n113_notices_wrongly_decoded_characters(broken):
    assert fired("N113", report([*clean(60), {"text": broken, "label": "money"}])).rows == (60,)


@pytest.mark.parametrize(
    "sound", ["crème brûlée", "it’s here", "Ã is a letter", "São Paulo à noite", "你好", "Âge d’or", "100 €"]
)
def test_n113_leaves_real_letters_alone(sound):
    assert finding("N113", report([*clean(60), {"text": sound, "label": "money"}])) is None


def test_n113_doubts_a_western_encoding_that_gives_few_plain_letters(tmp_path):
    path = tmp_path / "a.csv"
    rows = "".join(f"{text},{label}\n" for text, label in [("Привет как дела", "a"), ("Где мой заказ", "b")] * 10)
    path.write_bytes(("text,label\n" + rows).encode("cp1251"))
    source: Source = read(path)
    assert "cp1251" in fired("N113", audit(source)).advice


def test_n114_asks_for_descriptions_of_numbers():
    rows = [{**row, "label": i % 2} for i, row in enumerate(clean(60))]
    assert fired("N114", report(rows)).details["labels"] == ["0", "1"]


def test_named_groups_are_kept_together_across_both_files():
    rows = [{**row, "user": f"user {i % 50}"} for i, row in enumerate(clean(200))]
    found = report(rows[:150], rows[150:], group="user")
    assert found.test_groups is not None
    assert found.groups[0] == found.groups[50] == found.test_groups[0]


def test_rows_are_positions_in_the_file_even_past_unlabelled_ones():
    rows = clean(60)
    found = report([{"text": "not labelled", "label": None}, *rows, {**rows[0], "text": rows[0]["text"] + "!"}])
    assert fired("N102", found).rows == (61,)


def test_n114_is_silent_about_rows_which_nothing_compares_with_names():
    rows = [{"a": i * 1.5, "b": i % 7, "c": i % 3, "label": i % 2} for i in range(60)]
    assert finding("N114", report(rows)) is None


def marked(text: str, *words: str) -> dict[str, Any]:
    return {"text": text, "entities": [[text.index(word), text.index(word) + len(word), "place"] for word in words]}


def test_entities_that_cut_words_in_two_are_found():
    rows = [marked(f"the road to London number {i}", "London" if i else "Lond") for i in range(20)]
    found = fired("N127", report(rows))
    assert found.rows == (0,)
    assert "'the road to [Lond]on number 0'" in found.explanation


def test_words_that_are_marked_in_most_places_and_not_in_others_are_found():
    rows = [marked(f"the road to London number {i}", "London") for i in range(9)]
    found = fired("N128", report([*rows, marked("a London bus and a road to Rome", "Rome"), marked("Londoners")]))
    assert found.rows == (9,)
    assert "'London' is marked 9 times and unmarked 1 time" in found.explanation


def test_rare_labels_of_entities_are_found_and_files_of_equal_labels_are_alike():
    rows = [marked(f"{i} roads lead to London", "London") for i in range(60)]
    rare = {"text": "Anna drives", "entities": [[0, 4, "person"]]}
    assert "'person'" in fired("N105", report([*rows, rare], rows[:30])).explanation
