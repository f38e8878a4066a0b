from __future__ import annotations

import json
from dataclasses import replace

import pytest

from nshot.core import Cost, OptionError, OutputError, Run, RunStatus
from nshot.study.ledger import Ledger

COST = Cost(1.5, 0.25, 2.5, milliseconds_alone=3.0, peak_memory_bytes=10**9, artefact_bytes=1_000, examples_seen=640)
RUN = Run(
    key="a" * 24,
    candidate="lora:all-MiniLM-L6-v2",
    n_labels=64,
    repeat=0,
    fold=1,
    seed=1,
    status=RunStatus.COMPLETE,
    cost=COST,
    seconds=1.8,
    predictions="predictions/aaa.safetensors",
    settings={"epochs": 4, "note": "größer \ud800"},
)
KILLED = replace(RUN, key="b" * 24, status=RunStatus.KILLED, reason="memory ran out", cost=None, predictions=None)


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    return Ledger(tmp_path / "runs.jsonl")


def test_what_was_appended_is_there_again_after_reopening(ledger):
    ledger.append(RUN)
    ledger.append(KILLED)
    again = Ledger(ledger.path)
    assert len(again) == 2
    assert again.get(KILLED.key) == KILLED
    found = again.get(RUN.key)
    assert found is not None
    assert replace(found, settings={}) == replace(RUN, settings={})
    assert found.cost == COST
    assert [run.key for run in again] == [RUN.key, KILLED.key]


def test_an_unknown_key_is_none(ledger):
    assert ledger.get("c" * 24) is None


def test_every_run_is_one_line_of_json(ledger):
    ledger.append(RUN)
    ledger.append(KILLED)
    lines = ledger.path.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["status"] for line in lines] == ["complete", "killed"]


@pytest.mark.parametrize("cut", [1, 40])
def test_a_line_that_was_not_finished_is_dropped_and_the_next_one_starts_clean(ledger, cut):
    ledger.append(RUN)
    ledger.append(KILLED)
    whole = ledger.path.read_bytes()
    ledger.path.write_bytes(whole[:-cut])
    again = Ledger(ledger.path)
    assert [run.key for run in again] == [RUN.key]
    again.append(KILLED)
    assert ledger.path.read_bytes() == whole


def test_only_a_broken_line_is_an_empty_ledger(ledger):
    ledger.path.write_bytes(b'{"key": "aaa", "cand')
    assert len(Ledger(ledger.path)) == 0
    assert ledger.path.read_bytes() == b""


@pytest.mark.parametrize("line", ["{}", "not json", '{"key": "a", "cost": null, "of_another_version": 1}', "[]"])
def test_a_damaged_line_is_named_with_what_to_do(ledger, line):
    ledger.append(RUN)
    with ledger.path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(OptionError, match=r"Line 2 of .*--fresh.*--out DIR"):
        Ledger(ledger.path)


def test_a_run_that_was_tried_again_counts_as_it_came_out_last(ledger):
    ledger.append(replace(RUN, status=RunStatus.FAILED, reason="diverged", cost=None))
    ledger.append(RUN)
    again = Ledger(ledger.path)
    assert len(again) == 1
    assert next(iter(again)).status == RunStatus.COMPLETE


def test_a_full_disk_is_told_and_the_run_is_not_counted(tmp_path):
    full = tmp_path / "runs.jsonl"
    ledger = Ledger(full)
    full.symlink_to("/dev/full")
    with pytest.raises(OutputError, match="No space left"):
        ledger.append(RUN)
    assert ledger.get(RUN.key) is None
