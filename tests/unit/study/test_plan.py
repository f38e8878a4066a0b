from __future__ import annotations

import numpy as np
import pytest

from nshot.core import OptionError, Task, TaskKind
from nshot.evaluation.protocol import design
from nshot.study.options import StudyOptions
from nshot.study.plan import Skipped, contenders, opened, runs_of
from nshot.study.study import _reasons

TASK = Task(TaskKind.CLASSIFY, ("a", "b"))


def entered(task=TASK, **options):
    parsed = StudyOptions.parse(options)
    return contenders(task, "text", opened(parsed, "text"), parsed)


def divided(rows, **changed):
    return design(["a", "b"] * (rows // 2), np.arange(rows), seed=0, **changed)


def planned(contender, plan):
    data = {(draw.repeat, draw.fold): f"{draw.repeat}.{draw.fold}" for draw in plan.draws}
    return runs_of(contender, plan, seed=3, data=data, precision="bf16")


def test_every_method_that_fits_the_task_enters():
    names = {item.candidate.method for item in entered()[0]}
    assert {"majority", "tfidf_linear", "linear_probe", "label_similarity", "full_finetune"} <= names


def test_methods_can_be_named_and_left_out():
    found, _ = entered(methods=("majority", "tfidf_linear"), without=("majority",))
    assert [item.name for item in found] == ["tfidf_linear"]


def test_options_of_a_method_become_part_of_the_candidate():
    [item], _ = entered(methods=("tfidf_linear",), set=("tfidf_linear.strength=2.5",))
    assert item.candidate.options == {"strength": 2.5}
    assert item.name == "tfidf_linear(strength=2.5)"


def test_a_method_that_cannot_do_the_task_is_listed_with_the_reason():
    found, skipped = entered(Task(TaskKind.CLASSIFY, ("0", "1"), names_say_something=False))
    assert "label_similarity" not in {item.candidate.method for item in found}
    reasons = {item.candidate.split(":")[0]: item.reason for item in skipped}
    assert "these say nothing ('0', '1')" in reasons["label_similarity"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"methods": ("linear_prob",)}, "Did you mean 'linear_probe'"),
        ({"without": ("loora",)}, "Did you mean 'lora'"),
        ({"set": ("lorra.rank=1",)}, "Did you mean 'lora'"),
        ({"set": ("lora.rang=1",), "methods": ("lora",)}, "lora has no option 'rang'. Did you mean 'rank'"),
        ({"methods": ("majority",), "without": ("majority",)}, "No method is left to compare"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_plain_words(options, expected):
    with pytest.raises(OptionError, match=expected):
        entered(**options)


def test_runs_are_planned_once_for_every_draw_and_size():
    [item], _ = entered(methods=("linear_probe",))
    plan = divided(200)
    specs = planned(item, plan)
    assert len({spec.key for spec in specs}) == len(specs) == 3 * 5 * len(plan.ladder)
    assert {spec.precision for spec in specs} == {"bf16"}


def test_all_candidates_get_the_same_seed_on_the_same_subset():
    found, _ = entered(methods=("majority", "linear_probe"))
    plan = divided(100)
    one, other = (
        {(spec.repeat, spec.fold, spec.n_labels): (spec.seed, spec.data) for spec in planned(item, plan)}
        for item in found
    )
    assert one == other


def test_without_labels_there_is_one_run_per_fold():
    [item], _ = entered(methods=("label_similarity",))
    specs = planned(item, divided(100))
    assert [(spec.n_labels, spec.repeat, spec.fold) for spec in specs] == [(0, 0, fold) for fold in range(5)]


def test_all_rows_of_a_given_test_are_fitted_once():
    [item], _ = entered(methods=("full_finetune",))
    plan = divided(400, n_given_test=50)
    specs = planned(item, plan)
    assert [spec.repeat for spec in specs if spec.n_labels == 400] == [0]
    assert sorted(spec.repeat for spec in specs if spec.n_labels == 16) == [0, 1, 2, 3, 4]


def test_precision_is_no_part_of_a_run_without_a_network():
    [item], _ = entered(methods=("majority",))
    assert {spec.precision for spec in planned(item, divided(100))} == {None}


def test_a_method_that_was_made_for_another_task_or_another_kind_of_model_is_not_even_listed():
    found, skipped = entered()
    asked = {item.candidate.method for item in found} | {item.candidate.split(":")[0] for item in skipped}
    assert not asked & {"prompt", "in_context", "sft", "nearest_answer"}


def test_such_a_method_is_refused_with_the_reason_where_it_was_named():
    _, skipped = entered(also=("sft",))
    [reason] = [item.reason for item in skipped if item.candidate.startswith("sft")]
    assert "cannot classify" in reason


def test_without_a_language_model_it_is_said_what_needs_one():
    parsed = StudyOptions.parse({})
    found, skipped = contenders(Task(TaskKind.GENERATE), "conversation", opened(parsed, "conversation"), parsed)
    assert "nearest_answer" in {item.candidate.method for item in found}
    reasons = {item.candidate: item.reason for item in skipped}
    assert "--backbone FOLDER" in reasons["prompt"]
    assert "--backbone FOLDER" in reasons["sft"]


def test_what_reads_label_names_is_not_listed_for_rows_whose_columns_nothing_compares_with_names():
    parsed = StudyOptions.parse({})
    found, skipped = contenders(TASK, "row", opened(parsed, "row"), parsed)
    assert "linear_probe" in {item.candidate.method for item in found}
    assert skipped == []


def test_a_reason_that_several_share_is_said_once():
    skipped = [Skipped("a", 16, "no time."), Skipped("a", 40, "no time."), Skipped("b", 16, "no time.")]
    assert _reasons([*skipped, Skipped("c", 0, "no memory.")]) == "a, b: no time. c: no memory."
