"""``nshot evaluate`` as a user types it, and as a build uses it."""

from __future__ import annotations

import pytest

import nshot as package
from integration.calling import nshot, succeeded, tickets, write_csv

NEW = tickets(90, seed=7)


@pytest.fixture
def model(shared_comparison):
    return shared_comparison.out / "model"


@pytest.fixture
def data(tmp_path):
    return write_csv(tmp_path / "new.csv", NEW)


@pytest.fixture(scope="module")
def weaker(tmp_path_factory):
    """Return a saved model that has seen little."""
    folder = tmp_path_factory.mktemp("weaker")
    rows = write_csv(folder / "few.csv", tickets(9, seed=3))
    succeeded("fit", rows, "--method", "majority", "--out", folder / "model", "--quiet")
    return folder / "model"


def test_json_is_the_record_and_the_same_as_from_python(model, data):
    found = succeeded("evaluate", model, data, "--json").json()
    assert found["n"] == 90
    low, high = found["metrics"]["accuracy"]["interval"]
    assert low <= found["metrics"]["accuracy"]["score"] <= high
    assert found == package.evaluate(str(model), data).record
    answers = package.load(model).predict([text for text, _ in NEW])
    right = sum(answer == label for answer, (_, label) in zip(answers, NEW, strict=True))
    assert found["metrics"]["accuracy"]["score"] == pytest.approx(right / 90, abs=1e-6)


def test_the_terminal_shows_scores_weak_labels_and_the_promise(model, tmp_path):
    shown = succeeded("evaluate", model, write_csv(tmp_path / "hard.csv", tickets(90, seed=7, wrong=0.6)), "--quiet")
    assert shown.err == ""
    assert "hard.csv: 90 rows" in shown.out
    assert "Most often mistaken" in shown.out
    said = " ".join(shown.out.split())
    assert "The model promised macro F1" in said
    assert "worse than promised" in said


def test_the_training_rows_are_shouted_about(model, shared_comparison):
    shown = succeeded("evaluate", model, shared_comparison.data)
    assert "was fitted on these very rows" in " ".join(shown.out.split())
    assert succeeded("evaluate", model, shared_comparison.data, "--json").json()["models"][0]["trained_on"]


def test_two_models_are_compared_on_the_same_rows(model, weaker, data):
    shown = succeeded("evaluate", weaker, model, data)
    assert f"B ({model}) is better than A" in " ".join(shown.out.split())
    found = succeeded("evaluate", weaker, model, data, "--json").json()
    assert found["better"] == str(model)
    assert found["difference"]["macro_f1"]["interval"][0] > 0
    assert found["smallest_detectable_difference"] > 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--fail-under", "0.9"], 0, ""),
        (["--fail-under", "accuracy=0.9,macro_f1=0.9"], 0, ""),
        (["--fail-under", "log_loss=0.000001"], 1, "above the limit 1e-06"),
        (["--fail-under", "1", "--strict"], 1, "may as well be below the limit 1"),
    ],
)
def test_a_build_fails_by_the_exit_code(arguments, code, message, model, data):
    called = nshot("evaluate", model, data, "--json", *arguments)
    assert called.code == code
    assert message in called.err
    assert called.json()["failures"] == ([] if code == 0 else [called.err.split("nshot: ", 1)[1].strip()])


def test_a_build_fails_if_the_new_model_is_shown_to_be_worse(model, weaker, data):
    assert nshot("evaluate", weaker, model, data, "--fail-if-worse", "0").code == 0
    called = nshot("evaluate", model, weaker, data, "--fail-if-worse", "0.01")
    assert called.code == 1
    assert "shown to be worse by more than 0.01 (--fail-if-worse)" in called.err
    assert "is better than B" in " ".join(called.out.split()), "the result is shown before the command fails"


def content(*lines: str, encoding: str = "utf-8") -> bytes:
    return ("\n".join(lines) + "\n").encode(encoding)


FILES = {
    "empty.csv": (b"", "is empty. Expected a table"),
    "header.csv": (content("message,queue"), "has no rows"),
    "column.csv": (content("message", "a parcel", "a code"), "has one column"),
    "nolabel.csv": (content("message,extra", "a parcel,1", "a code,2"), "Name the label column: --label extra"),
    "class.csv": (content("message,queue", "a parcel,login", "a code,login"), "Expected two labels or more"),
    "blank.csv": (content("message,queue", "a parcel,", "a code,"), "have an empty label"),
    "other.csv": (content("message,queue", "a parcel,high", "a code,low"), "None of the 2 labels in the column"),
    "binary.csv": (bytes(range(256)) * 40, "is a binary file"),
}


@pytest.mark.parametrize("name", list(FILES))
def test_a_file_that_cannot_be_used_is_told_in_one_message(name, model, tmp_path):
    written, expected = FILES[name]
    (tmp_path / name).write_bytes(written)
    called = nshot("evaluate", model, tmp_path / name)
    assert (called.code, called.out) == (2, "")
    assert expected in called.err
    assert called.err.count("nshot: ") == 1


def test_a_file_in_latin_1_is_read(model, tmp_path):
    file = tmp_path / "latin.csv"
    rows = [f"{text} caf\xe9,{label}" for text, label in NEW]
    file.write_bytes(content("message,queue", *rows, encoding="latin-1"))
    assert succeeded("evaluate", model, file, "--json").json()["n"] == 90


@pytest.mark.parametrize(
    ("order", "code", "expected"),
    [
        ("DM", 2, "Expected the data last, found a saved model there"),
        ("MDM", 2, "Expected the data last"),
        ("MMD", 2, "Both models are"),
        ("M", 2, "Expected one or two saved models and then the data; found: "),
        ("", 2, "found: nothing"),
        ("MMMD", 2, "Expected one or two saved models"),
        ("FD", 3, "holds no saved model: manifest.json is missing"),
        ("MN", 2, "There is no file"),
    ],
)
def test_arguments_in_another_order_are_told(order, code, expected, model, data, tmp_path):
    places = {"M": model, "D": data, "F": tmp_path, "N": tmp_path / "nothing.csv"}
    called = nshot("evaluate", *(places[letter] for letter in order))
    assert (called.code, called.out) == (code, "")
    assert expected in called.err


def test_ctrl_c_ends_with_one_message(model, data, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("nshot.api.model.Model.answer", interrupted)
    called = nshot("evaluate", model, data)
    assert (called.code, called.out) == (130, "")
    assert "Stopped. Nothing was written" in called.err


def test_real_questions_are_scored_and_two_methods_told_apart(shared_data, tmp_path):
    train = shared_data / "text" / "trec" / "train.csv"
    for method in ("majority", "tfidf_linear"):
        succeeded("fit", train, "--method", method, "--out", tmp_path / method, "--quiet")
    test = shared_data / "text" / "trec" / "test.csv"
    found = succeeded("evaluate", tmp_path / "majority", tmp_path / "tfidf_linear", test, "--json").json()
    assert found["n"] == 500
    assert found["better"] == str(tmp_path / "tfidf_linear")
    assert found["difference"]["accuracy"]["interval"][0] > 0.5
