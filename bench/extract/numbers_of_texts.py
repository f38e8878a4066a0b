"""Entity F1 of each method by the number of labelled texts, on files of tokens with tags.

    python bench/extract/numbers_of_texts.py TRAIN TEST --methods linear_probe,lora --numbers 64,256,1024

The training texts are the first n of one random order, the same for all methods; n = 0 stands for all. The intervals
cover the test texts. A line per fit on standard output.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np

from nshot import metrics
from nshot.backbones import open_backbone
from nshot.core import BackboneRef, Computes, FitContext
from nshot.data.reading import read
from nshot.evaluation.intervals import Block, estimate
from nshot.methods import build


def main() -> None:
    """Fit, answer, score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("--methods", default="seen_spans,word_features,linear_probe")
    parser.add_argument("--numbers", default="64,256,1024,0")
    parser.add_argument("--backbone", default="all-MiniLM-L6-v2")
    asked = parser.parse_args()
    source = read(asked.train)
    test = read(asked.test, like=source).dataset
    metric = metrics.get("entity_f1")
    task = replace(source.task, metric=metric.name)
    backbone = open_backbone(BackboneRef(asked.backbone))
    precision = backbone.precision if isinstance(backbone, Computes) else "fp32"
    context = FitContext(
        objective=lambda targets, prediction: metric.score(targets, prediction, task), precision=precision
    )
    order = np.random.default_rng(0).permutation(len(source.dataset))
    for name in asked.methods.split(","):
        method = build(name)
        for number in map(int, asked.numbers.split(",")):
            train = source.dataset.take(order[: number or None])
            began = time.perf_counter()
            own = backbone if method.needs.abilities else None
            predictor = method.fit(task, train, train.without_targets(), own, context)
            fitted = time.perf_counter()
            answers = predictor.predict(test.examples)
            done = time.perf_counter()
            statistics = metric.statistics(test.labelled_targets(), answers, task)
            found = estimate([Block(0, 0, np.arange(len(test)), statistics)], metric, rho=None, target="this model")
            ends = "" if found.interval is None else f"[{found.interval.low:.3f}, {found.interval.high:.3f}]"
            print(
                f"{name:14} n = {len(train):5,}  F1 {found.score:.3f} {ends}  fit {fitted - began:.1f} s, "
                f"{1000 * (done - fitted) / len(test):.2f} ms a text",
                flush=True,
            )


if __name__ == "__main__":
    main()
