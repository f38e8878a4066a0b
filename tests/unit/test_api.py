from __future__ import annotations

import json

import pytest

from nshot import api
from nshot.core import DataError, ModelError, NshotError, OptionError, UnsupportedError

TEXTS = ["the card was charged", "my card is late", "password reset", "password code"] * 5
LABELS = ["money", "money", "login", "login"] * 5


@pytest.fixture
def model() -> api.Model:
    return api.fit((TEXTS, LABELS), method="tfidf_linear")


def test_a_fit_answers_and_says_what_it_saw(model):
    assert model.predict(["card", "password"]) == ["money", "login"]
    assert model.predict_proba(["card"]).shape == (1, 2)
    assert (model.method, model.about.model_n_labels, model.task.labels) == ("tfidf_linear", 20, ("login", "money"))
    assert model.about.score is None, "nothing was measured, so no score is claimed"


def test_a_saved_model_answers_the_same(model, tmp_path):
    model.save(tmp_path / "model")
    again = api.load(str(tmp_path / "model"))
    assert again.predict(TEXTS) == model.predict(TEXTS)
    assert (again.predict_proba(TEXTS) == model.predict_proba(TEXTS)).all()


def test_one_text_instead_of_a_list_is_refused(model):
    with pytest.raises(DataError, match=r"Expected a list of texts.*\[text\]"):
        model.predict("card")


def test_no_examples_get_no_answers(model):
    assert model.predict([]) == []


@pytest.mark.parametrize(
    ("options", "more"),
    [
        (None, {"method": "majority"}),
        ({"method": "majority"}, {}),
        (api.FitOptions(method="majority"), {}),
        ({"method": "tfidf_linear"}, {"method": "majority"}),
        (api.FitOptions(method="tfidf_linear"), {"method": "majority"}),
    ],
)
def test_options_may_be_a_spec_a_mapping_or_keywords_and_the_last_count(options, more):
    assert api.fit((TEXTS, LABELS), options=options, **more).method == "majority"


@pytest.mark.parametrize(
    ("more", "error", "expected"),
    [
        ({}, OptionError, "fit needs the option 'method'"),
        ({"method": "loora"}, OptionError, "Did you mean 'lora'"),
        ({"method": "majority", "metode": 1}, OptionError, "fit has no option 'metode'. Did you mean 'method'"),
        ({"method": "majority", "precision": "fp8"}, OptionError, "The option 'precision' of fit must be"),
        ({"method": "majority", "set": ("a",)}, OptionError, "--set expects OPTION=VALUE"),
        ({"method": "majority", "metric": "beauty"}, NshotError, "must be one of macro_f1"),
        ({"method": "linear_probe", "backbone": "/nowhere/model"}, ModelError, "nowhere"),
    ],
)
def test_what_cannot_be_meant_is_refused(more, error, expected):
    with pytest.raises(error, match=expected):
        api.fit((TEXTS, LABELS), **more)


def test_labels_that_say_nothing_are_not_read(tmp_path):
    with pytest.raises(UnsupportedError, match="these say nothing"):
        api.fit((TEXTS, ["0" if label == "money" else "1" for label in LABELS]), method="label_similarity")


def test_check_finds_and_tells(tmp_path):
    found = api.check((TEXTS, LABELS))
    assert found.rows == 20
    assert any(finding.code == "N102" for finding in found.checks)
    json.dumps(found.as_json())


def test_a_report_of_what_is_no_comparison_is_refused(tmp_path):
    with pytest.raises(OptionError, match="holds no finished comparison"):
        api.write_report(tmp_path)
    (tmp_path / "study.toml").write_text("schema = 1\n")
    with pytest.raises(OptionError, match="not finished: run the same compare again"):
        api.write_report(tmp_path)
    (tmp_path / "verdict.json").write_text("{")
    (tmp_path / "details.json").write_text("{}")
    with pytest.raises(OptionError, match=r"is damaged.*--fresh"):
        api.write_report(tmp_path)


def test_an_option_of_compare_that_does_not_exist_is_refused_before_the_data_is_read():
    with pytest.raises(OptionError, match=r"compare has no option 'bugdet'\. Did you mean 'budget'"):
        api.compare("/nowhere.csv", bugdet="5m")


def test_a_fit_on_data_in_memory_with_a_default_folder_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    api.fit((TEXTS, LABELS), method="majority")
    with pytest.raises(DataError):
        api.compare((TEXTS, ["one label"] * 20))
    assert list(tmp_path.iterdir()) == []
