import dataclasses

import numpy as np
import pytest

from nshot.backbones import fake
from nshot.core import BackboneRef, Dataset, Family, OptionError, State, Task, TaskKind, TrainingError
from nshot.methods import build
from unit.methods.features import context, fit, heaps

GRID = {"strength": [0.5, 2.0, 8.0]}


def test_the_defaults_are_the_first_trial_and_every_combination_is_one():
    task, train, _, backbone = heaps()
    settings = fit("tuned", task, train, backbone, method="linear_probe", grid=GRID).state().settings

    assert [trial["options"] for trial in settings["judged"]] == [{}, *({"strength": c} for c in (0.5, 2.0, 8.0))]
    assert settings["held_out"] == len(train)
    assert settings["trials"] == 4
    assert settings["fits"] == 4 * 5 + 1


def test_the_usual_setting_is_kept_unless_another_is_clearly_better():
    task, train, _, backbone = heaps(noise=0.1)

    predictor = fit("tuned", task, train, backbone, method="linear_probe", grid=GRID)

    assert predictor.state().settings["chosen"] == {}


def test_a_clearly_better_setting_is_taken_and_fitted_on_all_labels():
    task, train, test, backbone = heaps()
    one = {"method": "cluster_then_label", "options": {"groups": 1}, "grid": {"groups": [3, 6]}}

    predictor = fit("tuned", task, train, backbone, **one)

    chosen = predictor.state().settings["chosen"]
    assert chosen in ({"groups": 3}, {"groups": 6})
    direct = fit("cluster_then_label", task, train, backbone, **chosen)
    assert np.array_equal(predictor.predict(test.examples).probabilities, direct.predict(test.examples).probabilities)
    restored = build("tuned", one).restore(task, State(*dataclasses.astuple(predictor.state())), lambda ref: backbone)
    assert np.array_equal(restored.predict(test.examples).probabilities, direct.predict(test.examples).probabilities)


def test_it_is_chosen_by_the_metric_that_the_study_asks_for():
    task, train, _, backbone = heaps()
    asked = []

    def objective(targets, prediction):
        asked.append(list(targets))
        return 0.5

    build("tuned", {"method": "prototypes", "grid": {"sharpness": [5.0]}}).fit(
        task, train, train.without_targets(), backbone, dataclasses.replace(context(task), objective=objective)
    )

    assert asked == [list(train.targets)] * 2


def test_a_large_grid_is_sampled_by_the_seed_and_holds_the_defaults():
    task, train, _, backbone = heaps()
    grid = {"strength": [float(c) for c in range(1, 31)]}

    def tried(seed):
        predictor = fit("tuned", task, train, backbone, seed=seed, method="linear_probe", grid=grid, trials=4)
        return [trial["options"] for trial in predictor.state().settings["judged"]]

    assert len(tried(0)) == 4
    assert tried(0)[0] == {}
    assert tried(0) == tried(0) != tried(1)


def test_with_one_row_per_class_nothing_is_chosen():
    task, train, _, backbone = heaps()

    settings = fit("tuned", task, train.take([0, 1, 2]), backbone, method="linear_probe", grid=GRID).state().settings

    assert settings["chosen"] == {}
    assert settings["fits"] == 1
    assert settings["held_out"] == 0


def test_groups_are_never_on_both_sides():
    task, train, _, backbone = heaps(per_class=20)
    groups = [row // 6 for row in range(len(train))]  # two examples of each class
    grouped = dataclasses.replace(train, groups=groups)
    parts = []

    class Watching(type(build("prototypes"))):
        def fit(self, task, train, pool, backbone, context):
            parts.append(set(train.groups))
            return super().fit(task, train, pool, backbone, context)

    from nshot.training.trials import choose

    choose([Watching(), Watching(sharpness=3.0)], task, grouped, train, backbone, context(task))

    assert len(parts) == 10
    assert all(len(part) == 8 for part in parts)


def test_no_two_fits_share_their_checkpoints(tmp_path):
    task, train, _, backbone = heaps()
    folders = []

    class Watching(type(build("prototypes"))):
        def fit(self, task, train, pool, backbone, context):
            folders.append(context.checkpoints)
            return super().fit(task, train, pool, backbone, context)

    from nshot.training.trials import choose

    here = dataclasses.replace(context(task), checkpoints=tmp_path)
    choose([Watching(), Watching(sharpness=3.0)], task, train, train, backbone, here)

    assert len(set(folders)) == 10
    assert {folder.parent for folder in folders} == {tmp_path}


def test_it_is_of_the_kind_of_its_method():
    probe = build("tuned", {"method": "linear_probe", "grid": GRID})
    network = build("tuned", {"method": "lora"})
    sampled = build("tuned", {"method": "linear_probe", "grid": GRID, "trials": 2})

    assert (probe.family, network.family) == (Family.FEW_SHOT, Family.FINE_TUNING)
    assert (probe.trains_network, network.trains_network) == (False, True)
    assert (probe.uses_seed, network.uses_seed, sampled.uses_seed) == (False, True, True)
    only_classes = frozenset({TaskKind.CLASSIFY})
    assert probe.needs == dataclasses.replace(build("linear_probe").needs, tasks=only_classes)
    assert network.planned_examples(64) == 16 * build("lora").planned_examples(64)
    assert probe.planned_examples(64) == 0


def test_what_the_inner_method_refuses_is_refused():
    task, _, _, backbone = heaps()
    nameless = dataclasses.replace(task, names_say_something=False)
    method = build("tuned", {"method": "primed_probe", "grid": GRID})

    assert method.supports(task, backbone) is None
    assert "label names" in method.supports(nameless, backbone)
    assert "tuned cannot tag" in method.supports(Task(TaskKind.TAG, task.labels), backbone)


def test_a_grid_can_be_written_as_text():
    from_json = build("tuned", {"method": "lora", "grid": '{"rank": [2, 4]}', "options": '{"epochs": 2}'})
    from_toml = build("tuned", {"method": "lora", "grid": "{rank = [2, 4]}", "options": "{epochs = 2}"})

    assert from_json == from_toml
    assert hash(from_json) == hash(from_toml)
    assert from_json.changed() == {"method": "lora", "grid": {"rank": [2, 4]}, "options": {"epochs": 2}}
    assert build("tuned", from_json.changed()) == from_json


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "linear_probe"}, "no usual grid for linear_probe"),
        ({"method": "lora", "grid": {"rnk": [1]}}, "Did you mean 'rank'"),
        ({"method": "lora", "grid": {"rank": [0]}}, "greater than or equal to 1"),
        ({"method": "lora", "grid": {"rank": 4}}, "a list of values"),
        ({"method": "lora", "grid": "rank"}, "must be a table in JSON"),
        ({"method": "loar"}, "There is no method 'loar'"),
    ],
)
def test_what_cannot_be_tried_is_refused_before_anything_runs(options, said):
    with pytest.raises(OptionError, match=said):
        build("tuned", options)


ROWS = [f"my {word} card" for word in ("lost", "stolen", "new", "old")] + [
    f"the {word} rate" for word in ("best", "bad", "euro", "dollar")
]


def tune_network(**options):
    train = Dataset(ROWS, targets=["card"] * 4 + ["rate"] * 4)
    task = Task(TaskKind.CLASSIFY, ("card", "rate"))
    backbone = fake.open(BackboneRef("fake/text-encoder"))
    return build("tuned", options).fit(task, train, train.without_targets(), backbone, context(task))


def test_a_trial_that_diverges_is_told_and_never_taken():
    settings = tune_network(grid={"learning_rate": [1e25]}, options={"epochs": 2}).state().settings

    assert [trial["score"] is None for trial in settings["judged"]] == [False, True]
    assert settings["chosen"] == {}


def test_where_every_trial_diverges_the_message_of_the_first_is_given():
    with pytest.raises(TrainingError, match="Lower learning_rate"):
        tune_network(grid={"weight_decay": [0.1]}, options={"learning_rate": 1e25})


def test_the_examples_of_all_fits_are_counted():
    settings = tune_network(options={"epochs": 2}).state().settings

    assert [trial["options"]["learning_rate"] for trial in settings["judged"][1:]] == pytest.approx([2e-4 / 3, 6e-4])
    # Four folds leave out one row of each class, the fifth nothing; all rows in the end.
    assert settings["training"]["examples_seen"] > 3 * 4 * 2 * 6
    assert settings["inner"]["training"]["examples_seen"] == 2 * 8
