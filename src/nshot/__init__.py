"""nshot: zero-shot, few-shot or fine-tuning? Measured on your own data.

::

    import nshot

    found = nshot.compare("tickets.csv")
    print(found.pick)
    model = found.load()
    model.predict(["Where is my parcel?"])
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nshot.api import (
        Comparison,
        Distillation,
        Evaluation,
        Exploration,
        Model,
        Scores,
        check,
        compare,
        distill,
        evaluate,
        explore_data,
        export,
        fit,
        grow,
        load,
        plan,
        score,
        write_report,
    )
    from nshot.core import Dataset, Interval, NshotError, Prediction, Task
    from nshot.spec import Method

_HOMES = {
    "Comparison": "nshot.api",
    "Dataset": "nshot.core",
    "Distillation": "nshot.api",
    "Evaluation": "nshot.api",
    "Exploration": "nshot.api",
    "Interval": "nshot.core",
    "Method": "nshot.spec",
    "Model": "nshot.api",
    "NshotError": "nshot.core",
    "Prediction": "nshot.core",
    "Scores": "nshot.api",
    "Task": "nshot.core",
    "check": "nshot.api",
    "compare": "nshot.api",
    "distill": "nshot.api",
    "evaluate": "nshot.api",
    "explore_data": "nshot.api",
    "export": "nshot.api",
    "fit": "nshot.api",
    "grow": "nshot.api",
    "load": "nshot.api",
    "plan": "nshot.api",
    "score": "nshot.api",
    "write_report": "nshot.api",
}

__all__ = [
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


def __getattr__(name: str) -> Any:
    """Load a public name on its first use, so that importing nshot costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'nshot' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
