"""Requests that no client means to send: made by hand, and out of the server's own description; see bench/serving."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

_PROGRAM = Path(__file__).resolve().parents[3] / "bench" / "serving" / "malformed.py"


@pytest.fixture(scope="module")
def malformed():
    found = importlib.util.spec_from_file_location("bench_malformed", _PROGRAM)
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module
    found.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def application(malformed, tmp_path_factory):
    return malformed.models(tmp_path_factory.mktemp("models"))


def test_odd_requests_are_refused_in_words_and_never_fail(malformed, application):
    counts, wrong = malformed.made_by_hand(application, 300, seed=1)
    assert not wrong
    assert counts[200] and counts[400] > 50


@pytest.mark.filterwarnings("ignore")
def test_requests_out_of_the_description_are_answered_or_refused(malformed, application):
    pytest.importorskip("schemathesis")
    counts, wrong = malformed.made_by_schemathesis(application, 20, seed=1)
    assert not wrong
    assert sum(counts.values()) > 10
