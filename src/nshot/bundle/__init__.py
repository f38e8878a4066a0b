"""Predictors on disk: a folder of data files that anyone may open without running anything that stands in it.

::

    model/
      manifest.json          what it is: method, options, task, backbone, score, and the hash of every file below
      settings.json          what the fit learnt and chose that is no array
      tensors.safetensors    arrays; absent where there are none
      blobs/NAME             data in a documented format (UBJSON, ONNX ...); absent where there are none
      config.json, ...       the files that transformers or peft want of a language model that was trained, whose arrays
                             are then in model.safetensors or adapter_model.safetensors: these libraries open the folder
      README.md              the same for people; not read back, so it may be edited
      training.html          how the training went, for people; not read back; absent where nothing was trained
"""

from nshot.bundle.agreement import READ_BACK, Agreement
from nshot.bundle.answering import answer
from nshot.bundle.growing import Grown, LabelGiven, grow, require_growable
from nshot.bundle.loading import Bundle, load, manifest_sha256, read_manifest
from nshot.bundle.manifest import (
    TRAINING,
    BundleInfo,
    ColumnRecord,
    DistillationRecord,
    GrowthRecord,
    Manifest,
    MeasuredScore,
)
from nshot.bundle.reference import FeatureSpread, Reference
from nshot.bundle.round_trip import check_round_trip, verify
from nshot.bundle.saving import require_writable, save

__all__ = [
    "READ_BACK",
    "TRAINING",
    "Agreement",
    "Bundle",
    "BundleInfo",
    "ColumnRecord",
    "DistillationRecord",
    "FeatureSpread",
    "Grown",
    "GrowthRecord",
    "LabelGiven",
    "Manifest",
    "MeasuredScore",
    "Reference",
    "answer",
    "check_round_trip",
    "grow",
    "load",
    "manifest_sha256",
    "read_manifest",
    "require_growable",
    "require_writable",
    "save",
    "verify",
]
