"""What Python users call; the command line calls the same."""

from nshot.api.checking import CheckedData, check
from nshot.api.comparing import CompareOptions, compare, plan
from nshot.api.evaluating import EvaluateOptions, Evaluation, evaluate
from nshot.api.fitting import FitOptions, fit, fit_dataset
from nshot.api.model import Course, Model, load
from nshot.api.reporting import Comparison, write_report

__all__ = [
    "CheckedData",
    "CompareOptions",
    "Comparison",
    "Course",
    "EvaluateOptions",
    "Evaluation",
    "FitOptions",
    "Model",
    "check",
    "compare",
    "evaluate",
    "fit",
    "fit_dataset",
    "load",
    "plan",
    "write_report",
]
