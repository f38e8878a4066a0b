from __future__ import annotations

from nshot.cli.compare import order_of_runs


def record(candidate, n_labels, seconds):
    return {"candidate": candidate, "n_labels": n_labels, "runs": 15, "seconds": seconds}


def test_a_plan_tells_the_time_of_one_round_of_trainings_and_of_all():
    records = [record("linear_probe", 48, None)]
    records += [record(name, n, seconds) for name in ("lora", "contrastive") for n, seconds in ((16, 4.0), (48, 20.0))]
    _, once, every = order_of_runs(records)
    assert "once with 48 labels" in once
    assert "about 40 s)" in once
    assert "Every run: about 12 min" in every


def test_where_nothing_trains_a_network_only_the_features_are_told_of():
    assert len(order_of_runs([record("linear_probe", 48, None)])) == 1
