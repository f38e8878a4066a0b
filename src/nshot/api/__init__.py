"""What Python users call; the command line calls the same."""

from nshot.api.chatting import Chat, ChatOptions, chat
from nshot.api.checking import CheckedData, check
from nshot.api.comparing import CompareOptions, compare, plan
from nshot.api.distilling import Distillation, DistillOptions, distill
from nshot.api.evaluating import EvaluateOptions, Evaluation, evaluate
from nshot.api.exploring import Exploration, ExploreOptions, explore_data
from nshot.api.exporting import Export, ExportOptions, export
from nshot.api.fitting import FitOptions, fit, fit_dataset
from nshot.api.growing import GrowOptions, Growth, grow
from nshot.api.model import Course, Model, load
from nshot.api.pushing import PushOptions, Upload, prepare_push, push
from nshot.api.reporting import Comparison, write_report
from nshot.api.scoring import ScoreOptions, Scores, score
from nshot.api.serving import ServeOptions, serve

__all__ = [
    "Chat",
    "ChatOptions",
    "CheckedData",
    "CompareOptions",
    "Comparison",
    "Course",
    "DistillOptions",
    "Distillation",
    "EvaluateOptions",
    "Evaluation",
    "Exploration",
    "ExploreOptions",
    "Export",
    "ExportOptions",
    "FitOptions",
    "GrowOptions",
    "Growth",
    "Model",
    "PushOptions",
    "ScoreOptions",
    "Scores",
    "ServeOptions",
    "Upload",
    "chat",
    "check",
    "compare",
    "distill",
    "evaluate",
    "explore_data",
    "export",
    "fit",
    "fit_dataset",
    "grow",
    "load",
    "plan",
    "prepare_push",
    "push",
    "score",
    "serve",
    "write_report",
]
