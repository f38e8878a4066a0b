from __future__ import annotations

import pytest

import nshot
from nshot import backbones
from nshot.core import DataError, OptionError, UnsupportedError, Written
from nshot.metrics import get

REFERENCES = [f"the small cat number {i} sits on the old mat" for i in range(30)]
GOOD = [text.replace("old", "red") for text in REFERENCES]
BAD = [text.replace("small cat", "dog").replace("sits on", "is at") for text in REFERENCES]


def test_every_metric_comes_with_its_interval_and_signature():
    found = nshot.score(GOOD, REFERENCES)
    assert found.record["metric"] == "bleu"
    assert {"bleu", "chrf", "rouge1", "rouge2", "rougeL", "exact_match", "token_f1"} <= set(found.metrics)
    for name, entry in found.metrics.items():
        low, high = entry["interval"] or (entry["score"], entry["score"])
        assert low <= entry["score"] <= high
        assert entry["signature"]
        assert set(entry) == {"score", "interval", "signature"}, name
    assert found.metrics["bleu"]["signature"].startswith("nrefs:1|case:mixed|eff:no|tok:13a")


def test_of_two_systems_the_difference_is_paired():
    found = nshot.score(BAD, REFERENCES, GOOD, metric="bleu,rouge_l")
    assert list(found.metrics) == ["bleu", "rougeL"]
    both = [system["metrics"]["bleu"]["score"] for system in found.record["systems"]]
    assert found.difference["bleu"]["mean"] == pytest.approx(both[1] - both[0], abs=2e-6)
    assert found.metrics == found.record["systems"][1]["metrics"]
    assert found.better == "the list (second)"
    low, high = found.difference["bleu"]["interval"]
    assert 0 < low < high


def test_two_systems_alike_are_not_told_apart():
    changed = [GOOD[0] + " today", *GOOD[1:]]
    assert nshot.score(GOOD, REFERENCES, changed, metric="bleu").better is None


def test_what_only_informs_names_nobody_better():
    found = nshot.score(BAD, REFERENCES, GOOD, metric="length_ratio")
    assert found.better is None


def test_a_pattern_picks_what_number_match_compares():
    found = nshot.score(["Answer: 4.", "Answer: 5"], ["Answer: 4", "Answer: 6"], pattern=r"Answer: (\d+)")
    assert found.metrics["number_match"]["score"] == 0.5
    assert r"Answer: (\\d+)" in found.metrics["number_match"]["signature"]


def test_references_with_marked_numbers_are_judged_by_them():
    found = nshot.score(["so 4", "so 5"], ["it is\n#### 4", "it is\n#### 6"])
    assert found.record["metric"] == "number_match"
    assert found.metrics["number_match"]["score"] == 0.5


def test_a_function_of_ones_own_is_scored(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text("def cats(text, references):\n    return text.count('cat')\n")
    found = nshot.score(GOOD, REFERENCES, metric="own.py:cats")
    assert found.metrics["own.py:cats"]["score"] == 1.0


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"metric": "blue"}, "Did you mean 'bleu'"),
        ({"metric": "macro_f1"}, "macro_f1 does not judge texts"),
        ({"metric": "perplexity"}, "about the model that wrote.*nshot evaluate"),
        ({"metric": "bleu", "pattern": "x"}, "--pattern is for number_match"),
        ({"pattern": "("}, "must be a regular expression"),
        ({"max_cost": 1.0}, "--max-cost is for a judge"),
        ({"metrik": "bleu"}, "score has no option 'metrik'. Did you mean 'metric'"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, expected):
    with pytest.raises(OptionError, match=expected):
        nshot.score(GOOD, REFERENCES, **options)


def test_references_without_anything_to_compare_are_refused():
    with pytest.raises(DataError, match="finds nothing to compare in any reference"):
        nshot.score(["a"] * 3, ["one", "two", "three"], metric="number_match")


@pytest.mark.parametrize(
    ("texts", "references", "metric", "expected"),
    [
        (["", "a b c d e"], ["a b c", "a b c d e"], "bleu", "1 of 2 outputs of the list is empty"),
        (["a cat .", "a dog ."], ["a cat.", "a dog."], "bleu", "looks tokenised"),
        (["猫です", "a"], ["猫です", "a"], "rouge1", "1 of 2 rows have none"),
        (["4", "a"], ["4", "a"], "number_match", "references of 1 of 2 rows"),
    ],
)
def test_what_makes_a_score_misleading_is_said(texts, references, metric, expected):
    assert expected in " ".join(nshot.score(texts, references, metric=metric).record["notes"])


def test_scores_do_not_depend_on_the_size_of_the_batches(monkeypatch):
    whole = nshot.score(GOOD, REFERENCES).metrics
    monkeypatch.setattr("nshot.api.scoring._BATCH_ROWS", 7)
    assert nshot.score(GOOD, REFERENCES).metrics == whole


def test_a_single_output_has_a_score_and_no_interval():
    found = nshot.score(GOOD[:1], REFERENCES[:1], metric="bleu").metrics["bleu"]
    assert found["interval"] is None
    expected = get("bleu").score(REFERENCES[:1], nshot.Prediction(texts=GOOD[:1]), nshot.Task("generate"))
    assert found["score"] == pytest.approx(expected, abs=1e-6)


def test_what_is_not_defined_is_null_and_no_number():
    found = nshot.score(["a", "b"], ["", ""], metric="length_ratio").metrics["length_ratio"]
    assert found["score"] is None
    assert found["interval"] is None


class PrefersRed:
    """A judge that likes one word."""

    longest = None

    def prompt_tokens(self, examples, *, before=()):
        return [1 for _ in examples]

    def generate(self, examples, decoding, *, before=()):
        replies = []
        for example in examples:
            first = example.last.partition("First answer:\n")[2].partition("Second answer:")[0]
            replies.append(Written("1" if "red" in first else "2", True, 1))
        return replies


def test_a_judge_compares_two_systems(monkeypatch):
    monkeypatch.setattr(backbones, "open_backbone", lambda ref, remote: PrefersRed())
    found = nshot.score(BAD, REFERENCES, GOOD, metric="bleu", judge="some/model").judgement
    assert (found["candidate"], found["against"]) == ("the list (second)", "the list (first)")
    assert (found["won"], found["better"], found["model"]) == (30, "the list (second)", "model")
    assert found["win_rate"]["score"] == 1.0


def test_a_judge_holds_one_system_against_the_references(monkeypatch):
    monkeypatch.setattr(backbones, "open_backbone", lambda ref, remote: PrefersRed())
    found = nshot.score(BAD, REFERENCES, metric="bleu", judge="some/model").judgement
    assert found["against"] == "the reference"
    assert found["by_place"] == 30
    assert found["better"] is None


def test_a_model_that_does_not_write_is_no_judge(monkeypatch):
    monkeypatch.setattr(backbones, "open_backbone", lambda ref, remote: object())
    with pytest.raises(UnsupportedError, match="does not write, so it cannot judge"):
        nshot.score(GOOD, REFERENCES, judge="some/encoder")


def test_a_remote_judge_needs_permission():
    with pytest.raises(nshot.NshotError, match="allow-remote"):
        nshot.score(GOOD, REFERENCES, metric="bleu", judge="openai:gpt-4o-mini")
