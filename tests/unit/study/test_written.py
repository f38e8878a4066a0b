from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import save_file

from nshot import metrics
from nshot.core import BackboneRef, Candidate, Family, Run, RunStatus
from nshot.evaluation.protocol import design
from nshot.study.evidence import Entrant, Evidence
from nshot.study.general_text import pairs
from nshot.study.spec import RunSpec
from nshot.study.worker import as_bytes, of_bytes
from nshot.study.written import forgetting_records, texts_record

TOKEN_F1 = metrics.get("token_f1")
ROWS = 40
PLAN = design(None, np.arange(ROWS), seed=0, n_given_test=ROWS)
TINY = BackboneRef("tiny")
ODD = ("", "two\nlines", "\ud800 half a pair", "🏳️‍🌈", "c" * 10_000)


@pytest.fixture
def evidence(tmp_path):
    def made(**written: dict) -> Evidence:
        """Return the evidence of methods that each ran once, given what each wrote."""
        entrants, runs = [], {}
        for name, arrays in written.items():
            family = Family.ZERO_SHOT if name == "prompt" else Family.FINE_TUNING
            n = 0 if name == "prompt" else PLAN.n_train
            spec = RunSpec(Candidate(name, family, backbone=TINY), n, 0, 0, 0, "data", None)
            file = f"{spec.key}.safetensors"
            save_file(arrays, tmp_path / file)
            runs[spec.key] = Run(spec.key, name, n, 0, 0, 0, RunStatus.COMPLETE, predictions=file)
            entrants.append(Entrant(name, name, family, backbone="tiny", options={}, specs=(spec,)))
        return Evidence(tmp_path, PLAN, entrants=entrants, runs=runs, groups=np.arange(ROWS), answers={})

    return made


def answers(score: np.ndarray, mark: str) -> dict:
    return {
        "texts": as_bytes([f"{mark}{row}" for row in range(ROWS)]),
        "stopped": (np.arange(ROWS) % 2).astype(np.uint8),
        "metric.token_f1": score.reshape(-1, 1),
    }


def general(bits_per_byte: np.ndarray) -> dict:
    sizes = np.array([len(answer.encode()) for _, answer in pairs()])
    known = np.stack([-bits_per_byte * sizes * np.log(2), sizes], axis=1)
    return {"general": known}


def test_texts_come_back_as_they_were():
    assert of_bytes(as_bytes(ODD)) == list(ODD)


def test_the_best_the_worst_and_random_answers_of_the_pick_are_shown_beside_those_of_the_others(evidence):
    score = np.linspace(0, 1, ROWS)
    record = texts_record(
        evidence(sft=answers(score, "s"), prompt=answers(np.zeros(ROWS), "p")), TOKEN_F1, "sft", ["prompt"]
    )
    assert record["candidates"] == ["sft", "prompt"]
    assert record["metric"] == "token_f1"
    shown = record["rows"]
    assert len({row["row"] for row in shown}) == len(shown) == 24
    best = max(row["answers"]["sft"]["score"] for row in shown if row["why"] != "random")
    worst = {row["row"] for row in shown if row["why"] == "worst"}
    assert best > 0.9
    assert max(score[list(worst)]) < 0.5
    one = shown[0]
    assert one["answers"]["prompt"] == {"text": f"p{one['row']}", "score": 0.0, "stopped": one["row"] % 2 == 1}


def test_nothing_is_shown_where_nothing_was_written(evidence):
    found = evidence(probe={"metric.token_f1": np.ones((ROWS, 1))})
    assert texts_record(found, TOKEN_F1, "probe", []) == {}


def test_forgetting_is_the_change_from_the_same_model_as_it_is(evidence):
    n = len(pairs())
    before = np.linspace(1, 2, n)
    found = evidence(
        sft=answers(np.ones(ROWS), "s") | general(before + 0.5 + 0.01 * (-1.0) ** np.arange(n)),
        prompt=answers(np.ones(ROWS), "p") | general(before),
    )
    [record] = forgetting_records(found)
    assert record["candidate"] == "sft"
    assert (record["before"], record["after"]) == pytest.approx((1.5, 2.0), abs=1e-3)
    low, high = record["interval"]
    assert low < 0.5 < high
    assert high - low < 0.02


def test_without_the_untouched_model_nothing_is_said_of_forgetting(evidence):
    assert forgetting_records(evidence(sft=answers(np.ones(ROWS), "s") | general(np.ones(len(pairs()))))) == []


def test_general_text_is_short_and_of_many_subjects():
    assert 20 <= len(pairs()) <= 40
    assert all(question.endswith("?") and 20 < len(answer) < 200 for question, answer in pairs())
