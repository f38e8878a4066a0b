"""Scoring a fitted model on labelled rows, from Python."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, log_loss

import nshot
from nshot import api
from nshot.bundle import MeasuredScore
from nshot.core import (
    DataError,
    Decoding,
    ExampleError,
    OptionError,
    Prediction,
    State,
    Task,
    TaskKind,
    UnsupportedError,
)

TASK = Task(TaskKind.CLASSIFY, ("a", "b", "c"))


class Noisy:
    """Answers the letter that a text begins with, wrongly where the text says so."""

    def __init__(self, word: str = "wrong", *, has_probabilities: bool = True) -> None:
        self.word = word
        self.has_probabilities = has_probabilities
        self.most_at_once = 0

    def predict(self, examples):
        self.most_at_once = max(self.most_at_once, len(examples))
        index = {"a": 0, "b": 1, "c": 2}
        codes = [(index.get(text[0], 0) + (self.word in text)) % 3 for text in examples]
        probabilities = np.full((len(codes), 3), 0.1, np.float32)
        probabilities[np.arange(len(codes)), codes] = 0.8
        labels = [TASK.labels[code] for code in codes]
        return Prediction(labels=labels, probabilities=probabilities if self.has_probabilities else None)

    def state(self):
        return State()


class Named:
    """A method's name; the rest of a method is not needed to answer."""

    def __init__(self, name: str) -> None:
        self.name = name

    def method_name(self) -> str:
        return self.name


def model(name="noisy", predictor=None, **about) -> api.Model:
    from nshot.bundle import BundleInfo

    return api.Model(Named(name), TASK, predictor or Noisy(), BundleInfo(**{"model_n_labels": 9, **about}))


def rows(n: int = 300, wrong: float = 0.2, also: float = 0.2) -> tuple[list[str], list[str]]:
    random = np.random.default_rng(0)
    words = "oak elm ash fir yew bay box fig may sloe pine plum pear palm rose".split()  # noqa: SIM905
    labels = [TASK.labels[i % 3] for i in range(n)]
    texts = [
        " ".join(
            [
                f"{label}{i}{random.integers(10**9)}",
                *random.choice(words, 8),
                *["wrong"] * (random.random() < wrong),
                *["also"] * (random.random() < also),
            ]
        )
        for i, label in enumerate(labels)
    ]
    return texts, labels


def test_scores_are_those_of_scikit_learn():
    texts, labels = rows()
    answer = Noisy().predict(texts)
    found = nshot.evaluate(model(), (texts, labels))
    expected = {
        "accuracy": accuracy_score(labels, answer.labels),
        "macro_f1": f1_score(labels, answer.labels, average="macro"),
        "log_loss": log_loss(labels, answer.probabilities),
    }
    for name, value in expected.items():
        assert found.metrics[name]["score"] == pytest.approx(value, abs=1e-6)
        low, high = found.metrics[name]["interval"]
        assert low < value < high
    assert found.record["n"] == 300
    assert (found.difference, found.better, found.failures) == (None, None, ())
    json.dumps(found.record, allow_nan=False)


def test_batches_are_bounded_and_change_nothing(monkeypatch):
    texts, labels = rows()
    whole = nshot.evaluate(model(), (texts, labels)).record
    predictor = Noisy()
    monkeypatch.setattr("nshot.api.model._AT_ONCE", 7)
    assert nshot.evaluate(model(predictor=predictor), (texts, labels)).record == whole
    assert predictor.most_at_once == 7


def test_of_two_models_the_better_one_is_named_whichever_comes_first():
    data = rows()
    good, bad = model("good", Noisy("also and wrong")), model("bad", Noisy("wrong"))
    found = nshot.evaluate(bad, data, good)
    assert found.better == "good"
    assert found.difference["accuracy"]["mean"] > 0
    assert found.difference["accuracy"]["interval"][0] > 0
    assert found.metrics == found.record["models"][1]["metrics"], "the second model's, which the gates judge"
    back = nshot.evaluate(good, data, bad)
    assert back.better == "good"
    assert back.difference["accuracy"]["mean"] == pytest.approx(-found.difference["accuracy"]["mean"])
    assert found.record["only_second_right"] == back.record["only_first_right"] > 0
    assert found.record["only_first_right"] == 0


def test_two_models_that_do_alike_cannot_be_told_apart():
    found = nshot.evaluate(model("one", Noisy("wrong")), rows(), model("two", Noisy("also")))
    low, high = found.difference["macro_f1"]["interval"]
    assert low < 0 < high
    assert found.better is None
    assert found.record["smallest_detectable_difference"] > high - found.difference["macro_f1"]["mean"]


def test_the_difference_is_paired():
    """Models that are wrong on the same rows but for a few differ surely, although their intervals overlap."""
    texts, labels = rows(600, wrong=0.3, also=0.03)
    texts = [text.replace("also", "also wrong") if "wrong" not in text else text for text in texts]
    found = nshot.evaluate(model("a", Spared()), (texts, labels), model("b", Noisy("wrong")))
    first, second = (entry["metrics"]["accuracy"]["interval"] for entry in found.record["models"])
    assert first[0] < second[1], "the intervals overlap"
    assert found.difference["accuracy"]["interval"][1] < 0


class Spared(Noisy):
    """Is right where the other is wrong and the text says "also"."""

    def predict(self, examples):
        return super().predict([text.replace("also wrong", "") for text in examples])


def test_labels_that_the_model_does_not_know_count_as_wrong_and_are_named():
    texts, labels = rows(90, wrong=0)
    found = nshot.evaluate(model(), ([*texts, *("a fine day" + "!x" * i for i in range(10))], [*labels, *["d"] * 10]))
    assert found.record["models"][0]["unknown_labels"] == {"d": 10}
    assert found.metrics["accuracy"]["score"] == pytest.approx(0.9)
    assert found.metrics["macro_f1"]["score"] < 0.75, "a label that is never found has an F1 of 0"


def test_labels_without_a_row_are_named():
    texts, labels = rows(90)
    kept = [i for i, label in enumerate(labels) if label != "c"]
    found = nshot.evaluate(model(), ([texts[i] for i in kept], [labels[i] for i in kept]))
    assert found.record["models"][0]["absent_labels"] == ["c"]


def test_another_column_of_labels_is_refused_instead_of_scored_zero():
    texts, labels = rows(30)
    with pytest.raises(DataError, match=r"None of the 2 labels in the column 'label'.*--label COLUMN"):
        nshot.evaluate(model(), (texts, ["high" if label == "a" else "low" for label in labels]))


def test_near_duplicates_count_once_in_the_interval():
    texts, labels = rows(100)
    once = nshot.evaluate(model(), (texts, labels))
    five = nshot.evaluate(model(), (texts * 5, labels * 5))
    assert five.record["independent"] == 100 < five.record["n"]
    assert five.metrics["accuracy"]["interval"] == pytest.approx(once.metrics["accuracy"]["interval"], abs=0.002)


def test_rows_without_a_label_are_left_out_and_counted():
    texts, labels = rows(30)
    found = nshot.evaluate(model(), ([*texts, "a text", "another"], [*labels, "", None]))
    assert (found.record["n"], found.record["unlabelled"]) == (30, 2)


def test_what_needs_probabilities_is_left_out_where_there_are_none_and_refused_where_asked_for():
    without = model(predictor=Noisy(has_probabilities=False))
    found = nshot.evaluate(without, rows())
    assert set(found.record["models"][0]["left_out"]) == {"log_loss", "brier", "expected_calibration_error"}
    assert "log_loss" not in found.metrics
    with pytest.raises(UnsupportedError, match="noisy cannot be judged so: log_loss needs probabilities"):
        nshot.evaluate(without, rows(), fail_under={"log_loss": 0.4})


def test_two_models_are_compared_by_what_both_have():
    found = nshot.evaluate(model(predictor=Noisy(has_probabilities=False)), rows(), model("other"))
    assert "log_loss" in found.metrics
    assert "log_loss" not in found.difference


def test_the_named_metrics_are_shown_and_the_first_one_decides():
    found = nshot.evaluate(model(), rows(), metric="accuracy,mcc", fail_under=0.99)
    assert list(found.metrics) == ["accuracy", "mcc"]
    assert found.record["metric"] == "accuracy"
    assert found.failures[0].startswith("accuracy is ")
    assert found.record["failures"] == list(found.failures)


def promised(score: float, low: float, high: float) -> MeasuredScore:
    return MeasuredScore(
        metric="accuracy", score=score, interval=(low, high), n_labels=9, n_test=400, target="a fresh draw"
    )


@pytest.mark.parametrize(
    ("promise", "kept"),
    [((0.95, 0.93, 0.97), "worse"), ((0.8, 0.76, 0.84), "as promised"), ((0.5, 0.45, 0.55), "better")],
)
def test_the_score_is_held_against_the_one_that_came_with_the_model(promise, kept):
    found = nshot.evaluate(model(score=promised(*promise)), rows())
    made = found.record["models"][0]["promise"]
    assert (made["kept"], found.record["metric"]) == (kept, "accuracy")
    low, high = made["difference"]["interval"]
    assert low < found.metrics["accuracy"]["score"] - promise[0] < high


def test_a_model_without_a_score_promises_nothing():
    assert nshot.evaluate(model(), rows()).record["models"][0]["promise"] is None


def test_the_very_training_rows_are_told():
    texts, labels = rows(60)
    trained = api.fit((texts, labels), method="tfidf_linear")
    on_training = nshot.evaluate(trained, (texts, labels)).record["models"][0]
    assert on_training["trained_on"]
    assert on_training["promise"] is None
    on_new = nshot.evaluate(trained, (texts[:-1], labels[:-1])).record["models"][0]
    assert not on_new["trained_on"]


def test_models_that_are_called_the_same_get_different_names():
    found = nshot.evaluate(model(), rows(), model(predictor=Noisy("also")))
    assert [entry["name"] for entry in found.record["models"]] == ["noisy (first)", "noisy (second)"]


def test_columns_of_the_training_are_used_where_the_data_has_them():
    texts, labels = rows(60)
    table = [
        {"message": text, "kind": "xy"[i % 2], "queue": label, "comment": "some words that are no input at all"}
        for i, (text, label) in enumerate(zip(texts, labels, strict=True))
    ]
    found = nshot.evaluate(model(text_columns=("message",), label_column="queue"), table)
    assert found.record["columns"] == {"text": ["message"], "row": [], "label": "queue"}
    other = model("other", Noisy("also"), text_columns=("message", "comment"), label_column="kind")
    with pytest.raises(OptionError, match=r"has both: 'queue' and 'kind'\. Name the right one"):
        nshot.evaluate(model(text_columns=("message",), label_column="queue"), table, other)


def test_each_of_two_models_reads_its_own_columns():
    texts, labels = rows(60, wrong=0.5)
    table = [
        {"message": text.replace("wrong", ""), "note": text, "queue": label}
        for text, label in zip(texts, labels, strict=True)
    ]
    about = {"label_column": "queue"}
    found = nshot.evaluate(
        model("a", text_columns=("message",), **about), table, model("b", text_columns=("note",), **about)
    )
    first, second = (entry["metrics"]["accuracy"]["score"] for entry in found.record["models"])
    assert first == 1.0
    assert second < 0.8
    same = nshot.evaluate(
        model("a", text_columns=("message",), **about), table, model("b", text_columns=("note",), **about), text="note"
    )
    assert same.difference["accuracy"]["mean"] == 0.0


def test_data_in_the_place_of_a_model_is_told(tmp_path):
    saved = api.fit(rows(30), method="majority")
    saved.save(tmp_path / "model")
    with pytest.raises(OptionError, match="Expected the data last, found a saved model there"):
        nshot.evaluate("test.csv", tmp_path / "model")
    with pytest.raises(OptionError, match="Both models are"):
        nshot.evaluate(tmp_path / "model", rows(30), f"{tmp_path}/./model")


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"metric": "beauty"}, "must be one of macro_f1"),
        ({"metric": "auroc"}, "auroc does not judge the task 'classify'"),
        ({"fail_under": "beauty=1"}, "must be one of macro_f1"),
        ({"fail_if_worse": 0}, "compares two models"),
        ({"metrik": "accuracy"}, "evaluate has no option 'metrik'. Did you mean 'metric'"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(more, expected):
    with pytest.raises(OptionError, match=expected):
        nshot.evaluate(model(), rows(30), **more)


class Writes:
    """A writer that says "yes", and takes true answers of at most three words."""

    decoding = Decoding()

    def predict(self, examples):
        for position, example in enumerate(examples):
            if "huge" in example.messages[-1].content:
                raise ExampleError(position, " is too long.")
        return Prediction(texts=["yes"] * len(examples), stopped=[True] * len(examples))

    def stream(self, example, decoding):
        yield "yes"

    def likelihoods(self, examples, answers):
        for position, answer in enumerate(answers):
            if len(answer.split()) > 3:
                raise ExampleError(position, " is too long with its answer.")
        return np.array([[-1.0, 2.0]] * len(answers))

    def state(self):
        return State()


def written(questions, answers, **options):
    from nshot.bundle import BundleInfo

    task = Task(TaskKind.GENERATE, metric="bleu")
    writer = api.Model(Named("writer"), task, Writes(), BundleInfo(model_n_labels=9))
    return nshot.evaluate(writer, (questions, answers), **options)


def test_a_true_answer_that_does_not_fit_leaves_out_only_what_needs_it():
    questions = [f"question number {i * i}{'abcdefg'[i % 7]}" for i in range(90)]
    answers = ["yes"] * 80 + ["a true answer of far too many words"] + ["yes"] * 9
    record = written(questions, answers).record
    assert record["metrics"]["exact_match"]["score"] > 0.9
    assert record["models"][0]["left_out"] == dict.fromkeys(
        ("bits_per_byte", "perplexity"), "Example 81 is too long with its answer."
    )
    with pytest.raises(UnsupportedError, match="Example 81 is too long with its answer"):
        written(questions, answers, metric="perplexity")


def test_an_input_that_is_too_long_is_named_by_its_row():
    questions = [f"question number {i * i}{'abcdefg'[i % 7]}" for i in range(90)]
    questions[70] = "huge"
    with pytest.raises(ExampleError, match="Example 71 is too long"):
        written(questions, ["yes"] * 90)
