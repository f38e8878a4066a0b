"""Labelled anomalies and unlabelled rows as two classes.

Of `detect`, n counts labelled anomalies: a fit is given n of them, and a pool without a label, most of which is normal.
What learns from labels takes the pool for normal; the anomalies that hide in it then count as mislabelled rows, as they
do in practice, and as in the benchmark of Han et al. (ADBench, 2022).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nshot.core import DataError, Dataset, Prediction, Task, TaskKind
from nshot.data.rows import joined

ANOMALY, NORMAL = "anomaly", "normal"


def two_classes(task: Task) -> Task:
    """Return the classification that stands for this detection."""
    return replace(task, kind=TaskKind.CLASSIFY, labels=(ANOMALY, NORMAL), metric="macro_f1", names_say_something=False)


def against_the_pool(train: Dataset, pool: Dataset) -> Dataset:
    """Return the labelled anomalies, then the pool, with their classes as targets.

    Args:
        train: n examples, targets true of an anomaly.
        pool: Examples without targets, none of which is in `train`.
    """
    marked = [ANOMALY if is_anomaly else NORMAL for is_anomaly in train.labelled_targets()] if len(train) else []
    return Dataset(
        joined(train.examples, pool.examples),
        pool.modality,
        targets=[*marked, *[NORMAL] * len(pool)],
        name=train.name,
    )


def labelled_anomalies(train: Dataset, method: str) -> Dataset:
    """Return the labelled rows that are anomalies.

    Args:
        train: n examples, targets true of an anomaly.
        method: Who asks, for the message.

    Raises:
        DataError: There is none.
    """
    found = train.where(bool)
    if not len(found):
        raise DataError(
            f"{method} learns from labelled anomalies; of the {len(train):,} labelled rows of {train.name} none is one."
            " Label one, or use a method that needs none: isolation_forest."
        )
    return found


def scores(prediction: Prediction) -> Prediction:
    """Return anomaly scores, shape (n,), from the probabilities of the two classes: their log-odds."""
    if prediction.probabilities is None:
        raise ValueError("probabilities are needed for a score")
    odds = np.asarray(prediction.probabilities, dtype=np.float64)
    tiny = np.finfo(np.float64).tiny
    return Prediction(scores=np.log(np.maximum(odds[:, 0], tiny)) - np.log(np.maximum(odds[:, 1], tiny)))
