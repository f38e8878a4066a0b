from __future__ import annotations

from dataclasses import replace

import pytest

from nshot.core import BackboneRef, Candidate, Family
from nshot.study.spec import RunSpec

REF = BackboneRef("all-MiniLM-L6-v2", None, "53aa")
CANDIDATE = Candidate("lora", Family.FINE_TUNING, {"rank": 8, "epochs": 3}, REF, version=2)
SPEC = RunSpec(CANDIDATE, n_labels=64, repeat=1, fold=2, seed=102, data="abcd", precision="fp32")


@pytest.mark.parametrize(
    "changed",
    [
        replace(SPEC, n_labels=65),
        replace(SPEC, repeat=0),
        replace(SPEC, fold=0),
        replace(SPEC, seed=103),
        replace(SPEC, data="abce"),
        replace(SPEC, precision="bf16"),
        replace(SPEC, precision=None),
        replace(SPEC, candidate=replace(CANDIDATE, method="full_finetune")),
        replace(SPEC, candidate=replace(CANDIDATE, version=3)),
        replace(SPEC, candidate=replace(CANDIDATE, options={"rank": 8})),
        replace(SPEC, candidate=replace(CANDIDATE, options={"rank": 16, "epochs": 3})),
        replace(SPEC, candidate=replace(CANDIDATE, backbone=None)),
        replace(SPEC, candidate=replace(CANDIDATE, backbone=replace(REF, sha256="53ab"))),
        replace(SPEC, candidate=replace(CANDIDATE, backbone=replace(REF, revision="main"))),
        replace(SPEC, candidate=replace(CANDIDATE, backbone=replace(REF, id="other"))),
    ],
)
def test_the_key_changes_with_everything_that_decides_the_outcome(changed):
    assert changed.key != SPEC.key


def test_the_key_does_not_change_with_the_order_of_options():
    turned = replace(SPEC, candidate=replace(CANDIDATE, options={"epochs": 3, "rank": 8}))
    assert turned.key == SPEC.key


def test_the_key_is_the_same_in_every_process_and_version():
    """A ledger of last month is still of use: change this only together with a version of the ledger."""
    assert SPEC.key == "5dc9e0cc0ee524671fbb8c39"


def test_keys_of_many_runs_differ():
    keys = {
        replace(SPEC, n_labels=n, repeat=repeat, fold=fold).key
        for n in range(20)
        for repeat in range(10)
        for fold in range(5)
    }
    assert len(keys) == 1_000
