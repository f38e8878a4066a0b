from __future__ import annotations

import pytest

from nshot.core import Cost
from nshot.study.money import Prices
from nshot.study.words import about_money, amount, because, ends, how_sure, number, plus_minus, times_as_long

PICK = {
    "candidate": "probe:mini",
    "method": "linear_probe",
    "family": "few-shot",
    "backbone": "mini",
    "n_labels": 1_000,
    "score": 0.8,
}


def row(candidate, family, score=0.8, *, behind=False, mean=-0.01, method=None, backbone="mini"):
    gap = {"mean": mean, "interval": [mean - 0.02, mean + 0.02], "won": 1, "lost": 4, "tied": 0, "median": mean}
    return {
        "candidate": candidate,
        "method": method or candidate.split(":")[0],
        "family": family,
        "backbone": backbone,
        "n_labels": 0 if family == "zero-shot" else 1_000,
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


def test_a_dearer_way_that_cannot_be_told_apart_is_the_one_that_takes_longer():
    costs = {"probe:mini": Cost(0.5, 1, 1), "lora:mini": Cost(70, 1, 1)}
    gap = {"mean": -0.04, "interval": [-0.1, 0.02], "won": 1, "lost": 4, "tied": 0, "median": -0.04}
    [sentence] = said({**row("lora:mini", "fine-tuning"), "versus_best": gap, "versus_pick": gap}, costs=costs)
    assert sentence.endswith("but 361 test rows cannot tell the two apart; it takes 140 times as long to fit.")


def test_of_a_loss_it_is_said_which_way_is_worse():
    rows = [row("probe:mini", "few-shot"), row("lora:mini", "fine-tuning", mean=0.05)]
    [sentence] = because(PICK, rows, dict.fromkeys(("probe:mini", "lora:mini")), limits={}, higher_is_better=False)
    assert "measured 0.050 higher, which is worse, ([+0.030, +0.070])." in sentence


def test_a_dearer_way_that_is_worse_is_named_with_the_gap():
    [sentence] = said(row("lora:mini", "fine-tuning", behind=True, mean=-0.21))
    assert sentence.startswith("lora:mini is behind")
    assert "[-0.230, -0.190]" in sentence


def test_a_mean_that_one_collapsed_draw_decided_is_told_with_the_draws():
    gap = {"mean": -0.04, "interval": [-0.1, 0.02], "won": 4, "lost": 1, "tied": 0, "median": 0.01}
    [sentence] = said({**row("lora:mini", "fine-tuning"), "versus_best": gap, "versus_pick": gap})
    assert "measured 0.040 lower ([-0.100, +0.020]; better in 4 of 5 draws), but 361 test rows cannot tell" in sentence
    [sentence] = said(row("lora:mini", "fine-tuning", mean=-0.04))
    assert "draws" not in sentence


def test_a_dearer_way_that_is_ahead_is_not_called_behind():
    [sentence] = said(row("lora:mini", "fine-tuning", mean=+0.03))
    assert "behind" not in sentence
    assert "measured 0.030 higher ([+0.010, +0.050])." in sentence


def test_fine_tuning_is_named_however_many_rivals_are_nearer():
    near = [row(f"probe{i}:mini", "few-shot", mean=-0.001) for i in range(5)]
    assert any("lora:mini" in sentence for sentence in said(*near, row("lora:mini", "fine-tuning", mean=-0.2)))


def test_the_best_cheap_way_is_named_however_many_fine_tunes_are_nearer():
    near = [row(f"lora{i}:mini", "fine-tuning", mean=-0.001) for i in range(5)]
    cheap = [row("probe_a:mini", "few-shot", mean=-0.05), row("probe_b:mini", "few-shot", mean=-0.06)]
    sentences = said(*near, *cheap)
    assert sum("probe_a:mini" in sentence for sentence in sentences) == 1
    assert not any("probe_b:mini" in sentence for sentence in sentences)


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
    pick = {"n_labels": 1_000, "candidate": "lora:mini", "method": "lora", "family": "fine-tuning", "backbone": "mini"}
    first = said(row("linear_probe:mini", "few-shot", mean=-0.05), row("majority", "baseline"), pick=pick)[0]
    assert first.startswith("linear_probe:mini")
    assert "measured 0.050 lower ([-0.070, -0.030])." in first


def test_a_model_that_adds_nothing_to_word_counts_is_said():
    words = said(row("tfidf_linear", "baseline", 0.79, backbone=None))
    assert any("that the pre-trained model adds anything is not shown" in sentence for sentence in words)
    beaten = said(row("tfidf_linear", "baseline", 0.5, backbone=None, behind=True))
    assert not any("not shown" in sentence for sentence in beaten)


def test_a_baseline_as_the_pick_says_what_that_means():
    pick = {
        "n_labels": 1_000,
        "candidate": "tfidf_linear",
        "method": "tfidf_linear",
        "family": "baseline",
        "backbone": None,
    }
    assert said(row("linear_probe:mini", "few-shot", behind=True), pick=pick)[0] == (
        "The pre-trained model's features as they are (mini) add nothing to it on these texts."
    )
    trained = row("lora:mini", "fine-tuning", behind=True)
    assert said(trained, pick=pick)[0] == "The pre-trained model (mini) adds nothing to it on these texts."
    asked = row("prompt:mini", "zero-shot", behind=True)
    assert said(asked, pick=pick)[0] == "The pre-trained model as it is (mini) adds nothing to it on these texts."


def test_what_is_not_shown_to_be_behind_a_baseline_is_not_said_to_add_nothing():
    pick = {
        "n_labels": 1_000,
        "candidate": "tfidf_linear",
        "method": "tfidf_linear",
        "family": "baseline",
        "backbone": None,
    }
    assert said(row("lora:mini", "fine-tuning"), pick=pick)[0] == (
        "The pre-trained model (mini) is not shown to add anything to it on these texts."
    )


def test_a_pre_trained_model_that_scores_better_than_the_baseline_that_a_limit_left_is_not_belittled():
    pick = {
        "n_labels": 1_000,
        "candidate": "tfidf_linear",
        "method": "tfidf_linear",
        "family": "baseline",
        "backbone": None,
    }
    sentences = said(
        row("probe2:mini", "few-shot", mean=0.1), pick=pick, limits={"probe2:mini": "takes 25 ms for one example"}
    )
    assert not any("on these texts" in sentence for sentence in sentences)


def test_the_present_system_is_told_of_wherever_it_stands():
    near = [row(f"probe{i}:mini", "few-shot", mean=-0.001) for i in range(5)]
    present = row("answers", "baseline", mean=-0.04, method="given", backbone=None)
    [sentence] = [words for words in said(*near, present) if words.startswith("answers")]
    assert "measured 0.040 lower" in sentence


def test_a_difference_that_rounds_to_nothing_has_no_sign():
    assert ends((-0.4, -0.0000001), signed=True) == "[-0.400, 0.000]"
    [sentence] = said({**row("lora:mini", "fine-tuning"), "versus_best": {"mean": 0.0, "interval": [-0.1, 0.0]}})
    assert "-0.000" not in sentence
    assert "+0.000" not in sentence


def test_what_a_limit_forbids_is_named():
    assert said(limits={"lora:mini": "takes 25 ms"}) == ["lora:mini was not considered: it takes 25 ms."]
    many = said(limits=dict.fromkeys(("a", "b", "c", "d"), "takes 25 ms"))
    assert many == ["a was not considered: it takes 25 ms.", "Over a limit as well: b, c and d."]


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
    assert ends([-0.1, 0.2], signed=True) == "[-0.100, +0.200]"
    assert ends(None) == "(no interval)"


# ------------------------------------------------------------------------------------------ money

PRICES = Prices(per_hour=1.2, per_label=0.1, per_mistake=0.5, predictions_per_month=20_000)


def paying(outcome, n=None, interval=None, start="probe:mini", to="lora:mini"):
    return {"from": start, "to": to, "predictions_per_month": n, "interval": interval, "outcome": outcome}


def of_money(*break_even, prices=PRICES, month=(985.3, [758.9, 1274.1]), set_up=544.1):
    per_month = {"money": month[0], "interval": month[1]} if month else None
    own = {**row(PICK["candidate"], PICK["family"]), "money": set_up, "money_per_month": per_month}
    others = [
        row("lora:mini", "fine-tuning"),
        row("full_finetune:mini", "fine-tuning"),
        row("label_similarity:mini", "zero-shot"),
        row("primed_probe:mini", "few-shot"),
        row("majority", "baseline"),
    ]
    return about_money(PICK, [own, *others], prices, list(break_even))


def test_without_prices_nothing_is_said_of_money():
    assert of_money(prices=None) == []


def test_what_a_month_costs_says_what_is_in_it():
    [sentence] = of_money()
    assert sentence == (
        "probe:mini costs about 985 [759, 1,274] a month at your prices and 20,000 predictions, "
        "its mistakes and a twelfth of its set-up (544) included."
    )
    [sentence] = of_money(prices=Prices(None, None, 0.5, 20_000), set_up=None)
    assert sentence.endswith("20,000 predictions, its mistakes included.")
    assert of_money(month=None, set_up=None) == []


def test_a_break_even_is_told_with_both_ends_and_where_the_user_stands():
    [_, sentence] = of_money(paying("from", 41_234, [28_123, 76_949]))
    assert sentence == (
        "lora:mini pays against probe:mini from about 41,000 predictions a month [28,000, 77,000]; 20,000 are fewer."
    )
    [_, sentence] = of_money(paying("from", 226, None, start="label_similarity:mini", to="probe:mini"))
    assert sentence.endswith("from about 230 predictions a month; 20,000 are more.")


def test_where_mistakes_have_no_price_only_a_number_is_told():
    free = Prices(1.2, 0.1, None, 20_000)
    assert len(of_money(paying("never"), prices=free)) == 1
    [_, sentence] = of_money(paying("from", 41_234), prices=free)
    assert sentence.endswith("20,000 are fewer (mistakes have no price).")


@pytest.mark.parametrize(
    ("outcome", "words"),
    [("never", "never pays"), ("always", "costs less than probe:mini"), ("cannot tell", "cannot be told")],
)
def test_a_break_even_without_a_number_is_said_in_words(outcome, words):
    [_, sentence] = of_money(paying(outcome))
    assert words in sentence
    assert "lora:mini" in sentence


def test_of_each_other_kind_of_method_the_best_placed_one_is_told_of():
    said = of_money(
        paying("never"),
        paying("never", to="full_finetune:mini"),
        paying("never", to="primed_probe:mini"),
        paying("from", 5, [3, 9], start="label_similarity:mini", to="probe:mini"),
        paying("always", start="majority", to="probe:mini"),
    )
    assert ["lora" in said[1], "label_similarity" in said[2], len(said)] == [True, True, 3]


@pytest.mark.parametrize(
    ("money", "words"), [(0, "0.00"), (0.00312, "0.0031"), (0.352, "0.35"), (12.4, "12.40"), (1274.4, "1,274")]
)
def test_an_amount_has_the_digits_that_say_something(money, words):
    assert amount(money) == words


def test_how_sure_the_pick_is_names_what_else_would_be_picked():
    [sentence] = how_sure("a", {"a": 0.62, "b": 0.3, "c": 0.08})
    assert "in about 62 of 100 cases, b in 30 and c in 8." in sentence


def test_a_pick_that_no_other_draw_of_the_test_changes_needs_no_words():
    assert how_sure("a", {"a": 0.98, "b": 0.02}) == []


def test_numbers_and_differences_of_a_large_unit_end_at_a_tenth_of_its_point():
    assert plus_minus(13_593.4, 2_100.0) == "+13,600"
    assert ends((7_904.7, 19_282.2), point=2_100.0, signed=True) == "[+7,900, +19,300]"
    assert plus_minus(-3.0, 2_100.0) == "0"
    assert number(52_313.2, 523.0) == "52,310"
    assert number(33.72, 1.0) == "33.7"
