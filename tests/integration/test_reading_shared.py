"""Public data sets as they are, with no flag beyond the file names."""

from __future__ import annotations

import pytest

from nshot.core import DataError
from nshot.data.reading import read
from nshot.evaluation.checks import audit

# file, rows, labelled rows, labels, text column, label column, do the names say something (rows: the data's README)
SETS = [
    ("banking77/train.csv", 10_003, 10_003, 77, "text", "category", True),
    ("clinc150/train.csv", 15_000, 15_000, 150, "text", "intent", True),
    ("sst2/train.csv", 6_920, 6_920, 2, "text", "label", True),
    ("trec/train.csv", 5_452, 5_452, 6, "text", "label", True),
    ("ag_news/rows.csv", 7_600, 7_600, 4, "text", "topic", True),
    ("tweet_emotion/train.jsonl", 3_257, 3_257, 4, "text", "emotion", True),
    ("amazon_counterfactual/train.tsv", 4_018, 4_018, 2, "sentence", "is_counterfactual", False),
    ("nusax_sentiment/english/train.csv", 500, 500, 3, "text", "label", True),
    ("nusax_sentiment/buginese/train.csv", 500, 500, 3, "text", "label", True),
    ("pubmedqa/train.jsonl", 500, 500, 3, "question", "decision", False),
    ("unfair_tos/sentences.csv", 17_383, 1_374, 22, "sentence", "unfair", True),
]


@pytest.mark.parametrize(("name", "rows", "labelled", "labels", "text", "label", "says"), SETS)
def test_set_is_read_without_flags(shared_data, name, rows, labelled, labels, text, label, says):
    source = read(shared_data / "text" / name)
    assert (source.rows, len(source.dataset), len(source.task.labels)) == (rows, labelled, labels)
    assert (source.text_columns, source.label_column) == ((text,), label)
    assert source.task.names_say_something is says


def codes(shared_data, train, test=None):
    source = read(shared_data / "text" / train)
    given = read(shared_data / "text" / test, like=source) if test else None
    report = audit(source, given)
    return report, {check.code: check for check in report.checks}


def test_banking77_audit_names_the_25_test_texts_that_stand_in_train(shared_data):
    report, found = codes(shared_data, "banking77/train.csv", "banking77/test.csv")
    assert found["N103"].count == 25
    assert len(found["N103"].details["test_rows"]) == 25
    assert len(report.leaked) == 25
    assert set(found) == {"N101", "N102", "N103", "N104"}
    assert report.test_groups is not None
    leaked_groups = set(report.groups[report.leaked].tolist())
    assert leaked_groups <= set(report.test_groups.tolist())


# The README of the data: 2.2 % of TREC's test stand in train, 0.4 % of CLINC150's.
@pytest.mark.parametrize(("name", "share"), [("trec", 2.2), ("clinc150", 0.4)])
def test_share_of_test_texts_in_train_is_the_known_one(shared_data, name, share):
    _, found = codes(shared_data, f"{name}/train.csv", f"{name}/test.csv")
    tests = {"trec": 500, "clinc150": 4_500}[name]
    assert round(100 * found["N103"].count / tests, 1) == share


@pytest.mark.parametrize(
    ("train", "test", "expected"),
    [
        ("sst2/train.csv", "sst2/test.csv", {"N102", "N103", "N113"}),
        ("ag_news/rows.csv", None, {"N101", "N102"}),
        ("tweet_emotion/train.jsonl", "tweet_emotion/test.jsonl", {"N101", "N102", "N103"}),
        ("amazon_counterfactual/train.tsv", "amazon_counterfactual/test.tsv", {"N112", "N113", "N114"}),
        ("nusax_sentiment/english/train.csv", "nusax_sentiment/english/test.csv", set()),
        ("nusax_sentiment/buginese/train.csv", "nusax_sentiment/buginese/test.csv", set()),
        ("pubmedqa/train.jsonl", "pubmedqa/test.jsonl", {"N114"}),
    ],
)
def test_audit_says_what_is_the_case_and_no_more(shared_data, train, test, expected):
    _, found = codes(shared_data, train, test)
    assert set(found) == expected


def test_a_test_in_another_language_is_noticed(shared_data):
    _, found = codes(shared_data, "nusax_sentiment/english/train.csv", "nusax_sentiment/buginese/test.csv")
    assert "words differ" in found["N109"].explanation


def test_a_file_of_out_of_scope_questions_alone_has_one_class(shared_data):
    with pytest.raises(DataError, match="'oos'"):
        read(shared_data / "text/clinc150/oos_test.csv")
