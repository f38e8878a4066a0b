"""How numbers look."""

from __future__ import annotations

from typing import Any

import pytest

from nshot.report import wording
from nshot.report.record import Confusion, read


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.86, "0.86"),
        (0.8649, "0.86"),
        (1.0, "1.00"),
        (-0.004, "0.00"),
        (23.44, "23.4"),
        (1.7, "1.70"),
        (412.3, "412"),
        (1250.0, "1,250"),
        (None, "–"),
    ],
)
def test_a_score_has_two_decimals_and_large_values_three_digits(value: float | None, words: str) -> None:
    assert wording.score(value) == words


@pytest.mark.parametrize(
    ("value", "words"), [(0.86, ".86"), (-0.02, "-.02"), (1.0, "1.0"), (0.999, "1.0"), (0.0, ".00"), (23.4, "23.4")]
)
def test_a_score_in_a_narrow_column_loses_its_leading_zero(value: float, words: str) -> None:
    assert wording.brief_score(value) == words


@pytest.mark.parametrize(("value", "words"), [(0.02, "+0.02"), (-0.01, "-0.01"), (0.0, "0.00"), (-0.001, "0.00")])
def test_a_difference_has_a_sign_unless_it_is_zero(value: float, words: str) -> None:
    assert wording.signed(value) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.0, "0 s"),
        (1e-6, "1 µs"),
        (0.0009, "0.9 ms"),
        (0.04, "40 ms"),
        (0.4, "0.4 s"),
        (9.96, "10 s"),
        (56.2, "56 s"),
        (180.0, "3 min"),
        (3600.0, "60 min"),
        (9000.0, "2.5 h"),
        (400_000.0, "4.6 days"),
        (None, "–"),
    ],
)
def test_a_time_is_told_in_the_unit_that_people_use(value: float | None, words: str) -> None:
    assert wording.seconds(value) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(0, "0 B"), (200, "200 B"), (42_000, "42 kB"), (1_200_000, "1.2 MB"), (999_700_000, "1.0 GB"), (None, "–")],
)
def test_a_size_is_told_in_decimal_units(value: int | None, words: str) -> None:
    assert wording.size(value) == words


@pytest.mark.parametrize(
    ("value", "words"), [(0.97, "97 %"), (0.999, "> 99 %"), (1.0, "100 %"), (0.001, "< 1 %"), (0.0, "0 %")]
)
def test_almost_everything_is_not_told_as_everything(value: float, words: str) -> None:
    assert wording.percent(value) == words


def test_both_ends_of_an_interval_are_told() -> None:
    assert wording.interval((0.83, 0.8912)) == "[0.83, 0.89]"
    assert wording.signed_interval((-0.03, 0.02)) == "[-0.03, +0.02]"
    assert wording.count_interval((1600, 5200)) == "[1,600, 5,200]"
    assert wording.interval(None) == ""


@pytest.mark.parametrize(
    ("names", "words"), [([], ""), (["a"], "a"), (["a", "b", "c"], "a, b and c"), (list("abcdef"), "a, b and 4 more")]
)
def test_a_list_reads_as_a_sentence(names: list[str], words: str) -> None:
    assert wording.listed(names, 0 if len(names) < 4 else 2) == words


def test_only_crossovers_still_ahead_are_told_as_next(tickets: dict[str, Any]) -> None:
    said = wording.next_sentences(read(tickets))
    assert said[0] == "full_finetune is expected to overtake primed_probe at about 2,500 labels [1,600, 3,300]."
    assert said[1] == "Your next 300 labels are worth +0.02 [0.00, +0.04] macro F1."
    assert not any("label_similarity" in words for words in said)


def test_a_skipped_candidate_is_told_once_with_all_its_sizes(tickets: dict[str, Any]) -> None:
    record = read(tickets)
    lines = wording.left_out(record.verdict.skipped, record)
    assert lines == [("from_scratch at 16, 64, 256 and 843 labels", "would not fit the 5 min; --budget 8m")]


def test_confused_pairs_are_counted_off_the_diagonal_most_frequent_first() -> None:
    confusion = Confusion(labels=("a", "b", "c"), matrix=((8, 2, 0), (5, 5, 0), (0, 1, 0)))
    pairs = [(p.label, p.predicted, p.count, p.share) for p in wording.confused_pairs(confusion)]
    assert pairs == [("b", "a", 5, 0.5), ("a", "b", 2, 0.2), ("c", "b", 1, 1.0)]


def test_narrow_intervals_get_a_third_decimal(tickets: dict[str, Any], banking: dict[str, Any]) -> None:
    assert wording.pick_score(read(tickets)) == "macro F1 0.86 [0.83, 0.89]"
    assert wording.pick_score(read(banking)) == "macro F1 0.933 [0.924, 0.942]"


def _standing(record: dict[str, Any], candidate: str, mean: float) -> str:
    entry = next(entry for entry in record["verdict"]["leaderboard"] if entry["candidate"].startswith(candidate))
    entry["versus_best"] = {"mean": mean, "interval": [mean - 0.3, mean + 0.3]}
    entry["distinguishable"] = False
    return wording.stands(read(record), entry["candidate"])


def test_what_cannot_be_told_apart_is_the_same_only_where_it_was_measured_alike(tickets: dict[str, Any]) -> None:
    assert _standing(tickets, "lora", -0.004) == "same"
    assert _standing(tickets, "lora", -0.38) == "unclear"
    assert _standing(tickets, "primed_probe", -0.38) == "pick"


def test_the_smallest_visible_difference_names_the_rows_that_were_compared(tickets: dict[str, Any]) -> None:
    assert wording.resolution(read(tickets)).endswith("cannot be seen with these 361 test rows.")
    tickets["verdict"]["smallest_detectable_test_rows"] = 72
    assert wording.resolution(read(tickets)).endswith("cannot be seen with the 72 test rows that were compared.")


def test_the_calibration_error_is_the_one_of_the_leaderboard_with_its_interval(tickets: dict[str, Any]) -> None:
    assert wording.calibration_sentence(read(tickets)) == ""
    entry = next(entry for entry in tickets["verdict"]["leaderboard"] if entry["method"] == "primed_probe")
    entry["scores"]["expected_calibration_error"] = {"score": 0.194, "interval": [0.1, 0.34]}
    assert "lie 19.4 [10.0, 34.0] percentage points apart" in wording.calibration_sentence(read(tickets))


def test_the_best_is_called_so_instead_of_being_compared_with_itself(tickets: dict[str, Any]) -> None:
    entries = read(tickets).entries
    assert wording.versus_best(entries[0].versus_best, 2)[0] == "best"
    assert wording.versus_best(entries[-1].versus_best, 2)[0] == "-0.45"
    assert wording.versus_best(None, 2) == ("", "")


def test_a_score_that_was_corrected_is_explained_where_it_shows(tickets: dict[str, Any]) -> None:
    record = read(tickets)
    assert wording.corrected(record, 3).startswith("Measured 0.862, printed 0.858")
    assert wording.corrected(record, 2) == ""


def test_errors_have_three_significant_digits_in_the_unit_of_the_target(prices: dict[str, Any]) -> None:
    record = read(prices)
    assert wording.pick_score(record) == "mean absolute error 18,500 [16,700, 20,300]"
    assert wording.next_sentences(record) == [
        "Your next 300 labels change the mean absolute error by -900 [-1,500, -200]."
    ]
    prices["verdict"]["pick"] |= {"score": 0.001234, "interval": [0.001, 0.0015]}
    assert wording.pick_score(read(prices)) == "mean absolute error 0.00123 [0.00100, 0.00150]"


def test_rows_are_told_with_their_columns_and_what_is_to_be_predicted(
    prices: dict[str, Any], anomalies: dict[str, Any], groups: dict[str, Any]
) -> None:
    assert wording.data_facts(read(prices)) == (
        '1,280 rows of 6 columns ("rooms", "area", "district" and 3 more), "price" from 21,350 to 512,400, half of '
        "them below 98,700"
    )
    assert wording.data_facts(read(anomalies)).endswith('and 3 more), 176 labelled anomalies ("label")')
    assert wording.data_facts(read(groups)) == '7,600 texts ("headline"), true groups ("topic")'


def test_what_n_counts_depends_on_the_task(anomalies: dict[str, Any], prices: dict[str, Any]) -> None:
    assert wording.labels(read(anomalies), 1) == "1 labelled anomaly"
    assert wording.labels(read(anomalies), 40) == "40 labelled anomalies"
    assert wording.labels(read(prices), 40) == "40 labels"
    assert wording.counted("no such task") == "labels"


def test_a_backbone_that_knows_nothing_beforehand_is_not_named_with_the_pick(prices: dict[str, Any]) -> None:
    assert wording.pick_words(read(prices)) == ("gradient_boosting", "")


@pytest.mark.parametrize(
    ("value", "digits", "words"),
    [
        (None, 4, "–"),
        (0, 4, "0"),
        (0.3, 4, "0.3"),
        (510.0, 4, "510"),
        (12_345.678, 4, "12,350"),
        (12_345.678, 6, "12,345.7"),
        (-0.00012345, 4, "-0.0001234"),
        (100.0, 4, "100"),
    ],
)
def test_a_number_of_the_data_has_as_many_digits_as_are_asked_for(value: float | None, digits: int, words: str) -> None:
    assert wording.quantity(value, digits) == words


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("recall_at_far:0.01", "recall at 1 % false alarms"),
        ("recall_at_far:odd", "recall_at_far:odd"),
        ("nmi", "normalised mutual information"),
    ],
)
def test_metrics_of_the_new_tasks_have_names(name: str, words: str) -> None:
    assert wording.named_metric(name) == words
