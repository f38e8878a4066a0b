"""What `compare` does for `compress`: every method at several rates, and which is best at the one that was asked for.

Methods write other numbers of bits than they were asked to, by a little on new examples, and image files at the
qualities that there are. They are therefore compared at exactly one rate: a method is taken to use its two settings
next to that rate for a share of the examples each, so that the mean of the bits is the rate. Its score is then the same
mean of the two settings' scores, of every example, which keeps the comparison paired. A method whose fewest bits are
more than the rate is not compared.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from nshot import methods, metrics
from nshot.core import (
    Backbone,
    Candidate,
    Codec,
    Cost,
    Dataset,
    Family,
    FitContext,
    NshotError,
    OptionError,
    OutOfMemoryError,
    Prediction,
    Task,
    TaskKind,
    TrainingError,
    UnsupportedError,
)
from nshot.evaluation.comparison import corrected_score, paired_difference
from nshot.evaluation.intervals import Block, estimate
from nshot.metrics import Array, Metric
from nshot.spec import Method
from nshot.study.options import StudyOptions
from nshot.study.pick import Standing, rule, standings

if TYPE_CHECKING:
    from nshot.core import Interval
    from nshot.study.watch import Watch

_FILES = ("jpeg", "webp")
_WHOLE = {"whole_files": True}


@dataclass(frozen=True, eq=False)
class Setting:
    """One method fitted for one rate, and what came of it on the test examples.

    Attributes:
        asked: The rate that it was fitted for.
        codec: What compresses.
        prediction: On the test.
        statistics: By metric, shape (n, 1).
        encode_seconds: For all test examples.
        decode_seconds: For all test examples.
        fit_seconds: Wall time of the fit.
    """

    asked: float
    codec: Codec
    prediction: Prediction
    statistics: Mapping[str, Array]
    encode_seconds: float
    decode_seconds: float
    fit_seconds: float


@dataclass(frozen=True, eq=False)
class Entrant:
    """A method and its settings, the one with the fewest bits first.

    Attributes:
        candidate: Its name, family and options apart from the rate.
        method: As it was fitted for the rate that was asked for.
        settings: At least one.
    """

    candidate: Candidate
    method: Method
    settings: tuple[Setting, ...]


@dataclass
class Measured:
    """All that was measured.

    Attributes:
        entrants: By name.
        targets: The test examples as arrays.
        metric: What ranks.
        bits: What tells the rate.
        skipped: Records of what was left out, with the reason.
    """

    entrants: dict[str, Entrant]
    targets: Sequence[Array]
    metric: Metric
    bits: Metric
    skipped: list[dict[str, Any]] = field(default_factory=list)


def candidates(task: Task, options: StudyOptions, backbone: Backbone | None, pool: Dataset) -> list[Method]:
    """Return the methods to compare, each for some rate; image files also as whole files.

    Raises:
        OptionError: A name is unknown, or no method is left.
    """
    given = options.method_options()
    named = options.methods or tuple(name for name in methods.names() if _is_usual(name, task, backbone, pool))
    found: list[Method] = []
    for name in dict.fromkeys((*named, *options.also)):
        if name in options.without:
            continue
        method = methods.build(name, given.get(name))
        reason = method.supports(task, backbone)
        if reason is not None:
            raise OptionError(f"{reason} Leave it out.")
        found.append(method)
        if name in _FILES and "whole_files" not in method.model_fields_set and not options.methods:
            found.append(method.model_copy(update=_WHOLE))
    if not found:
        raise OptionError("No method is left to compare. Name some with --methods, or leave out fewer.")
    return found


def _is_usual(name: str, task: Task, backbone: Backbone | None, pool: Dataset) -> bool:
    kind = methods.get(name)
    # What a backbone makes of examples are vectors, whatever they were.
    modality = pool.modality if backbone is None else "row"
    return task.kind in kind.needs.tasks and kind.by_default and modality in kind.needs.modalities


def measure(
    task: Task,
    pool: Dataset,
    test: Dataset,
    targets: Sequence[Array],
    *,
    backbone: Backbone | None,
    options: StudyOptions,
    rates: Sequence[float],
    rate: float,
    context: FitContext,
    watch: Watch,
) -> Measured:
    """Fit every method at every rate, and compress the test examples.

    Args:
        task: `compress`.
        pool: What is learnt from; never a test example.
        test: n examples.
        targets: They as arrays.
        backbone: What makes vectors of the examples, or None where they are compressed themselves.
        options: Which methods, and the seed.
        rates: The rates to fit for.
        rate: The one of them that decides.
        context: For the fits.
        watch: Shown what is going on.

    Raises:
        OptionError: No method is left.
    """
    is_image = targets[0].ndim > 1
    metric = metrics.deciding(options.metric or ("psnr" if is_image else "lost_variance"))
    bits = metrics.get("bits_per_pixel" if is_image else "bits_per_value")
    found = Measured({}, targets, metric, bits)
    planned = candidates(task, options, backbone, pool)
    others = [metrics.get(name) for name in (("psnr", "ssim") if is_image else ("lost_variance",))]
    judges = {one.name: one for one in (metric, *others, bits)}
    settings: dict[str, list[Setting]] = {}
    late: dict[str, list[float]] = {}
    by_name = {_candidate(method, backbone).name: method for method in planned}
    runs = _in_order(by_name, rates, rate)
    began = time.perf_counter()
    for done, (name, asked) in enumerate(runs):
        watch.progress(f"{name} at {asked:g} bits", done, len(runs))
        if time.perf_counter() - began > options.budget and (by_name[name].trains_network or settings.get(name)):
            late.setdefault(name, []).append(asked)
            continue
        method = by_name[name].model_copy(update={"rate": asked})
        try:
            own = _setting(method, asked, task, pool, test, targets, backbone, judges, context)
            settings.setdefault(name, []).append(own)
        except (UnsupportedError, TrainingError, OutOfMemoryError) as error:
            found.skipped.append({"candidate": name, "n_labels": 0, "reason": f"at {asked:g} bits: {error}"})
    watch.progress("", len(runs), len(runs))
    for name, rates_left in late.items():
        listed = ", ".join(f"{asked:g}" for asked in sorted(rates_left))
        reason = f"for {listed} bits it would not fit the budget of {options.budget:g} s (--budget)"
        found.skipped.append({"candidate": name, "n_labels": 0, "reason": reason})
    for name, fitted in settings.items():
        fitted.sort(key=lambda one: float(one.statistics[bits.name].mean()))
        method = by_name[name].model_copy(update={"rate": rate})
        found.entrants[name] = Entrant(_candidate(method, backbone), method, tuple(fitted))
    if not found.entrants:
        reasons = "; ".join(one["reason"] for one in found.skipped)
        raise NshotError(f"No method could compress these examples: {reasons}")
    return found


def _in_order(planned: Mapping[str, Method], rates: Sequence[float], rate: float) -> list[tuple[str, float]]:
    """Return what is run: every method at the rate and beside it before any is run elsewhere; what trains last."""
    near = {rate, max(other for other in rates if other < rate), min(other for other in rates if other > rate)}
    names = sorted(planned, key=lambda name: (planned[name].family is not Family.BASELINE, name))
    runs = [(name, asked) for name in names for asked in rates]
    return sorted(runs, key=lambda run: (run[1] not in near, planned[run[0]].trains_network, run[1] != rate))


def _candidate(method: Method, backbone: Backbone | None) -> Candidate:
    options = {name: value for name, value in method.changed().items() if name != "rate"}
    ref = None if backbone is None else backbone.ref
    return Candidate(type(method).method_name(), type(method).family, options, ref)


def _setting(
    method: Method,
    asked: float,
    task: Task,
    pool: Dataset,
    test: Dataset,
    targets: Sequence[Array],
    backbone: Backbone | None,
    judges: Mapping[str, Metric],
    context: FitContext,
) -> Setting:
    began = time.perf_counter()
    codec = method.fit(task, pool.take(()), pool, backbone, context)
    if not isinstance(codec, Codec):
        raise UnsupportedError(f"{type(method).method_name()} writes nothing that could be read back.")
    fitted = time.perf_counter()
    written = codec.encode(test.examples)
    encoded = time.perf_counter()
    decoded = codec.decode(written)
    read = time.perf_counter()
    prediction = Prediction(decoded=decoded, bits=np.array([8 * len(one) for one in written], dtype=np.float64))
    statistics = {name: judge.statistics(targets, prediction, task) for name, judge in judges.items()}
    return Setting(asked, codec, prediction, statistics, encoded - fitted, read - encoded, fitted - began)


# ------------------------------------------------------------------------------------------- at one rate


@dataclass(frozen=True, eq=False)
class AtRate:
    """How a method does at exactly the rate.

    Attributes:
        statistics: By metric, shape (n, 1): the mixture of the two settings next to the rate.
        nearest: The setting that was fitted for the rate; what is handed over.
        reached: The bits it writes in the mean, the rate or fewer.
    """

    statistics: Mapping[str, Array]
    nearest: Setting
    reached: float


def at_rate(entrant: Entrant, rate: float, bits: str) -> AtRate | None:
    """Return how a method does at this rate, or None where it was not fitted for it or cannot write so few bits."""
    means = [float(one.statistics[bits].mean()) for one in entrant.settings]
    nearest = next((one for one in entrant.settings if one.asked == rate), None)
    if nearest is None or means[0] > rate:
        return None
    at = max(i for i, mean in enumerate(means) if mean <= rate)
    below = entrant.settings[at]
    if at + 1 == len(means):
        return AtRate(below.statistics, nearest, means[at])
    share = (rate - means[at]) / (means[at + 1] - means[at])
    above = entrant.settings[at + 1]
    mixed = {name: (1 - share) * below.statistics[name] + share * above.statistics[name] for name in below.statistics}
    return AtRate(mixed, nearest, rate)


def conclude(measured: Measured, rate: float, options: StudyOptions, n_pool: int) -> tuple[dict[str, Any], str]:
    """Return the content of ``verdict.json`` (without checks, seconds and the model), and the name of the pick.

    Raises:
        OptionError: No method writes so few bits.
    """
    metric, bits = measured.metric, measured.bits
    found = {name: at_rate(entrant, rate, bits.name) for name, entrant in measured.entrants.items()}
    able = {name: one for name, one in found.items() if one is not None}
    for name in found.keys() - able.keys():
        fewest = float(measured.entrants[name].settings[0].statistics[bits.name].mean())
        if fewest > rate:
            reason = f"writes at least {fewest:.2f} bits, and {rate:g} {'was' if rate == 1 else 'were'} asked for"
            measured.skipped.append({"candidate": name, "n_labels": 0, "reason": reason})
    if not able:
        raise OptionError(f"No method writes as few as {rate:g} bits. Ask for more: --rate.")
    blocks = {name: [_block(one.statistics[metric.name])] for name, one in able.items()}
    standing = standings(blocks, metric, target="this model", rho=1.0, fold_sizes=(None, None))
    costs = {name: _cost(one.nearest, len(measured.targets)) for name, one in able.items()}
    families = {name: measured.entrants[name].candidate.family for name in able}
    made, _ = rule(standing, families, costs, metric, options, bills={})
    scores = {name: one.adjusted for name, one in standing.items()}
    pick = made(scores)
    corrected = corrected_score(blocks, metric, made, scores=scores, target="this model", seed=options.seed)
    own = estimate(blocks[pick], metric, rho=1.0, target="this model")
    shift = corrected.corrected - own.score
    rows = [_row(measured, name, able[name], standing[name], costs[name], blocks, pick) for name in able]
    sign = 1.0 if metric.higher_is_better else -1.0
    rows.sort(key=lambda row: (-sign * row["score"], row["candidate"]))
    candidate = measured.entrants[pick].candidate
    record = {
        "schema": 1,
        "task": TaskKind.COMPRESS.value,
        "metric": metric.name,
        "point": metric.point,
        "rate": rate,
        "rate_metric": bits.name,
        "n_labels": 0,
        "n_pool": n_pool,
        "n_test": len(measured.targets),
        "model_n_labels": 0,
        "pick": {
            "candidate": pick,
            "method": candidate.method,
            "family": candidate.family.value,
            "backbone": candidate.backbone and candidate.backbone.name,
            "options": {**candidate.options, "rate": rate},
            "n_labels": 0,
            "target": "this model",
            "score": round(corrected.corrected, 6),
            "interval": _ends(own.interval, shift),
            "score_as_measured": round(own.score, 6),
            "picks": {name: round(share, 4) for name, share in corrected.picks.items()},
            "writes": round(float(able[pick].nearest.statistics[bits.name].mean()), 6),
        },
        "because": [],
        "leaderboard": rows,
        "rates": [
            _point(measured, name, one) for name, entrant in measured.entrants.items() for one in entrant.settings
        ],
        "crossovers": [],
        "more_labels": [],
        "smallest_detectable_difference": None,
        "skipped": measured.skipped,
    }
    return record, pick


def _block(statistics: Array) -> Block:
    return Block(0, 0, np.arange(len(statistics)), statistics)


def _ends(interval: Interval | None, shift: float = 0.0) -> list[float] | None:
    return None if interval is None else [round(interval.low + shift, 6), round(interval.high + shift, 6)]


def _cost(setting: Setting, n: int) -> Cost:
    seconds = setting.encode_seconds + setting.decode_seconds
    state = setting.codec.state()
    size = sum(array.nbytes for array in state.tensors.values())
    return Cost(setting.fit_seconds, seconds, 1000 * seconds / n, artefact_bytes=size)


def _scores(statistics: Mapping[str, Array]) -> dict[str, Any]:
    scores = {}
    for name, values in statistics.items():
        found = estimate([_block(values)], metrics.get(name), rho=1.0, target="this model")
        scores[name] = {"score": round(found.score, 6), "interval": _ends(found.interval)}
    return scores


def _row(
    measured: Measured,
    name: str,
    found: AtRate,
    standing: Standing,
    cost: Cost,
    blocks: Mapping[str, Sequence[Block]],
    pick: str,
) -> dict[str, Any]:
    candidate, metric = measured.entrants[name].candidate, measured.metric
    scores = _scores(found.statistics)
    versus = standing.versus
    difference = None
    if name != pick:
        paired = paired_difference(blocks[name], blocks[pick], metric, rho=1.0, target="this model")
        difference = {"mean": round(paired.mean, 6), "interval": _ends(paired.interval)}
    n = len(measured.targets)
    return {
        "candidate": name,
        "method": candidate.method,
        "family": candidate.family.value,
        "backbone": candidate.backbone and candidate.backbone.name,
        "options": dict(candidate.options),
        "n_labels": 0,
        "repeats": 1,
        "target": "this model",
        "score": scores[metric.name]["score"],
        "interval": scores[metric.name]["interval"],
        "scores": scores,
        "versus_best": {"mean": round(versus.mean, 6), "interval": _ends(versus.interval)},
        "versus_pick": difference,
        "distinguishable": versus.distinguishable,
        "status": "complete",
        "reached": round(found.reached, 6),
        "fit_seconds": round(cost.fit_seconds, 4),
        "encode_milliseconds": round(1000 * found.nearest.encode_seconds / n, 4),
        "decode_milliseconds": round(1000 * found.nearest.decode_seconds / n, 4),
        "milliseconds_per_example": round(cost.milliseconds_per_example, 4),
        "peak_memory_bytes": None,
        "artefact_bytes": cost.artefact_bytes,
        "money": None,
    }


def _point(measured: Measured, name: str, setting: Setting) -> dict[str, Any]:
    family = measured.entrants[name].candidate.family
    return {
        "candidate": name,
        "family": family.value,
        "asked": setting.asked,
        "scores": _scores(setting.statistics),
    }


def bits_for(entrant: Entrant, score: float, metric: Metric, bits: str) -> float | None:
    """Return how many bits a method takes for this score, between its settings; None outside of them."""
    points = [
        (float(one.statistics[bits].mean()), float(one.statistics[metric.name].mean())) for one in entrant.settings
    ]
    for (few, worse), (many, better) in pairwise(points):
        if min(worse, better) <= score <= max(worse, better) and worse != better:
            return few + (score - worse) / (better - worse) * (many - few)
    return None


def is_file(entrant: Entrant) -> bool:
    """Return whether a method writes image files."""
    return entrant.candidate.family is Family.BASELINE and entrant.candidate.method in _FILES


Judge = Callable[[Array], Sequence[str]]
"""Vectors, shape (n, d), to labels."""


def lost_answers(
    answered: Judge, truth: Sequence[str], targets: Array, decoded: Mapping[str, Array]
) -> list[dict[str, Any]]:
    """Return what a classifier of the vectors loses where it is given those that came back.

    Args:
        answered: A classifier of vectors, fitted on vectors of the pool that were never compressed.
        truth: Labels of the n test examples.
        targets: Their vectors, shape (n, d).
        decoded: By candidate, the vectors that came back, shape (n, d).

    Returns:
        A record per candidate with ``accuracy``, that of the vectors themselves, and the paired difference.
    """
    accuracy = metrics.get("accuracy")
    task = Task(TaskKind.CLASSIFY, tuple(sorted(set(truth))), metric="accuracy")

    def block(vectors: Array) -> list[Block]:
        return [_block(accuracy.statistics(truth, Prediction(labels=list(answered(vectors))), task))]

    whole = block(targets)
    before = estimate(whole, accuracy, rho=1.0, target="this model")
    found = []
    for name, vectors in decoded.items():
        own = block(vectors)
        after = estimate(own, accuracy, rho=1.0, target="this model")
        difference = paired_difference(own, whole, accuracy, rho=1.0, target="this model")
        found.append(
            {
                "candidate": name,
                "accuracy": {"score": round(after.score, 6), "interval": _ends(after.interval)},
                "of_the_originals": {"score": round(before.score, 6), "interval": _ends(before.interval)},
                "difference": {"mean": round(difference.mean, 6), "interval": _ends(difference.interval)},
            }
        )
    return found


def because(record: Mapping[str, Any], measured: Measured) -> list[str]:
    """Return in sentences what the pick is better than, and what image files would take for the same quality."""
    pick, rows = record["pick"]["candidate"], record["leaderboard"]
    unit, sign = _UNITS.get(record["metric"], ""), 1.0 if measured.metric.higher_is_better else -1.0
    said = []
    for row in rows:
        if row["candidate"] == pick or row["versus_pick"] is None:
            continue
        mean, ends = sign * row["versus_pick"]["mean"], row["versus_pick"]["interval"]
        if ends is None:
            continue
        low, high = sorted(sign * end for end in ends)
        words = "is worse" if high < 0 else "is better" if low > 0 else "cannot be told from it"
        said.append(f"{row['candidate']} {words}: {mean:+.3g}{unit} [{low:+.3g}, {high:+.3g}].")
    score = next(row["score"] for row in rows if row["candidate"] == pick)
    for name, entrant in measured.entrants.items():
        if name == pick or not is_file(entrant):
            continue
        bits = bits_for(entrant, score, measured.metric, measured.bits.name)
        if bits is not None:
            said.append(f"{name} takes {bits:.2f} bits per pixel to come out as well as {pick}.")
    writes, rate = record["pick"]["writes"], record["rate"]
    if abs(writes - rate) > 0.02 * rate:
        wrote = f"{pick} wrote {writes:.2f} on the test"
        said.append(f"Fitted for {rate:g} bit{'' if rate == 1 else 's'}, {wrote}; the scores here are at {rate:g}.")
    return said


_UNITS = {"psnr": " dB"}
