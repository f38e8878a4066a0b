from __future__ import annotations

import sys

import numpy as np
import pytest

from nshot import metrics
from nshot.core import DataError, OptionError, Prediction, Task, TaskKind
from nshot.evaluation.comparison import paired_difference
from nshot.evaluation.intervals import Block, estimate, pseudo_values

GENERATE = Task(TaskKind.GENERATE)


def scored(name, text, *references):
    return metrics.get(name).score([references], Prediction(texts=[text]), GENERATE)


# --- which one decides ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ([("Paris",), ("the Seine",)], "exact_match"),
        ([("He has 3 + 4 = 7 apples.\n#### 7",)] * 3 + [("no number",)], "number_match"),
        ([("Blue Spice is a coffee shop in the city centre.",)], "bleu"),
        (["a text and no tuple of texts"], "bleu"),
        ([], "bleu"),
    ],
)
def test_the_references_decide_by_what_answers_are_ranked(targets, expected):
    assert metrics.default_metric(GENERATE, targets).name == expected


@pytest.mark.parametrize("name", ["length_ratio", "stopped", "perplexity"])
def test_what_only_informs_is_nothing_to_rank_by(name):
    with pytest.raises(OptionError, match=r"informs.*Rank by one of: bleu"):
        metrics.deciding(name)


def test_what_is_a_quality_may_decide():
    assert metrics.deciding("rouge_l") is metrics.get("rougeL")


def test_a_point_of_bleu_is_one_and_of_a_share_a_hundredth():
    assert [metrics.get(name).point for name in ("bleu", "chrf", "rougeL", "exact_match")] == [1.0, 1.0, 0.01, 0.01]


# --- single metrics ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "reference", "expected"),
    [
        ("So 6 * 3 = 18.\n#### 18", "18 eggs\n#### 18", 1.0),
        ("#### 1,234", "#### 1234", 1.0),
        ("The answer is $18.00.", "#### 18", 1.0),
        ("first #### 3, no, #### 4", "#### 4", 1.0),
        ("-5", "#### 5", 0.0),
        ("from 2023-2024", "2024", 1.0),
        ("I do not know", "#### 18", 0.0),
    ],
)
def test_the_last_number_is_compared_by_its_value(answer, reference, expected):
    assert scored("number_match", answer, reference) == expected


def test_a_pattern_of_ones_own_picks_what_is_compared():
    metric = metrics.get(r"number_match:Answer: (\w+)")
    texts = Prediction(texts=["Answer: A? No. Answer: B", "B"])
    assert metric.score([("Answer: B",), ("Answer: B",)], texts, GENERATE) == 0.5
    assert metrics.get(metric.name) is metric
    assert r"Answer: (\\w+)" in metric.signature


def test_a_broken_pattern_is_refused():
    with pytest.raises(OptionError, match="must be a regular expression"):
        metrics.get("number_match:(")


def test_rouge_takes_the_best_reference_for_each_of_its_kinds():
    references = ("a b x y", "b a")
    assert scored("rouge1", "a b", *references) == 1.0  # of the second
    assert scored("rouge2", "a b", *references) == pytest.approx(0.5)  # of the first: 1 of 1 and 1 of 3 pairs


def test_likelihoods_become_perplexity_per_token_and_bits_per_byte():
    likelihoods = np.array([[-2.0, 4.0], [-6.0, 4.0]])
    prediction = Prediction(texts=["", ""], likelihoods=likelihoods)
    targets = [("abcd", "another text"), ("é",)]
    assert metrics.get("perplexity").score(targets, prediction, GENERATE) == pytest.approx(np.exp(8 / 8))
    assert metrics.get("bits_per_byte").score(targets, prediction, GENERATE) == pytest.approx(8 / np.log(2) / 6)


def test_the_length_is_held_against_the_reference_nearest_in_length():
    assert scored("length_ratio", "one two three", "one", "1 2 3 4") == pytest.approx(3 / 4)


def test_the_share_that_stopped_is_a_mean():
    prediction = Prediction(texts=["a", "b"], stopped=[True, False])
    assert metrics.get("stopped").score([("a",), ("b",)], prediction, GENERATE) == 0.5


# --- resampling -------------------------------------------------------------------------------------------------------


def bleu_statistics(rows, seed):
    """Return statistics of made-up sentences: words of the reference, some of them exchanged."""
    rng = np.random.default_rng(seed)
    words = np.array([f"w{i}" for i in range(60)])
    targets, texts = [], []
    for _ in range(rows):
        reference = rng.choice(words, rng.integers(5, 15))
        kept = rng.random(len(reference)) < rng.uniform(0.4, 1.0)
        targets.append(" ".join(reference))
        texts.append(" ".join(np.where(kept, reference, rng.choice(words, len(reference)))))
    return metrics.get("bleu").statistics(targets, Prediction(texts=texts), GENERATE)


def test_intervals_of_bleu_cover_the_score_of_the_population():
    metric = metrics.get("bleu")
    population = bleu_statistics(4000, 0)
    truth = metric.aggregate(population)
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(300):
        rows = rng.choice(len(population), 120)
        block = Block(0, 0, np.arange(120), population[rows])
        interval = estimate([block], metric, rho=None, target="this model").interval
        covered += truth in interval
    assert 0.92 <= covered / 300 <= 0.985


def test_intervals_of_a_difference_of_bleu_cover_the_populations():
    metric = metrics.get("bleu")
    first, second = bleu_statistics(4000, 0), bleu_statistics(4000, 3)
    # Two systems that agree on two rows of three.
    second = np.where((np.random.default_rng(4).random(len(first)) < 2 / 3)[:, None], first, second)
    truth = metric.aggregate(second) - metric.aggregate(first)
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(300):
        rows = rng.choice(len(first), 120)
        a, b = (Block(0, 0, np.arange(120), statistics[rows]) for statistics in (second, first))
        interval = paired_difference([a], [b], metric, rho=None, target="this model").interval
        covered += truth in interval
    assert 0.93 <= covered / 300 <= 0.99


@pytest.mark.parametrize("name", ["bleu", "chrf", "rougeL", "token_f1"])
def test_answers_that_are_all_right_or_all_wrong_weigh_a_row_each(name):
    metric = metrics.get(name)
    targets = ["one two three four five"] * 10
    texts = [*targets[:7], *["none of it"] * 3] if name != "chrf" else [*targets[:7], *["zzz"] * 3]
    statistics = metric.statistics(targets, Prediction(texts=texts), GENERATE)
    assert metric.effective_rows(statistics) == pytest.approx(10)


def test_answers_that_are_partly_right_weigh_less_than_all_or_nothing():
    statistics = bleu_statistics(100, 0)
    assert metrics.get("bleu").effective_rows(statistics) > 150


def test_pseudo_values_of_bleu_are_those_of_leaving_out_one_by_one():
    metric = metrics.get("bleu")
    statistics = bleu_statistics(40, 2)
    whole = metric.aggregate(statistics)
    without = [metric.aggregate(np.delete(statistics, i, axis=0)) for i in range(40)]
    values = 40 * whole - 39 * np.array(without)
    assert pseudo_values(metric, statistics) == pytest.approx(values - values.mean() + whole, abs=1e-9)


# --- a function of one's own ------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return an empty working directory."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in ("my_scores", "broken"):
        sys.modules.pop(name, None)


def test_a_function_of_ones_own_is_a_mean_over_rows(folder):
    (folder / "my_scores.py").write_text("def length(text, references):\n    return len(text) - len(references)\n")
    for name in ("my_scores.py:length", "my_scores:length"):
        metric = metrics.get(name)
        assert metric.score([("x", "y"), ("z",)], Prediction(texts=["abcd", "ab"]), GENERATE) == 1.5
        assert metrics.get(name) is metric
        assert "sha256:" in metric.signature
    assert str(folder) not in sys.path


def test_a_changed_file_is_another_metric(folder):
    file = folder / "my_scores.py"
    file.write_text("def one(text, references):\n    return 1\n")
    before = metrics.get("my_scores.py:one")
    file.write_text("def one(text, references):\n    return 2.0  # now two\n")
    after = metrics.get("my_scores.py:one")
    assert before.signature != after.signature
    assert after.score([("x",)], Prediction(texts=["y"]), GENERATE) == 2.0


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            "def one(text, references):\n    return text.nothing\n",
            r"AttributeError.*my_scores.py, line 2.*the text 'y'",
        ),
        ("def one(text):\n    return 1\n", "TypeError"),
        ("def one(text, references):\n    return None\n", r"must return a finite number.*Got None \(NoneType\)"),
        ("def one(text, references):\n    return '0.5'\n", r"Got '0.5' \(str\)"),
        ("def one(text, references):\n    return float('nan')\n", r"Got nan \(float\)"),
    ],
)
def test_a_function_that_gives_no_number_is_a_message(folder, source, expected):
    (folder / "my_scores.py").write_text(source)
    with pytest.raises(DataError, match=expected):
        metrics.get("my_scores.py:one").score([("x",)], Prediction(texts=["y"]), GENERATE)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nowhere:one", "There is no module 'nowhere'"),
        ("my_score.py:one", "There is no file .*Did you mean 'my_scores.py'"),
        ("my_scores.py:on", "no function 'on' in my_scores.py. Did you mean 'one'"),
        ("my_scores.py:number", "must be a function .* Found: int"),
        ("broken.py:one", r"cannot be loaded: NameError.*\(broken.py, line 1\)"),
        ("broken:one", "cannot be loaded: NameError"),
        ("not a name:one", "MODULE:FUNCTION"),
        ("blue", "Did you mean 'bleu'"),
    ],
)
def test_a_function_that_is_not_there_is_a_message(folder, name, expected):
    (folder / "my_scores.py").write_text("number = 3\n\n\ndef one(text, references):\n    return 1\n")
    (folder / "broken.py").write_text("undefined\n")
    with pytest.raises(OptionError, match=expected):
        metrics.get(name)
