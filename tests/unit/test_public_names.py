from __future__ import annotations

import inspect
import pkgutil

import pytest

import nshot

PUBLIC = [
    "Comparison",
    "Dataset",
    "Distillation",
    "Evaluation",
    "Exploration",
    "Interval",
    "Method",
    "Model",
    "NshotError",
    "Prediction",
    "Scores",
    "Task",
    "check",
    "compare",
    "distill",
    "evaluate",
    "explore_data",
    "export",
    "fit",
    "grow",
    "load",
    "plan",
    "score",
    "write_report",
]
"""Part of the contract with users: a name that goes away or changes its home breaks their programs."""


def test_the_public_names_are_frozen():
    assert nshot.__all__ == PUBLIC
    assert dir(nshot) == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_exists_and_is_documented(name):
    assert inspect.getdoc(getattr(nshot, name))


def test_no_public_name_is_a_subpackages():
    """Importing a subpackage puts it into nshot under its own name, over the public one."""
    modules = {module.name for module in pkgutil.iter_modules(nshot.__path__)}
    assert not modules & set(PUBLIC)


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'train'"):
        nshot.train  # noqa: B018


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("compare", ["data", "options", "watch", "more"]),
        ("plan", ["data", "options", "watch", "more"]),
        ("fit", ["data", "options", "out", "watch", "more"]),
        ("distill", ["model", "data", "options", "out", "watch", "more"]),
        ("evaluate", ["model", "data", "other", "options", "watch", "more"]),
        ("grow", ["model", "data", "options", "out", "watch", "more"]),
        ("export", ["model", "out", "options", "watch", "more"]),
        ("score", ["predictions", "references", "other", "options", "watch", "more"]),
        ("check", ["data", "test", "backbone", "options", "more"]),
        ("load", ["folder", "precision", "device", "threads", "remote"]),
        ("write_report", ["folder", "texts"]),
    ],
)
def test_the_parameters_of_the_functions_are_frozen(name, parameters):
    assert list(inspect.signature(getattr(nshot, name)).parameters) == parameters
