"""What a run costs, measured by the worker itself on a tiny encoder."""

from __future__ import annotations

import numpy as np
import pytest

from nshot.backbones import FeatureCache, open_backbone
from nshot.backbones.cache import text_digest
from nshot.core import Dataset, Task, TaskKind, silent
from nshot.evaluation.protocol import Draw
from nshot.study.worker import Fit, Setting, Worker
from unit.backbones.tiny import write_bert

TEXTS = [f"where is my {word} {i}" for i in range(12) for word in ("card", "money")]
TARGETS = ["card", "money"] * 12
SECONDS = 100.0
"""What computing the features of one text took, says the cache."""


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    folder = tmp_path_factory.mktemp("worker")
    model = write_bert(folder / "tiny", pooling={"pooling_mode_mean_tokens": True})
    cache = FeatureCache(folder / "cache")
    encoder = open_backbone(str(model), cache=cache, precision="fp32", device="cpu")
    cache.add(encoder._cache_key, [text_digest(text) for text in TEXTS], encoder.uncached().embed(TEXTS), SECONDS)
    for name in ("predictions", "models"):
        (folder / name).mkdir()
    data = Dataset(TEXTS, "text", TARGETS, name="tiny")
    setting = Setting(
        task=Task(TaskKind.CLASSIFY, ("card", "money")),
        train=data,
        test=None,
        unlabelled=None,
        draws={(0, 0): Draw(0, 0, np.arange(16), np.arange(16, 24))},
        backbones=(encoder.ref,),
        metric="accuracy",
        metrics=("accuracy",),
        cache=folder / "cache",
        precision="fp32",
        device="cpu",
        threads=1,
        predictions=folder / "predictions",
        models=folder / "models",
    )
    return Worker(setting, silent), encoder.ref


def cost_of(worker, method, *, latency=True, **options):
    at_work, ref = worker
    request = Fit(method, method, options, None if method == "majority" else ref, 16, 0, 0, 0, latency=latency)
    return at_work.fit(request).cost


def test_cached_features_are_not_free_but_are_timed_without_the_cache(worker):
    cost = cost_of(worker, "linear_probe")
    assert cost.fit_seconds > 16 * SECONDS
    assert cost.predict_seconds > 8 * SECONDS
    assert cost.milliseconds_alone < 1_000, "computed anew, not told by the cache"
    assert cost.examples_per_second > 1


def test_a_trained_network_answers_from_its_own_features(worker):
    cost = cost_of(worker, "full_finetune", epochs=1)
    assert cost.predict_seconds < SECONDS, "no cached feature has a part in it"
    assert cost.milliseconds_alone < 1_000


def test_what_has_to_be_there_is_measured(worker):
    probe, majority = cost_of(worker, "linear_probe"), cost_of(worker, "majority")
    files = sum(path.stat().st_size for path in _files(worker[1].id))
    assert probe.shipped_bytes == probe.artefact_bytes + files
    assert probe.tokens_per_example == pytest.approx(7, abs=1.5)
    assert majority.shipped_bytes == majority.artefact_bytes
    assert majority.tokens_per_example is None


def test_speed_is_measured_only_where_it_is_asked_for(worker):
    cost = cost_of(worker, "linear_probe", latency=False)
    assert cost.milliseconds_alone is None
    assert cost.examples_per_second is None
    assert cost.shipped_bytes is None


def _files(folder):
    from nshot.backbones.locate import locate
    from nshot.core import BackboneRef

    return locate(BackboneRef(folder)).files()
