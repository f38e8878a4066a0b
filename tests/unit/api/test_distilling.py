"""Teaching a fast model the answers of a slow one: what is learnt, what is compared, and what is said about it."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import nshot
from nshot import api, bundle
from nshot.cli import main
from nshot.core import DataError, OptionError, TrainingError, UnsupportedError
from nshot.evaluation.protocol import hold_out
from nshot.methods.tfidf_linear import TfidfLinear

WORDS = {"red": ["rose", "blood", "tomato", "fire"], "blue": ["sea", "sky", "ice", "jeans"], "green": ["leaf", "grass"]}
FAST = {"into": "tfidf_linear", "threads": 1}


def rows(n: int, seed: int = 0) -> list[dict[str, str]]:
    generator = np.random.default_rng(seed)
    labels = generator.choice(list(WORDS), size=n)
    return [{"text": f"{generator.choice(WORDS[label])} {seed} number {i}", "label": str(label)}
            for i, label in enumerate(labels)]  # fmt: skip


def write(path: Path, found: list[dict[str, Any]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, list(found[0]))
        writer.writeheader()
        writer.writerows(found)
    return path


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher") / "model"
    api.fit(rows(40), method="tfidf_linear", threads=1, out=folder)
    return folder


def unlabelled(n: int, seed: int = 1) -> list[dict[str, str]]:
    return [{"text": row["text"]} for row in rows(n, seed)]


def test_rows_without_labels_are_enough(teacher, tmp_path):
    done = nshot.distill(teacher, unlabelled(300), out=tmp_path / "small", **FAST)
    found = done.record
    assert (found["n_learnt"] + found["n_held_out"], found["learnt"]) == (300, "probabilities")
    assert found["agreement"]["score"] > 0.9
    low, high = found["agreement"]["interval"]
    assert low < found["agreement"]["score"] <= high
    assert found["original"]["score"] is None
    assert found["difference"] is None
    assert any("nobody knows how often either is right" in words for words in found["found"])
    assert found["student"]["milliseconds_alone"] > 0
    assert found["student"]["bytes"] > 0


def test_labels_are_for_the_score_and_nothing_is_learnt_from_them(teacher, tmp_path):
    right = rows(300, seed=1)
    wrong = [{**row, "label": "red" if row["label"] == "blue" else "blue"} for row in right]
    by_right, by_wrong, by_none = (
        api.distill(teacher, data, **FAST) for data in (right, wrong, [{"text": row["text"]} for row in right])
    )
    assert by_right.record["student"]["score"] > 0.9 > 0.6 > by_wrong.record["student"]["score"]
    assert by_right.record["n_scored"] == by_right.record["n_held_out"]
    texts = [row["text"] for row in rows(50, seed=2)]
    np.testing.assert_array_equal(by_right.model.predict_proba(texts), by_wrong.model.predict_proba(texts))
    np.testing.assert_array_equal(by_right.model.predict_proba(texts), by_none.model.predict_proba(texts))


def test_the_student_says_where_it_comes_from(teacher, tmp_path):
    data = write(tmp_path / "new.csv", rows(250, seed=1))
    done = api.distill(teacher, data, out=tmp_path / "small", **FAST)
    manifest = bundle.read_manifest(tmp_path / "small")
    taught = manifest.distilled_from
    assert (taught.method, taught.learnt, taught.n_examples) == (
        "tfidf_linear",
        "probabilities",
        done.record["n_learnt"],
    )
    assert taught.sha256 == bundle.manifest_sha256(teacher)
    assert taught.agreement.score == done.record["agreement"]["score"]
    assert manifest.model_n_labels == 40
    assert manifest.score.score == done.record["student"]["score"]
    assert manifest.reference.measured_on == "held-out rows"
    card = (tmp_path / "small" / "README.md").read_text(encoding="utf-8")
    assert (
        f"the probabilities of tfidf\\_linear to {taught.n_examples} examples of new.csv, without labels" in card
        or (f"the probabilities of tfidf_linear to {taught.n_examples} examples of new.csv, without labels" in card)
    )
    assert "agreement is not accuracy" in card
    assert api.load(tmp_path / "small").predict(["sky"]) == ["blue"]


def test_the_teachers_own_training_rows_are_recognised(teacher, tmp_path):
    done = api.distill(teacher, rows(40), out=tmp_path / "small", **FAST)
    assert done.record["trained_on"]
    assert done.model.about.score is None


def test_copies_of_a_row_are_on_one_side(teacher):
    words = [
        {"text": f"{word} {chr(97 + i) * 9}"} for i in range(20) for word in ("sea", "rose", "leaf", "sky", "fire")
    ]
    found = api.distill(teacher, [row for row in words for _ in range(2)], **FAST).record
    assert found["n_held_out"] >= 2 * found["independent"] > 0
    assert found["n_held_out"] % 2 == 0


@given(st.lists(st.integers(0, 9), min_size=2, max_size=60), st.floats(0.02, 0.5), st.integers(0, 5))
def test_no_group_is_on_both_sides_and_both_have_rows(groups, share, seed):
    assume(len(set(groups)) > 1)
    learnt, held = hold_out(None, np.array(groups), share=share, seed=seed)
    assert sorted([*learnt, *held]) == list(range(len(groups)))
    assert {groups[at] for at in learnt}.isdisjoint(groups[at] for at in held)
    assert len(learnt)
    assert len(held)


@pytest.mark.parametrize("asked", [0.1, 30])
def test_a_share_or_a_number_of_rows_is_held_out(teacher, asked):
    found = api.distill(teacher, unlabelled(300), held_out=asked, **FAST).record
    assert abs(found["n_held_out"] - 30) <= 3


def test_a_student_that_knows_no_probabilities_learns_the_answers(teacher):
    done = api.distill(teacher, unlabelled(120), into="nearest_neighbours", threads=1)
    assert done.record["learnt"] == "answers"


def test_numbers_are_learnt(tmp_path):
    data = [{"text": f"{word} " * k, "value": 10.0 * k} for k in range(1, 25) for word in ("up", "more", "high")]
    model = api.fit(data, method="tfidf_linear", task="regress", label="value", threads=1)
    done = api.distill(model, data[::2] + data[1::2], label="value", held_out=0.3, **FAST)
    assert done.record["learnt"] == "answers"
    assert done.record["agreement"]["metric"] == done.record["metric"]
    assert done.record["student"]["interval"] is not None


def test_rows_of_a_table_are_learnt_with_and_without_their_labels():
    generator = np.random.default_rng(0)
    numbers = generator.normal(size=(300, 3))
    table = [{"a": a, "b": b, "c": c, "kind": "high" if a > 0 else "low"} for a, b, c in numbers.tolist()]
    model = api.fit(table[:100], method="nearest_neighbours", label="kind", threads=1)
    bare = [{name: row[name] for name in "abc"} for row in table[100:]]
    by_bare, by_all = (api.distill(model, data, threads=1).record for data in (bare, table[100:]))
    assert by_bare["student"]["method"] == "linear_probe"
    assert by_bare["agreement"] == by_all["agreement"]
    assert (by_bare["n_scored"], by_all["n_scored"]) == (0, by_all["n_held_out"])


def test_texts_are_learnt_by_a_student_that_is_named(tmp_path):
    data = [{"prompt": f"what is {i}", "answer": f"it is {i % 7}"} for i in range(60)]
    asked = {"task": "generate", "text": "prompt", "label": "answer"}
    model = api.fit(data, method="nearest_answer", threads=1, **asked)
    with pytest.raises(OptionError, match="--into METHOD:MODEL"):
        api.distill(model, data, threads=1)
    done = api.distill(model, data, into="nearest_answer", threads=1)
    assert done.record["learnt"] == "answers"
    assert done.record["agreement"]["macro"] is None


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"into": "sft"}, UnsupportedError, "sft cannot classify.*Methods that can: .*linear_probe"),
        ({"into": "k_means"}, UnsupportedError, "k_means cannot classify"),
        ({"into": "label_similarity"}, UnsupportedError, "learns nothing from examples"),
        ({"into": "tfidf"}, OptionError, "no method 'tfidf'"),
        ({"set": ("depth=3",)}, OptionError, "no option 'depth'"),
        ({"held_out": 200}, OptionError, "more than half of 300 rows"),
        ({"text": "message"}, DataError, "message"),
        ({"label": "queue"}, DataError, "queue"),
        ({"metric": "bleu"}, (OptionError, UnsupportedError), "."),
    ],
)
def test_what_cannot_be_meant_is_said(teacher, changed, error, words):
    with pytest.raises(error, match=words):
        api.distill(teacher, unlabelled(300), **{**FAST, **changed})


def test_labels_of_another_question_are_refused(teacher):
    other = [{"text": row["text"], "label": str(i % 3)} for i, row in enumerate(rows(100, seed=1))]
    with pytest.raises(DataError, match=r"None of the 3 labels .* is one that the teacher answers"):
        api.distill(teacher, other, **FAST)


def test_a_label_that_the_teacher_does_not_know_counts_as_wrong(teacher):
    more = [*rows(200, seed=1), *({"text": f"night coal {i}", "label": "black"} for i in range(60))]
    found = api.distill(teacher, more, metric="accuracy", **FAST).record
    assert found["unknown_labels"] == ["black"]
    assert found["original"]["score"] < 0.9


def test_a_teacher_that_always_says_the_same_is_refused(teacher):
    with pytest.raises(DataError, match=r"gives all 30 rows the same answer, 'blue'"):
        api.distill(teacher, [{"text": f"sky sea {i}"} for i in range(30)], **FAST)


def test_a_model_that_finds_groups_teaches_nothing(tmp_path):
    model = api.fit([{"text": row["text"]} for row in rows(60)], method="k_means", task="cluster", threads=1)
    with pytest.raises(UnsupportedError, match="fitted for the task 'cluster'"):
        api.distill(model, unlabelled(60), **FAST)


def test_the_teacher_is_not_written_over(teacher):
    before = bundle.manifest_sha256(teacher)
    with pytest.raises(OptionError, match="is the teacher itself"):
        api.distill(teacher, unlabelled(50), out=teacher, **FAST)
    assert bundle.manifest_sha256(teacher) == before


def test_a_student_that_cannot_be_fitted_leaves_what_lay_there(teacher, tmp_path, monkeypatch):
    api.distill(teacher, unlabelled(50), out=tmp_path / "small", **FAST)
    before = bundle.manifest_sha256(tmp_path / "small")

    def fails(*_: Any) -> None:
        raise TrainingError("It diverged.")

    monkeypatch.setattr(TfidfLinear, "distilled", fails)
    with pytest.raises(TrainingError):
        api.distill(teacher, unlabelled(60), out=tmp_path / "small", **FAST)
    assert bundle.manifest_sha256(tmp_path / "small") == before


def test_the_command_line_prints_a_table_or_one_object(teacher, tmp_path, capsys):
    data = write(tmp_path / "new.csv", rows(120, seed=1))
    arguments = ["distill", str(teacher), str(data), "--out", str(tmp_path / "small"), "--into", "tfidf_linear"]
    assert main.run([*arguments, "--threads", "1"]) == 0
    shown = capsys.readouterr().out
    assert "teacher: tfidf_linear" in shown
    assert "student: tfidf_linear" in shown
    assert "Give it more rows" in shown
    assert main.run([*arguments, "--threads", "1", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["student"]["method"] == "tfidf_linear"
    assert abs(record["n_learnt"] - 96) <= 6


def test_a_student_of_many_answers_beats_its_own_method_on_few_labels(shared_data):
    folder = shared_data / "text" / "sst2"
    with (folder / "train.csv").open(encoding="utf-8", newline="") as lines:
        found = list(csv.DictReader(lines))[::6]
    labelled, others = found[:100], [{"text": row["text"]} for row in found[100:]]
    model = api.fit(labelled, method="linear_probe", threads=1)
    alone = api.fit(labelled, method="tfidf_linear", threads=1)
    student = api.distill(model, others, **FAST).model
    compared = api.evaluate(alone, folder / "test.csv", student, metric="accuracy", threads=1)
    assert compared.difference["accuracy"]["mean"] > 0.03
