"""Metrics of texts against sacrebleu's command line and rouge-score, on published outputs of five systems."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from itertools import zip_longest

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF

import nshot
from nshot import metrics
from nshot.core import Prediction, Task, TaskKind

GENERATE = Task(TaskKind.GENERATE)
PAID = "Yes, the invoice was paid on 3 March 2024."
UNPAID = "No, the invoice was unpaid on 30 March 2023."

PUBLISHED_BLEU = (38.656133, 37.457562, 37.761588, 38.864085, 38.671238)
"""sacrebleu 2.6.0's command line on all 1,847 meanings, the last reference of a meaning repeated up to 35."""
PUBLISHED_CHRF = 61.411462
"""The same program's, of the first system."""


@pytest.fixture
def e2e(shared_data):
    return shared_data / "generation" / "e2e_clean"


@pytest.fixture
def references(e2e):
    """Return the references of each meaning, in the order in which meanings first appear."""
    found: dict[str, list[str]] = {}
    with (e2e / "test-fixed.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["mr"], []).append(row["ref"])
    return list(found.values())


def system(e2e, run):
    return e2e / "system-outputs" / f"tgen-std.run{run}.txt"


@pytest.mark.parametrize("run", range(5))
def test_bleu_of_published_outputs_is_what_sacrebleus_command_line_prints(e2e, run):
    found = nshot.score(system(e2e, run), e2e / "test-fixed.csv", metric="bleu").metrics["bleu"]
    assert found["score"] == PUBLISHED_BLEU[run]
    assert found["interval"][0] < found["score"] < found["interval"][1]


def test_chrf_of_published_outputs_is_what_sacrebleus_command_line_prints(e2e):
    found = nshot.score(system(e2e, 0), e2e / "test-fixed.csv", metric="chrf")
    assert found.metrics["chrf"]["score"] == PUBLISHED_CHRF


def test_sacrebleus_command_line_gives_the_same_numbers_and_signatures(e2e, references, tmp_path):
    # Meanings with three references: the command line knows no missing ones.
    rows = [i for i, found in enumerate(references) if len(found) == 3]
    texts = system(e2e, 0).read_text(encoding="utf-8").splitlines()
    streams = [tmp_path / f"reference{n}.txt" for n in range(3)]
    for stream, lines in zip(streams, zip(*(references[i] for i in rows), strict=True), strict=True):
        stream.write_text("\n".join(lines) + "\n", encoding="utf-8")
    outputs = tmp_path / "outputs.txt"
    outputs.write_text("\n".join(texts[i] for i in rows) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "sacrebleu", *streams, "-i", outputs, "-m", "bleu", "chrf", "-w", "6"]
    printed = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    found = nshot.score(outputs, [references[i] for i in rows], metric="bleu,chrf").metrics
    for name, expected in zip(("bleu", "chrf"), printed, strict=True):
        assert found[name]["score"] == expected["score"]
        assert found[name]["signature"] == expected["signature"]


def test_the_signature_says_that_numbers_of_references_vary(e2e, references):
    streams = [list(column) for column in zip_longest(*references)]
    for name, scorer in (("bleu", BLEU()), ("chrf", CHRF())):
        scorer.corpus_score([""] * 20, [column[:20] for column in streams])
        assert metrics.get(name).signature_on(references[:20]) == scorer.get_signature().format()


def test_rouge_of_published_outputs_equals_rouge_scores(e2e, references):
    texts = system(e2e, 0).read_text(encoding="utf-8").splitlines()
    kinds = ["rouge1", "rouge2", "rougeL"]
    scorer = RougeScorer(kinds)
    expected = [scorer.score_multi(row, text) for row, text in zip(references, texts, strict=True)]
    found = nshot.score(system(e2e, 0), e2e / "test-fixed.csv", metric=kinds).metrics
    for kind in kinds:
        assert found[kind]["score"] == pytest.approx(np.mean([row[kind].fmeasure for row in expected]), abs=5e-7)


@pytest.mark.parametrize(
    ("texts", "references"),
    [
        ([""], [["a b c d e"]]),
        (["a b"], [["a b"]]),
        (["x"], [["y"]]),
        (["", "a b c d"], [[""], ["a b q c"]]),
        (["a b c d e f"], [["a b c d x", "b c d e f g h"]]),
        (["the 1,5 (cat) isn't\nhere"], [["The cat isn't here."]]),
        (["猫が好きです"], [["犬が好きです", "猫も好きです"]]),
    ],
)
@pytest.mark.parametrize(("name", "scorer"), [("bleu", BLEU()), ("chrf", CHRF())])
def test_odd_texts_score_as_in_sacrebleu(name, scorer, texts, references):
    found = metrics.get(name).score(references, Prediction(texts=texts), GENERATE)
    streams = [list(column) for column in zip_longest(*references)]
    assert found == pytest.approx(scorer.corpus_score(texts, streams).score, abs=1e-9)


def test_opposite_answers_score_nothing_where_answers_have_to_be_right():
    """They share five words of nine, so what counts shared words cannot see that they say the opposite."""

    def scored(name):
        return metrics.get(name).score([UNPAID], Prediction(texts=[PAID]), GENERATE)

    assert scored("exact_match") == 0.0
    assert scored("number_match") == 0.0
    # By words and without smoothing nothing is left either: the longest run that they share is "the invoice was".
    by_words = BLEU(tokenize="none", smooth_method="none")
    assert by_words.corpus_score([PAID], [[UNPAID]]).score == 0.0
    # sacrebleu's default splits the comma off, which makes a run of four, ", the invoice was". Its figures:
    assert scored("bleu") == pytest.approx(26.9855, abs=1e-4)
    assert scored("rouge2") == pytest.approx(0.25)
    assert scored("token_f1") == pytest.approx(0.5)


def test_bleu_counts_words_and_not_letters():
    """Over letters the opposite answers would look alike."""
    by_letters = BLEU(tokenize="char").corpus_score([PAID], [[UNPAID]]).score
    assert by_letters > 70
    assert metrics.get("bleu").score([UNPAID], Prediction(texts=[PAID]), GENERATE) < by_letters / 2
