from __future__ import annotations

import pytest

from nshot.core import OptionError
from nshot.study.options import StudyOptions


def parsed(name, value):
    return getattr(StudyOptions.parse({name: value}), name)


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("budget", "5m", 300.0),
        ("budget", "90s", 90.0),
        ("budget", "1.5h", 5_400.0),
        ("budget", " 2 m ", 120.0),
        ("budget", "45", 45.0),
        ("budget", 45, 45.0),
        ("max_latency", "20ms", 20.0),
        ("max_latency", "0.5s", 500.0),
        ("max_latency", "20", 20.0),
        ("max_latency", 20, 20.0),
        ("max_memory", "2GiB", 2**31),
        ("max_memory", "512 MiB", 2**29),
        ("max_memory", "2gb", 2e9),
        ("max_memory", 1_000, 1_000.0),
    ],
)
def test_quantities_are_read_with_their_units(name, given, expected):
    assert parsed(name, given) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("budget", "soon", "30s, 5m or 1h"),
        ("budget", "5 parsecs", "30s, 5m or 1h"),
        ("budget", "-5m", "30s, 5m or 1h"),
        ("budget", "", "30s, 5m or 1h"),
        ("budget", 0, "greater than 0"),
        ("max_latency", "fast", "20ms"),
        ("max_memory", "2QiB", "512MiB or 2GiB"),
        ("worth", 101, "less than or equal to 100"),
        ("repeats", 0, "greater than or equal to 1"),
        ("seed", -1, "greater than or equal to 0"),
        ("sizes", (16, 0), "greater than or equal to 1"),
        ("prefer", "beauty", "'cost', 'score' or 'latency'"),
        ("precision", "fp64", "'auto', 'fp32' or 'bf16'"),
        ("device", "tpu", "auto, cpu, mps, cuda or cuda:1"),
        ("threads", 0, "greater than or equal to 1"),
    ],
)
def test_a_wrong_value_is_refused_with_what_is_expected_and_what_was_found(name, given, expected):
    with pytest.raises(OptionError) as refused:
        StudyOptions.parse({name: given})
    message = str(refused.value)
    assert name in message
    assert expected in message
    assert "Got" in message


def test_an_unknown_option_is_refused_with_the_nearest():
    with pytest.raises(OptionError, match="Did you mean 'budget'"):
        StudyOptions.parse({"budgett": "5m"})


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:3", "mps"])
def test_devices_that_torch_knows_are_taken(device):
    assert parsed("device", device) == device


def test_set_collects_the_options_of_each_method():
    options = StudyOptions(
        set=("lora.rank=16", " lora.epochs=3", "full_finetune.learning_rate=3e-5", "lora.note=a=b.c")
    )
    assert options.method_options() == {
        "lora": {"rank": "16", "epochs": "3", "note": "a=b.c"},
        "full_finetune": {"learning_rate": "3e-5"},
    }


@pytest.mark.parametrize("entry", ["rank=16", "lora.rank", "lora rank=16", "", "=", ".=", "Lora.Rank=1"])
def test_set_that_is_not_method_option_value_is_refused(entry):
    with pytest.raises(OptionError, match=r"METHOD\.OPTION=VALUE") as refused:
        StudyOptions(set=(entry,)).method_options()
    assert str(refused.value).endswith(entry)
