from __future__ import annotations

import numpy as np
from safetensors.numpy import load_file

from nshot.core import Task, TaskKind
from nshot.study.worker import Setting, Worker


def test_answers_come_back_from_the_disk_whatever_way_they_lie_in_memory(tmp_path):
    setting = Setting(
        task=Task(TaskKind.GENERATE, metric="bleu"),
        train=None,
        test=None,
        unlabelled=None,
        draws={(0, 0): (np.arange(3), np.arange(3))},
        backbones=(),
        metric="bleu",
        metrics=("bleu",),
        cache=None,
        precision="fp32",
        device="cpu",
        threads=1,
        predictions=tmp_path,
        models=tmp_path,
    )
    columns = np.stack([np.arange(5.0), 10 * np.arange(5.0)], axis=1)
    stacked = np.asfortranarray(columns)
    assert not stacked.flags.c_contiguous
    Worker(setting, lambda *_: None)._write_predictions("run", {"metric.perplexity": stacked})
    assert np.array_equal(load_file(tmp_path / "run.safetensors")["metric.perplexity"], columns)
