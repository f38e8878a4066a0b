"""A grown model says so: no score, its history, and what its labels are; the card says how to measure it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from contract.cases import CASES, fitted
from nshot import bundle
from nshot.backbones import fake
from nshot.bundle import LabelGiven
from nshot.core import DataError, OptionError, UnsupportedError

CARD = "README.md"


def case_of(method: str):
    return next(case for case in CASES if case.method == method and case.kind == "classify")


@pytest.fixture
def by_examples(save) -> Path:
    case = case_of("prototypes")
    return save(method=case.build(), task=case.sample.task, predictor=fitted(case))


@pytest.fixture
def by_name(save) -> Path:
    case = case_of("label_similarity")
    return save(method=case.build(), task=case.sample.task, predictor=fitted(case))


def saved_again(found: bundle.Bundle, folder: Path) -> bundle.Bundle:
    bundle.save(folder, method=found.method, task=found.task, predictor=found.predictor, about=found.about)
    return bundle.load(folder, fake.open)


def test_growths_are_recorded_with_the_model_that_they_came_from(by_examples: Path, tmp_path: Path) -> None:
    first = bundle.load(by_examples, fake.open)
    known = first.task.labels[0]
    second = saved_again(first.grown(LabelGiven("opening_hours", None, ["when do you open", " "])), tmp_path / "a")
    third = saved_again(second.grown(LabelGiven(known, None, ["more"], "f" * 32)), tmp_path / "b")
    one, two = third.manifest.grown
    assert (one.label, one.is_new, one.n_examples, one.grown_from) == ("opening_hours", True, 1, first.sha256)
    assert (two.label, two.is_new, two.n_examples, two.grown_from) == (known, False, 1, second.sha256)
    assert (one.data_fingerprint, two.data_fingerprint) == (None, "f" * 32)
    assert third.manifest.model_n_labels == first.manifest.model_n_labels + 2
    assert (first.manifest.grown, third.manifest.score) == ((), None)


def test_the_card_says_that_the_score_is_gone_and_how_to_get_one(by_examples: Path, tmp_path: Path) -> None:
    assert "Grown" not in (by_examples / CARD).read_text(encoding="utf-8")
    grown = bundle.load(by_examples, fake.open).grown(LabelGiven("<b>new</b>", None, ["one", "two"]))
    saved_again(grown, tmp_path / "grown")
    card = (tmp_path / "grown" / CARD).read_text(encoding="utf-8")
    assert "- Score: not measured" in card
    assert "1 new label (&lt;b&gt;new&lt;/b&gt;) and 2 further examples" in card
    assert "`nshot evaluate PATH/TO/THIS/FOLDER DATA`" in card


def test_a_label_that_is_known_by_its_name_counts_no_examples(by_name: Path) -> None:
    found = bundle.load(by_name, fake.open)
    grown = found.grown(LabelGiven("opening_hours", "when we are open", ["a", "b"]))
    assert grown.manifest.grown[0].n_examples == 0
    assert grown.manifest.model_n_labels == found.manifest.model_n_labels
    assert grown.task.descriptions["opening_hours"] == "when we are open"
    with pytest.raises(DataError, match="answers 'opening_hours' already"):
        grown.grown(LabelGiven("opening_hours", None, ["c"]))
    assert grown.grown(LabelGiven("opening_hours", "hours")).task.descriptions["opening_hours"] == "hours"


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        (LabelGiven("", None, ["a"]), DataError, "A label is empty"),
        (LabelGiven("\n\t", None, ["a"]), DataError, "A label is empty"),
        (LabelGiven("x" * 5_000_000, None, ["a"]), DataError, "5,000,000 letters"),
        (LabelGiven("new", None, ["", "  "]), DataError, "All 2 examples of 'new' are empty"),
        (LabelGiven("new"), DataError, "at least one example"),
        (LabelGiven("new", "what it is", ["a"]), OptionError, "reads no description"),
        (LabelGiven("new", " ", ["a"]), DataError, "description of 'new' is empty"),
        (LabelGiven("new", "d" * 2001, ["a"]), DataError, "2,001 letters"),
    ],
)
def test_what_teaches_nothing_is_refused_in_words(by_examples: Path, given, kind, words) -> None:
    with pytest.raises(kind, match=words):
        bundle.load(by_examples, fake.open).grown(given)


def test_a_method_that_has_to_be_fitted_again_names_the_command_and_those_that_need_not(saved: Path) -> None:
    with pytest.raises(UnsupportedError, match="nshot fit DATA --method second_opinion") as caught:
        bundle.load(saved, fake.open).grown(LabelGiven("new", None, ["a"]))
    assert "prototypes" in str(caught.value)


def test_a_stated_licence_stays_when_a_model_is_saved_where_its_base_does_not_say(by_examples: Path, tmp_path) -> None:
    path = by_examples / "manifest.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    record["backbones"][0] |= {"licence": "mit", "licence_file": "LICENSE"}
    record["licences"] = {}
    path.write_text(json.dumps(record), encoding="utf-8")
    again = saved_again(bundle.load(by_examples, fake.open), tmp_path / "again")
    assert again.manifest.backbones[0].licence == "mit"
    assert "(mit)" in (tmp_path / "again" / CARD).read_text(encoding="utf-8")


def test_a_licence_that_is_not_stated_is_not_invented(save, about) -> None:
    case = case_of("prototypes")
    nothing = bundle.BundleInfo.parse({**about.model_dump(), "licences": {}})
    folder = save(method=case.build(), task=case.sample.task, predictor=fitted(case), about=nothing)
    assert bundle.read_manifest(folder).backbones[0].licence is None
    assert "its files do not state a licence" in (folder / CARD).read_text(encoding="utf-8")
