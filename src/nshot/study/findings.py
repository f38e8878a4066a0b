"""The facts that the checks of runs look at, gathered from the evidence, the verdict and the data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nshot.backbones import FeatureCache, open_backbone
from nshot.core import BackboneRef, Check, Dataset, Prediction, Run, RunStatus
from nshot.evaluation.checks import audit_runs
from nshot.evaluation.checks.run_facts import Answers, Features, Fitting, Measured, Reading, RunAudit
from nshot.metrics import Metric
from nshot.study.evidence import Entrant, Evidence
from nshot.study.verdict import Verdict

if TYPE_CHECKING:
    from nshot.study.study import StudyData

_MOST_TEXTS_READ = 1_000
"""Tokenising a long text takes about a millisecond."""
_MOST_VECTORS = 1_000
"""Of the training and of the test rows each."""


@dataclass(frozen=True)
class Opened:
    """What the pick's backbone is opened again with.

    Attributes:
        refs: The backbones of the study.
        precision: The number format that was settled on; cached vectors are kept by it.
    """

    refs: Sequence[BackboneRef]
    precision: str

    def ref(self, entrant: Entrant) -> BackboneRef | None:
        """Return the backbone of a candidate, or None where it has none."""
        return next((ref for ref in self.refs if ref.name == entrant.backbone), None)


def findings(
    evidence: Evidence, verdict: Verdict, data: StudyData, metric: Metric, *, ledger: Iterable[Run], opened: Opened
) -> tuple[Check, ...]:
    """Return what the checks say of a study's runs, by code.

    Args:
        evidence: The completed runs.
        verdict: What was concluded from them.
        data: What was worked on.
        metric: The primary metric.
        ledger: Every run in the study's folder, those of earlier commands with other options among them.
        opened: How the backbones were opened.
    """
    return audit_runs(gathered(evidence, verdict, data, metric, ledger=ledger, opened=opened))


def gathered(
    evidence: Evidence, verdict: Verdict, data: StudyData, metric: Metric, *, ledger: Iterable[Run], opened: Opened
) -> RunAudit:
    """Return the facts; see `findings`."""
    design = evidence.design
    runs = [run for run in ledger if run.status == RunStatus.COMPLETE]
    answers = _answers(evidence, data, metric, verdict.pick, opened)
    return RunAudit(
        metric=metric,
        labels=data.task.labels,
        n_labels=design.n_train,
        n_test=design.n_test,
        fold_sizes=evidence.fold_sizes,
        pick=verdict.pick,
        candidates={
            name: _measured(evidence, metric, entrant, runs)
            for name, entrant in evidence.entrants.items()
            if evidence.sizes[name] and evidence.has(name, evidence.sizes[name][-1], metric)
        },
        detectable=verdict.record["smallest_detectable_difference"],
        detectable_rows=verdict.record["smallest_detectable_test_rows"],
        chance=_chance(evidence, data, metric),
        answers=answers,
        features=_features(evidence, data, opened.ref(evidence.entrants[verdict.pick]), opened) if answers else None,
    )


def _measured(evidence: Evidence, metric: Metric, entrant: Entrant, ledger: Sequence[Run]) -> Measured:
    name, sizes = entrant.name, evidence.sizes[entrant.name]
    own_rows, trials = None, None
    fittings = []
    for n in sizes:
        if not evidence.has(name, n, metric):
            continue
        completed = {(run.repeat, run.fold): run for run in evidence.completed(name, n)}
        for block in evidence.blocks(name, n, metric):
            run = completed.get((block.repeat, block.fold))
            if run is None:
                continue
            training = run.settings.get("training")
            fittings.append(Fitting(n, block, training["restarts"] if training else None))
            own_rows = evidence.arrays(run).get(f"own.{metric.name}", own_rows)
            trials = run.settings.get("trials", trials)
    n = sizes[-1]
    return Measured(
        name=name,
        method=entrant.method,
        family=entrant.family,
        n_labels=n,
        blocks=evidence.comparable(name, metric) if name in evidence.measured_today() else (),
        fittings=tuple(fittings),
        own_rows=own_rows,
        trials=trials,
        also_tried=tuple(dict.fromkeys(run.candidate for run in ledger if run.n_labels == n and _other(entrant, run))),
    )


def _other(entrant: Entrant, run: Run) -> bool:
    """Return whether a run is of the same method and backbone with other options."""
    end = f":{entrant.backbone}" if entrant.backbone else ""
    if run.candidate == entrant.name or not run.candidate.endswith(end):
        return False
    inner = run.candidate.removesuffix(end)
    return inner == entrant.method or (inner.startswith(f"{entrant.method}(") and inner.endswith(")"))


def _chance(evidence: Evidence, data: StudyData, metric: Metric) -> Mapping[tuple[int, int], float]:
    """Return the score of always giving the most frequent training label, by (repeat, fold)."""
    if not data.task.labels or metric.needs != "labels":
        return {}
    targets = (data.test or data.train).labelled_targets()
    most = Counter(data.train.labelled_targets()).most_common(1)[0][0]
    found: dict[tuple[int, int], float] = {}
    known: dict[bytes, float] = {}  # all repeats of a hold-out are tested on the same rows
    for draw in evidence.design.draws:
        key = draw.test.tobytes()
        if key not in known:
            constant = Prediction(labels=[most] * len(draw.test))
            known[key] = metric.score([targets[row] for row in draw.test.tolist()], constant, data.task)
        found[draw.repeat, draw.fold] = known[key]
    return found


def _answers(evidence: Evidence, data: StudyData, metric: Metric, pick: str, opened: Opened) -> Answers | None:
    """Return what the pick answered in the first repeat; None where it gives no labels of ours."""
    n = evidence.sizes[pick][-1]
    runs = [run for run in evidence.completed(pick, n) if run.repeat == 0]
    arrays = [evidence.arrays(run) for run in runs]
    if not data.task.labels or not runs or not all("label" in found for found in arrays):
        return None
    tested = data.test or data.train
    rows = np.concatenate([evidence.design.draw(run.repeat, run.fold).test for run in runs])
    index = data.task.index()
    targets = tested.labelled_targets()

    def joined(key: str) -> NDArray[np.float64] | None:
        if not all(key in found for found in arrays):
            return None
        return np.concatenate([found[key] for found in arrays]).astype(np.float64)

    statistics = joined(f"metric.{metric.name}")
    if statistics is None:
        return None
    groups = data.groups if data.test_groups is None else data.test_groups
    ref = opened.ref(evidence.entrants[pick])
    return Answers(
        file_rows=rows if data.file_rows is None else np.asarray(data.file_rows, dtype=np.int64)[rows],
        in_test=data.test is not None,
        groups=groups[rows],
        truth=np.array([index[targets[row]] for row in rows.tolist()], dtype=np.int64),
        answer=np.concatenate([found["label"] for found in arrays]).astype(np.int64),
        statistics=statistics,
        probabilities=joined("probabilities"),
        confidence=joined("confidence"),
        times=None if tested.times is None else np.array([tested.times[row] for row in rows.tolist()], dtype=float),
        reading=None if ref is None else _reading(tested, rows, ref),
    )


def _spread(n: int, most: int) -> NDArray[np.int64]:
    """Return at most so many of n positions, spread evenly: files are often sorted."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64))


def _reading(tested: Dataset, rows: NDArray[np.int64], ref: BackboneRef) -> Reading | None:
    """Return which of the tested texts the backbone does not read to the end."""
    from nshot.backbones.text_encoder import TextEncoder

    encoder = open_backbone(ref)
    if not isinstance(encoder, TextEncoder) or tested.modality not in encoder.modalities:
        return None
    most, prompt = encoder.settings.max_tokens, len(encoder.settings.prompt)
    at = _spread(len(rows), _MOST_TEXTS_READ)
    texts = [str(tested.examples[row]) for row in rows[at].tolist()]
    # A token has at least one byte, and two mark the ends: only texts of so many bytes can be too long.
    possible = [i for i, text in enumerate(texts) if len(text.encode("utf-8", "replace")) + prompt + 2 >= most]
    cut = np.zeros(len(at), dtype=bool)
    if possible:
        cut[possible] = [len(ids) >= most for ids in encoder.tokenize([texts[i] for i in possible])]
    return Reading(at, cut, most)


def _features(evidence: Evidence, data: StudyData, ref: BackboneRef | None, opened: Opened) -> Features | None:
    """Return cached vectors of some training and test rows; None without a given test, or where none are cached."""
    from nshot.backbones.text_encoder import TextEncoder

    if data.test is None or data.test_groups is None or ref is None:
        return None
    encoder = open_backbone(ref, cache=FeatureCache(), precision=opened.precision)
    if not isinstance(encoder, TextEncoder) or data.test.modality not in encoder.modalities:
        return None
    draw = evidence.design.draw(0, 0)
    learnt = draw.order[_spread(len(draw.order), _MOST_VECTORS)]
    at = _spread(len(draw.test), _MOST_VECTORS)
    texts = [
        [part.examples[row] for row in rows.tolist()]
        for part, rows in ((data.train, learnt), (data.test, draw.test[at]))
    ]
    if not all(encoder.first_cost(some) for some in texts):
        return None
    train, test = (encoder.embed(some) for some in texts)
    return Features(train, data.groups[learnt], test, data.test_groups[draw.test[at]], at)
