"""What the candidates wrote, and what training made them forget: for the report."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nshot import metrics
from nshot.core import Family
from nshot.evaluation.intervals import t_quantile
from nshot.metrics import Metric
from nshot.study.evidence import Evidence
from nshot.study.general_text import pairs
from nshot.study.worker import of_bytes

_OF_EACH_KIND = 8
"""So many of the pick's best and worst answers are shown, and so many drawn at random."""
_LONGEST_TEXT = 20_000
_BY_SENTENCE = "chrf"
"""Orders single answers where the primary metric is one of all answers together."""


def texts_record(evidence: Evidence, metric: Metric, pick: str, others: list[str]) -> dict[str, Any]:
    """Return answers of the pick and of the other candidates to the same inputs; empty where none were written.

    Args:
        evidence: The completed runs.
        metric: The primary metric.
        pick: Whose answers decide what is shown.
        others: The other candidates, the best first.
    """
    judge = metric if metric.is_mean else metrics.get(_BY_SENTENCE)
    own = _answers(evidence, pick, judge)
    if own is None:
        return {}
    rows, scores = own.rows, own.scores
    order = np.argsort(-scores if judge.higher_is_better else scores, kind="stable")
    drawn = np.random.default_rng(0).permutation(len(rows))
    chosen: dict[int, str] = {}
    for why, places in (("random", drawn), ("worst", order[::-1]), ("best", order)):
        new = [int(at) for at in places if int(at) not in chosen][:_OF_EACH_KIND]
        chosen.update(dict.fromkeys(new, why))
    everybody = {name: found for name in (pick, *others) if (found := _answers(evidence, name, judge)) is not None}
    records = []
    for at, why in chosen.items():
        row = int(rows[at])
        answers = {name: found.record(row) for name, found in everybody.items() if row in found.places}
        records.append({"row": row, "why": why, "answers": answers})
    return {"candidates": list(everybody), "metric": judge.name, "rows": records}


class _Answers:
    """What one candidate wrote in its first repeat."""

    def __init__(self, rows: NDArray[np.int64], texts: list[str], stopped: list[bool], scores: NDArray[Any]) -> None:
        self.rows = rows
        self.scores = scores
        self._texts = texts
        self._stopped = stopped
        self.places = {int(row): at for at, row in enumerate(rows)}

    def record(self, row: int) -> dict[str, Any]:
        at = self.places[row]
        text, score = self._texts[at][:_LONGEST_TEXT], round(float(self.scores[at]), 4)
        return {"text": text, "score": score, "stopped": self._stopped[at]}


def _answers(evidence: Evidence, name: str, judge: Metric) -> _Answers | None:
    if not evidence.sizes[name]:
        return None
    runs = [run for run in evidence.completed(name, evidence.sizes[name][-1]) if run.repeat == 0]
    arrays = [evidence.arrays(run) for run in runs]
    key = f"metric.{judge.name}"
    if not runs or not all("texts" in found and key in found for found in arrays):
        return None
    texts = [text for found in arrays for text in of_bytes(found["texts"])]
    stopped = [bool(one) for found in arrays for one in found.get("stopped", np.ones(len(found[key])))]
    statistics = np.concatenate([found[key] for found in arrays]).astype(np.float64)
    scores = judge.aggregate_many(statistics, np.eye(len(statistics))) if len(statistics) else np.zeros(0)
    rows = np.concatenate([evidence.design.draw(run.repeat, run.fold).test for run in runs])
    return _Answers(rows, texts, stopped, scores)


def forgetting_records(evidence: Evidence) -> list[dict[str, Any]]:
    """Return what training did to answers that have nothing to do with the data, in bits per byte of these answers.

    Of each candidate that trained a language model, against the same model as it is.
    """
    sizes = np.array([len(answer.encode()) for _, answer in pairs()], dtype=np.float64)
    found = {name: bits / sizes for name in evidence.entrants if (bits := _general_bits(evidence, name)) is not None}
    untouched = {
        evidence.entrants[name].backbone: name for name in found if evidence.entrants[name].family == Family.ZERO_SHOT
    }
    records = []
    for name, after in found.items():
        entrant = evidence.entrants[name]
        before = untouched.get(entrant.backbone)
        if before is None or entrant.family != Family.FINE_TUNING:
            continue
        change = after - found[before]
        mean, half = change.mean(), t_quantile(0.975, len(change) - 1) * change.std(ddof=1) / np.sqrt(len(change))
        records.append(
            {
                "candidate": name,
                "before": round(float(found[before].mean()), 4),
                "after": round(float(after.mean()), 4),
                "change": round(float(mean), 4),
                "interval": [round(float(mean - half), 4), round(float(mean + half), 4)],
                "unit": "bits per byte",
                "text": f"{len(pairs())} questions about the world with their answers",
            }
        )
    return records


def _general_bits(evidence: Evidence, name: str) -> NDArray[np.float64] | None:
    """Return the bits that each general answer takes, or None where nobody asked."""
    if not evidence.sizes[name]:
        return None
    for run in evidence.completed(name, evidence.sizes[name][-1]):
        known = evidence.arrays(run).get("general")
        if known is not None and len(known) == len(pairs()):
            return np.asarray(-known[:, 0] / np.log(2.0), dtype=np.float64)
    return None
