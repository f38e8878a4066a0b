from __future__ import annotations

import pytest

from nshot.core import Cost
from nshot.study.words import because, ends, times_as_long

PICK = {"candidate": "probe:mini", "method": "linear_probe", "family": "few-shot", "backbone": "mini", "score": 0.8}


def row(candidate, family, score=0.8, *, behind=False, mean=-0.01, method=None, backbone="mini"):
    gap = {"mean": mean, "interval": [mean - 0.02, mean + 0.02]}
    return {
        "candidate": candidate,
        "method": method or candidate.split(":")[0],
        "family": family,
        "backbone": backbone,
        "n_labels": 1_000,
        "n_compared": 361,
        "score": score,
        "interval": [score - 0.03, score + 0.03],
        "versus_best": gap,
        "versus_pick": None if candidate == PICK["candidate"] else gap,
        "distinguishable": behind,
    }


def said(*others, pick=PICK, costs=None, limits=None):
    rows = [row(pick["candidate"], pick["family"]), *others]
    costs = {item["candidate"]: None for item in rows} | (costs or {})
    return because(pick, rows, costs, limits=limits or {})


def test_a_dearer_way_that_scores_the_same_is_named_with_its_price():
    costs = {"probe:mini": Cost(0.5, 1, 1), "lora:mini": Cost(70, 1, 1)}
    [sentence] = said(row("lora:mini", "fine-tuning"), costs=costs)
    assert sentence.startswith("lora:mini scores the same, as far as 361 test rows can tell (-0.010 [-0.030, +0.010])")
    assert "takes 140 times as long to fit" in sentence


def test_a_dearer_way_that_is_worse_is_named_with_the_gap():
    [sentence] = said(row("lora:mini", "fine-tuning", behind=True, mean=-0.21))
    assert sentence.startswith("lora:mini is behind")
    assert "[-0.230, -0.190]" in sentence


def test_a_dearer_way_that_is_ahead_is_not_called_behind():
    [sentence] = said(row("lora:mini", "fine-tuning", mean=+0.03))
    assert "behind" not in sentence
    assert "+0.030 [+0.010, +0.050]" in sentence


def test_fine_tuning_is_named_however_many_rivals_are_nearer():
    near = [row(f"probe{i}:mini", "few-shot", mean=-0.001) for i in range(5)]
    assert any("lora:mini" in sentence for sentence in said(*near, row("lora:mini", "fine-tuning", mean=-0.2)))


def test_fine_tuning_that_was_stopped_early_is_not_called_worse():
    stopped = {**row("lora:mini", "fine-tuning", 0.7), "versus_best": None, "versus_pick": None, "n_labels": 256}
    [sentence] = said(stopped)
    assert "up to 256 labels only" in sentence
    assert "behind" not in sentence
    [sentence] = said({**stopped, "score": 0.85})
    assert "above the pick already" in sentence


def test_what_works_without_labels_is_named():
    assert said(row("label_similarity:mini", "zero-shot", 0.61)) == [
        "Without any label, label_similarity:mini reaches 0.61 [0.58, 0.64]."
    ]


def test_the_best_cheap_way_comes_first_where_fine_tuning_is_picked():
    pick = {"candidate": "lora:mini", "method": "lora", "family": "fine-tuning", "backbone": "mini"}
    first = said(row("linear_probe:mini", "few-shot", mean=-0.05), row("majority", "baseline"), pick=pick)[0]
    assert first.startswith("linear_probe:mini")
    assert "-0.050 [-0.070, -0.030]" in first


def test_a_model_that_adds_nothing_to_word_counts_is_said():
    words = said(row("tfidf_linear", "baseline", 0.79, backbone=None))
    assert any("that the pre-trained model adds anything is not shown" in sentence for sentence in words)
    beaten = said(row("tfidf_linear", "baseline", 0.5, backbone=None, behind=True))
    assert not any("not shown" in sentence for sentence in beaten)


def test_a_baseline_as_the_pick_says_what_that_means():
    pick = {"candidate": "tfidf_linear", "method": "tfidf_linear", "family": "baseline", "backbone": None}
    assert said(row("linear_probe:mini", "few-shot"), pick=pick)[0] == (
        "The untrained features of the pre-trained model (mini) add nothing to it on these texts."
    )
    trained = row("lora:mini", "fine-tuning")
    assert said(trained, pick=pick)[0] == "The pre-trained model (mini) adds nothing to it on these texts."


def test_what_a_limit_forbids_is_named():
    assert said(limits={"lora:mini": "takes 25 ms"}) == ["lora:mini was not considered: it takes 25 ms."]


def test_nothing_to_say_is_nothing():
    assert said() == []


@pytest.mark.parametrize(
    ("own", "other", "expected"), [(140.0, 1.0, "140"), (2.5, 1.0, "2.5"), (1.4, 1.0, None), (0.1, 1.0, None)]
)
def test_how_many_times_as_long_is_said_only_where_it_tells_something(own, other, expected):
    assert times_as_long(Cost(own, 1, 1), Cost(other, 1, 1)) == expected


def test_nothing_is_compared_with_what_has_no_cost():
    assert times_as_long(None, Cost(1, 1, 1)) is None
    assert times_as_long(Cost(1, 1, 1), Cost(0, 1, 1)) is None


def test_intervals_show_both_ends_or_say_that_there_is_none():
    assert ends([0.1, 0.254]) == "[0.10, 0.25]"
    assert ends([-0.1, 0.2], signed=True) == "[-0.10, +0.20]"
    assert ends(None) == "(no interval)"
