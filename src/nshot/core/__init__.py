"""Values and small protocols that every other layer speaks in. Standard library only."""

from nshot.core.backbone import Ability, Backbone, BackboneRef, Embeds, Generates, Scores, Trains
from nshot.core.check import Check, Severity
from nshot.core.context import FitContext, Progress, Track, silent, untracked
from nshot.core.dataset import Dataset, Example, Selection
from nshot.core.errors import (
    CheckFailedError,
    DataError,
    EnvironmentProblem,
    Interrupted,
    MissingExtraError,
    ModelError,
    NshotError,
    OptionError,
    OutOfMemoryError,
    OutputError,
    TrainingError,
    UnsupportedError,
    UsageProblem,
    closest,
)
from nshot.core.needs import Family, Needs
from nshot.core.prediction import Growable, Prediction, Predictor, Span, State
from nshot.core.run import Candidate, Cost, Interval, Run, RunStatus
from nshot.core.task import Task, TaskKind

__all__ = [
    "Ability",
    "Backbone",
    "BackboneRef",
    "Candidate",
    "Check",
    "CheckFailedError",
    "Cost",
    "DataError",
    "Dataset",
    "Embeds",
    "EnvironmentProblem",
    "Example",
    "Family",
    "FitContext",
    "Generates",
    "Growable",
    "Interrupted",
    "Interval",
    "MissingExtraError",
    "ModelError",
    "Needs",
    "NshotError",
    "OptionError",
    "OutOfMemoryError",
    "OutputError",
    "Prediction",
    "Predictor",
    "Progress",
    "Run",
    "RunStatus",
    "Scores",
    "Selection",
    "Severity",
    "Span",
    "State",
    "Task",
    "TaskKind",
    "Track",
    "TrainingError",
    "Trains",
    "UnsupportedError",
    "UsageProblem",
    "closest",
    "silent",
    "untracked",
]
