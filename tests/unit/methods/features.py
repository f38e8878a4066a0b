"""A backbone that looks its vectors up, and small made-up classes."""

from __future__ import annotations

import numpy as np

from nshot import methods, metrics
from nshot.core import Ability, BackboneRef, Dataset, FitContext, Task, TaskKind


class LookedUp:
    """Gives every example the vector written down for it."""

    modalities = frozenset({"text"})
    abilities = frozenset({Ability.EMBEDS})
    ref = BackboneRef("looked-up", sha256="0" * 64)

    def __init__(self, vectors):
        self.vectors = {example: np.asarray(vector, dtype=np.float32) for example, vector in vectors.items()}
        self.width = len(next(iter(self.vectors.values())))
        self.calls = 0

    def embed(self, examples):
        self.calls += 1
        return np.stack([self.vectors[example] for example in examples])


def heaps(labels=("red", "green", "blue"), per_class=20, width=8, noise=0.5, seed=0):
    """Return a task, labelled train and test examples around one centre per label, and their backbone.

    The name of a label lies at its centre.
    """
    rng = np.random.default_rng(seed)
    centres = {label: rng.normal(size=width) for label in labels}
    vectors, columns = dict(centres), {"train": ([], []), "test": ([], [])}
    for part, (examples, targets) in columns.items():
        for i in range(per_class):
            for label in labels:
                example = f"{part} {label} {i}"
                vectors[example] = centres[label] + noise * rng.normal(size=width)
                examples.append(example)
                targets.append(label)
    train, test = (Dataset(examples, targets=targets, name=part) for part, (examples, targets) in columns.items())
    return Task(TaskKind.CLASSIFY, tuple(sorted(labels))), train, test, LookedUp(vectors)


def context(task, metric=None, seed=0):
    judged = metrics.get(metric or task.metric)
    sign = 1 if judged.higher_is_better else -1
    return FitContext(objective=lambda targets, answers: sign * judged.score(targets, answers, task), seed=seed)


def fit(name, task, train, backbone, *, metric=None, seed=0, pool=None, **options):
    pool = train.without_targets() if pool is None else pool
    return methods.build(name, options).fit(task, train, pool, backbone, context(task, metric, seed))


def accuracy(predictor, test):
    answers = predictor.predict(test.examples).labels
    return float(np.mean([answer == target for answer, target in zip(answers, test.targets, strict=True)]))


def restored(name, predictor, backbone, **options):
    return methods.build(name, options).restore(predictor.task, predictor.state(), lambda ref: backbone)


def slope(n=60, width=6, noise=0.1, centre=0.0, seed=0):
    """Return a regression, train and test examples whose value is a linear function of their vector, and a backbone."""
    rng = np.random.default_rng(seed)
    weights, vectors, parts = rng.normal(size=width), {}, []
    for part in ("train", "test"):
        values = []
        for i in range(n):
            vector = rng.normal(size=width)
            vectors[f"{part} {i}"] = vector
            values.append(centre + float(vector @ weights + noise * rng.normal()))
        parts.append(Dataset([f"{part} {i}" for i in range(n)], targets=values, name=part))
    return Task(TaskKind.REGRESS, metric="mae"), *parts, LookedUp(vectors)


def explained(predictor, test):
    """Return R2."""
    truth = np.asarray(list(test.targets))
    return 1 - np.square(truth - predictor.predict(test.examples).values).mean() / truth.var()
