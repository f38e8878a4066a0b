"""Predictors on disk: a folder of data files that anyone may open without running anything that stands in it.

::

    model/
      manifest.json          what it is: method, options, task, backbone, score, and the hash of every file below
      settings.json          what the fit learnt and chose that is no array
      tensors.safetensors    arrays; absent where there are none
      blobs/NAME             data in a documented format (UBJSON, ONNX ...); absent where there are none
      README.md              the same for people; not read back, so it may be edited
"""

from nshot.bundle.loading import Bundle, load, read_manifest
from nshot.bundle.manifest import BundleInfo, Manifest, MeasuredScore
from nshot.bundle.round_trip import check_round_trip
from nshot.bundle.saving import save

__all__ = [
    "Bundle",
    "BundleInfo",
    "Manifest",
    "MeasuredScore",
    "check_round_trip",
    "load",
    "read_manifest",
    "save",
]
