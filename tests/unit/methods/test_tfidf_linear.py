import csv
import random

import numpy as np
import pytest

from nshot import methods, metrics
from nshot.core import DataError, Dataset, State, Task, TaskKind
from nshot.methods.tfidf_linear import _terms
from unit.methods.features import accuracy, fit, restored

TASK = Task(TaskKind.CLASSIFY, ("bad", "good"))


def dataset(good, bad, times=6):
    texts = [*good, *bad] * times
    return Dataset(texts, targets=[*["good"] * len(good), *["bad"] * len(bad)] * times)


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (["a fine day", "fine work"], ["a poor day", "poor work"]),
        (["很好的一天", "做得很好"], ["糟糕的一天", "做得糟糕"]),
        (["😀😀", "!!!"], ["😡", "???"]),
        (["यह अच्छा है", "अच्छा काम"], ["यह बुरा है", "बुरा काम"]),
        (["يوم جيد", "عمل جيد"], ["يوم سيئ", "عمل سيئ"]),
    ],
    ids=["English", "Chinese", "signs only", "Hindi", "Arabic"],
)
def test_any_script_is_learnt_from(good, bad):
    train = dataset(good, bad)
    assert accuracy(fit("tfidf_linear", TASK, train, None), train) == 1.0


def test_terms_are_words_signs_and_pairs_of_them():
    assert list(_terms("Straße 7? Don't")) == [
        "strasse", "7", "strasse 7", "?", "7 ?", "don", "? don", "'", "don '", "t", "' t",
    ]  # fmt: skip
    assert list(_terms("天气")) == ["天", "气", "天 气"]
    assert list(_terms("हिन्दी")) == ["हिन्दी"]


def test_texts_without_any_known_or_any_term_are_answered():
    predictor = fit("tfidf_linear", TASK, dataset(["fine"], ["poor"]), None)
    answers = predictor.predict(["", "   ", "unknown words", "\ud800", "fine " * 50_000])
    np.testing.assert_allclose(answers.probabilities.sum(axis=1), 1, atol=1e-6)
    assert answers.labels[4] == "good"


def test_train_texts_that_are_all_empty_give_an_answer():
    train = Dataset(["", "", "", ""], targets=["good", "bad", "good", "good"])
    assert len(fit("tfidf_linear", TASK, train, None).predict(["anything"])) == 1


def test_vocabulary_is_restored_from_data_formats():
    train = dataset(["a fine day \u2028 \ud800", "fine\u00a0work"], ["a poor day", "poor work"])
    predictor = fit("tfidf_linear", TASK, train, None)
    state = predictor.state()
    assert set(state.blobs) == {"vocabulary.json"}
    again = restored("tfidf_linear", predictor, None)
    assert again.predict(train.examples).probabilities.tobytes() == (
        predictor.predict(train.examples).probabilities.tobytes()
    )
    assert isinstance(again.state(), State)


def test_what_is_no_text_is_refused_in_words():
    predictor = fit("tfidf_linear", TASK, dataset(["fine"], ["poor"]), None)
    with pytest.raises(DataError, match="reads texts; found int"):
        predictor.predict([3])
    rows = Dataset([(1.0,), (2.0,)], modality="row", targets=["good", "bad"])
    with pytest.raises(DataError, match="text examples"):
        fit("tfidf_linear", TASK, rows, None)


def test_word_counts_reach_what_they_are_known_to_reach_on_buginese(shared_data):
    """0.755: word 1-2-grams and logistic regression on all 500 rows, computed independently."""

    def read(part):
        path = shared_data / "text" / "nusax_sentiment" / "buginese" / f"{part}.csv"
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        random.Random(0).shuffle(rows)
        return Dataset([row["text"] for row in rows], targets=[row["label"] for row in rows])

    train, test = read("train"), read("test")
    task = Task(TaskKind.CLASSIFY, tuple(sorted(set(train.targets))))
    predictor = fit("tfidf_linear", task, train, None)
    assert metrics.get("macro_f1").score(test.targets, predictor.predict(test.examples), task) > 0.73


def test_strength_can_be_given():
    train = dataset(["fine"], ["poor"])
    predictor = fit("tfidf_linear", TASK, train, None, strength=0.5)
    assert predictor.state().settings["chosen"]["strength"] == 0.5
    assert methods.build("tfidf_linear", {"strength": 0.5}).changed() == {"strength": 0.5}


def test_a_number_that_words_decide_is_explained():
    rng = random.Random(0)
    worth = {"cheap": 1.0, "fine": 5.0, "dear": 25.0, "rare": 125.0}
    texts = [" ".join(rng.choices(list(worth), k=4)) for _ in range(200)]
    values = [sum(worth[word] for word in text.split()) for text in texts]
    task = Task(TaskKind.REGRESS, metric="mae")
    predictor = fit("tfidf_linear", task, Dataset(texts[:150], targets=values[:150]), None)
    errors = np.array(values[150:]) - predictor.predict(texts[150:]).values
    assert 1 - np.square(errors).mean() / np.var(values[150:]) > 0.9
    again = methods.build("tfidf_linear").restore(task, predictor.state(), lambda ref: None)
    np.testing.assert_array_equal(again.predict(texts).values, predictor.predict(texts).values)
