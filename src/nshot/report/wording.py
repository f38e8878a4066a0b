"""How numbers look and what things are called, the same in the terminal, in Markdown and in HTML."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nshot import metrics
from nshot.core import Task, TaskKind
from nshot.metrics import detect
from nshot.report.record import Confusion, Curve, Difference, Entry, Gain, Record, Skipped, Training, printable
from nshot.study import counting
from nshot.study.words import amount

NOTHING = "–"

METRICS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "weighted_f1": "weighted F1",
    "macro_tag_f1": "macro F1",
    "micro_tag_f1": "micro F1",
    "subset_accuracy": "all labels right",
    "hamming_loss": "Hamming loss",
    "macro_average_precision": "macro average precision",
    "mcc": "MCC",
    "log_loss": "log loss",
    "brier": "Brier score",
    "expected_calibration_error": "calibration error",
    "average_precision": "average precision",
    "auroc": "area under the ROC curve",
    "entity_f1": "entity F1",
    "entity_precision": "entity precision",
    "entity_recall": "entity recall",
    "macro_entity_f1": "macro entity F1",
    "entity_overlap_f1": "F1 by overlap",
    "exact_match": "exact match",
    "token_f1": "token F1",
    "number_match": "number match",
    "bleu": "BLEU",
    "chrf": "chrF",
    "rouge1": "ROUGE-1",
    "rouge2": "ROUGE-2",
    "rougeL": "ROUGE-L",
    "perplexity": "perplexity",
    "bits_per_byte": "bits per byte",
    "length_ratio": "length ratio",
    "stopped": "stopped by itself",
    "mae": "mean absolute error",
    "rmse": "root mean squared error",
    "r2": "R²",
    "nmi": "normalised mutual information",
    "ari": "adjusted Rand index",
}

EXACT = 6
"""So many significant digits of a number show it as it stands in the data."""
_MOST_COLUMNS = 3
_RECALL_AT = f"{detect.RECALL_AT}:"
NOT_PRETRAINED = frozenset({"table", "pixels"})
"""Backbones that only turn columns or pixels into numbers: a pick does not stand on them as it does on a model."""

UNTOUCHED = "prompt"
"""The method that asks a model as it is."""

TARGETS = {
    "this model": "the score of the very model that was fitted, on rows like the test rows",
    "a fresh draw": "what to expect of as many {labels} drawn afresh from the same source",
    "this pool": "the score with {labels} from this data; it makes no claim about other {labels}",
    "the next labels": "what to expect after that many more {labels}",
}
"""What a score is a score of; `explained` fills in what n counts."""

ROLES = {
    "pick": "what to use, by its score and what it costs",
    "same": "as good as the best, as far as this test can tell",
    "unclear": "measured further away from the best, but this test cannot tell the two apart",
    "behind": "shown to be worse than the best",
    "stopped": "measured with fewer {labels} only, so not compared with the others; what it lacks is listed below",
    "failed": "a run did not finish; see what was left out",
}
"""How a candidate stands; `explained` fills in what n counts."""

VERSUS_BEST = (
    "Versus best: the difference on the same rows and draws; of the best, by how much it is ahead of the others. All of "
    "these 95 % intervals hold together."
)

FAMILIES = ("zero-shot", "few-shot", "fine-tuning", "unsupervised", "from-scratch", "baseline")


def stands(record: Record, candidate: str) -> str:
    """Return how a candidate stands, one of `ROLES`: what cannot be told apart is not thereby the same."""
    role = record.role(candidate)
    versus = next((entry.versus_best for entry in record.entries if entry.candidate == candidate), None)
    is_apart = versus is not None and versus.mean is not None and abs(versus.mean) > record.verdict.point
    return "unclear" if role == "same" and is_apart else role


def versus_best(found: Difference | None, places: int) -> tuple[str, str]:
    """Return the difference from the best and its interval; of the best itself, how far it is ahead of the next."""
    if found is None:
        return "", ""
    return "best" if found.mean == 0 else signed(found.mean, places), signed_interval(found.interval, places)


def count(number: float | None) -> str:
    """Return a whole number with thousands separators: ``1,204``."""
    return NOTHING if number is None else f"{round(number):,}"


def plural(number: float, singular: str, several: str | None = None) -> str:
    """Return ``1 label`` or ``1,204 labels``."""
    return f"{count(number)} {singular if round(number) == 1 else several or singular + 's'}"


def counted(task: str, number: float = 2) -> str:
    """Return what n counts: labels, answers where texts are written, labelled anomalies where these are looked for."""
    unit = counting.unit(Task(TaskKind(task) if task in set(TaskKind) else TaskKind.CLASSIFY))
    return unit.one if round(number) == 1 else unit.many


def learnt_from(task: str, number: float = 2) -> str:
    """Return what a model learnt from: labelled examples, examples with an answer, labelled anomalies."""
    if task == TaskKind.DETECT:
        return counted(task, number)
    examples = "example" if round(number) == 1 else "examples"
    if task == TaskKind.REGRESS:
        return f"{examples} with a known value"
    return f"{examples} with an answer" if task == TaskKind.GENERATE else f"labelled {examples}"


def support(record: Record) -> str:
    """Return what is counted beside the scores of a label."""
    return "entities" if record.verdict.task == TaskKind.EXTRACT else "test rows"


def label(record: Record, number: float = 2) -> str:
    """Return what n counts in this comparison, see `counted`."""
    return counted(record.verdict.task, number)


def labels(record: Record, number: float) -> str:
    """Return ``1 label``, ``1,204 labels``, ``1,204 answers``."""
    return f"{count(number)} {label(record, number)}"


def explained(record: Record, words: str) -> str:
    """Return an entry of `TARGETS` or `ROLES` with what n counts filled in."""
    return words.format(labels=label(record))


def score(value: float | None, decimals: int = 2) -> str:
    """Return a score: ``0.86``; beyond what a share can be, three significant digits (``23.4``, ``1,250``).

    With one decimal or none, as scores from 0 to 100 have, every value has these: ``31.4``, ``0.8``. A negative number
    of decimals rounds to tens, hundreds and so on: ``12,300``.
    """
    if value is None:
        return NOTHING
    size = abs(value)
    if size >= 1000 or decimals < 0:
        return f"{round(value, min(decimals, 0)):,.0f}"
    if size >= 1.5 and decimals > 1:
        decimals = max(0, 2 - int(size >= 10) - int(size >= 100))
    text = f"{value:.{decimals}f}"
    return text.replace("-", "", 1) if float(text) == 0 else text


def brief_score(value: float | None, decimals: int = 2) -> str:
    """Return a score for a narrow column: ``.86``, ``-.02``, ``1.0``; from 0 to 100 as it is: ``0.8``, ``31.4``."""
    text = score(value, decimals)
    if decimals <= 1:
        return text
    if text == "1.00":
        return "1.0"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def signed(value: float | None, decimals: int = 2) -> str:
    """Return a difference with its sign: ``+0.02``, ``-0.01``, ``0.00``."""
    text = score(value, decimals)
    return text if value is None or text.startswith("-") or not text.strip("0.") else f"+{text}"


def interval(ends: tuple[float, float] | None, decimals: int = 2) -> str:
    """Return both ends: ``[0.83, 0.89]``; nothing for no interval."""
    return "" if ends is None else f"[{score(ends[0], decimals)}, {score(ends[1], decimals)}]"


def signed_interval(ends: tuple[float, float] | None, decimals: int = 2) -> str:
    """Return both ends of a difference: ``[-0.03, +0.02]``."""
    return "" if ends is None else f"[{signed(ends[0], decimals)}, {signed(ends[1], decimals)}]"


def count_interval(ends: tuple[float, float] | None) -> str:
    """Return both ends of a number of labels: ``[1,600, 5,200]``."""
    return "" if ends is None else f"[{count(ends[0])}, {count(ends[1])}]"


def with_interval(value: float | None, ends: tuple[float, float] | None, decimals: int = 2) -> str:
    """Return ``0.86 [0.83, 0.89]``."""
    return f"{score(value, decimals)} {interval(ends, decimals)}".rstrip()


def percent(share: float | None) -> str:
    """Return ``97 %``; what is not quite everything never reads as everything."""
    if share is None:
        return NOTHING
    if 0.995 <= share < 1:
        return "> 99 %"
    return "< 1 %" if 0 < share < 0.005 else f"{share * 100:.0f} %"


def _step(value: float, steps: Sequence[tuple[float, float, str]]) -> str:
    """Return `value` in the first unit whose limit it stays below: (limit, size of the unit, name)."""
    for limit, size, unit in steps:
        amount = value / size
        text = f"{amount:.1f}" if amount < 9.95 and amount != round(amount) else f"{amount:,.0f}"
        if value < limit:
            return f"{text} {unit}"
    return f"{text} {unit}"


_TIMES = (
    (9.95e-5, 1e-6, "µs"),
    (0.0995, 1e-3, "ms"),
    (89.5, 1, "s"),
    (5370, 60, "min"),
    (172_000, 3600, "h"),
    (float("inf"), 86_400, "days"),
)
_SIZES = ((999.5, 1, "B"), (999.5e3, 1e3, "kB"), (999.5e6, 1e6, "MB"), (999.5e9, 1e9, "GB"), (float("inf"), 1e12, "TB"))


def seconds(value: float | None) -> str:
    """Return a time: ``40 ms``, ``0.4 s``, ``56 s``, ``3 min``, ``2.5 h``."""
    if value is None:
        return NOTHING
    return _step(value, _TIMES) if value > 0 else "0 s"


def milliseconds(value: float | None) -> str:
    """Return a latency given in milliseconds: ``0.9 ms``, ``1.2 s``."""
    return seconds(None if value is None else value / 1000)


def size(n_bytes: float | None) -> str:
    """Return a size: ``1.2 MB``."""
    return NOTHING if n_bytes is None else _step(max(n_bytes, 0.0), _SIZES)


def per_second(value: float | None) -> str:
    """Return how many a second: ``0.4/s``, ``603/s``, ``81,000/s``."""
    if value is None:
        return NOTHING
    return f"{float(f'{value:.3g}'):,.0f}/s" if value >= 10 else f"{value:.1f}/s"


def money(value: float | None) -> str:
    """Return an amount of money: ``0.0031``, ``0.35``, ``12.40``, ``1,274``."""
    return NOTHING if value is None else amount(value)


def money_interval(ends: tuple[float, float] | None) -> str:
    """Return both ends of an amount of money, none with digits that the other hides: ``[759, 1,274]``, ``[72, 389]``."""
    if ends is None:
        return ""
    if max(map(abs, ends)) >= 100:
        return f"[{count(ends[0])}, {count(ends[1])}]"
    return f"[{money(ends[0])}, {money(ends[1])}]"


def rate(value: float | None) -> str:
    """Return a learning rate: ``0.0002``, ``3e-05``."""
    return NOTHING if value is None else f"{value:g}"


def fit_time(entry: Entry) -> str:
    """Return how long the candidate takes to fit; nothing is fitted without labels."""
    return NOTHING if entry.n_labels == 0 and not entry.fit_seconds else seconds(entry.fit_seconds)


def named_metric(name: str) -> str:
    """Return what people call a metric; a function or pattern of the user's (``module:function``) keeps its name."""
    rate = name.removeprefix(_RECALL_AT)
    if rate != name and rate.replace(".", "", 1).isdigit():
        return f"recall at {100 * float(rate):g} % false alarms"
    return METRICS.get(name) or (name if ":" in name else name.replace("_", " ")) or "score"


def metric_name(record: Record) -> str:
    """Return what people call the metric that candidates are ranked by."""
    return record.details.data.metric_name or named_metric(record.verdict.metric)


def unit(record: Record, number: float = 2) -> str:
    """Return what an example is called: an input to be answered, a row, an image, a text, or else an example."""
    data = record.details.data
    known = data.modality if data.modality in {"row", "image"} else "text" if data.text else "example"
    name = "input" if record.is_written else known
    return name if number == 1 else f"{name}s"


def decimals(record: Record) -> int:
    """Return how many decimals the scores deserve: one from 0 to 100, else two, or three where they are narrow.

    What is in the unit of the target has three significant digits.
    """
    pick = record.verdict.pick
    if record.in_units:
        return significant(pick.score if pick else None)
    return _decimals(pick.interval if pick else None, is_of_hundred=record.full_score == 100)


def brief_decimals(record: Record) -> int:
    """Return how many decimals a score has where there is little room."""
    return decimals(record) if record.in_units else min(2, decimals(record))


def decimals_of(record: Record, metric: str) -> int:
    """Return how many decimals the scores of another metric deserve."""
    if metric == record.verdict.metric:
        return decimals(record)
    found = record.picked.scores.get(metric) if record.picked else None
    if in_units(metric):
        return significant(found.score if found else None)
    return _decimals(found.interval if found else None, is_of_hundred=is_of_hundred(metric))


def less_is_better(names: Iterable[str]) -> list[str]:
    """Return what people call those of these metrics that are errors or losses, each once."""
    known = [name for name in dict.fromkeys(names) if name in metrics.names()]
    return [named_metric(name) for name in known if not metrics.get(name).higher_is_better]


def comparison(
    metric: str, better: str | None, names: Sequence[str], by: str, smallest: str, rows: str, also: str = ""
) -> str:
    """Return which of two is better and by how much, or that these rows cannot tell.

    Args:
        metric: What decides.
        better: Which of `names` is shown to be better, or None.
        names: Of both, A and B.
        by: B's score minus A's, with its interval.
        smallest: The difference that would be seen four times out of five; empty where nobody knows.
        rows: What they answered: ``rows``, ``inputs``.
        also: What else is to be said of both.
    """
    called = named_metric(metric)
    if metric in metrics.names() and not metrics.get(metric).is_quality:
        return f"{called} of B against A is {by}, the same {rows} compared; it does not say which is better."
    if better is not None:
        winner, loser = ("A", "B") if better == names[0] else ("B", "A")
        return (
            f"{winner} ({better}) is better than {loser}: {called} of B against A is {by}, the same {rows} "
            f"compared.{also}"
        )
    words = (
        f"These {rows} cannot tell which is better: {called} of B ({names[1]}) against A ({names[0]}) is {by}.{also}"
    )
    if smallest:
        words += f" A true difference of {smallest} would be seen with so many {rows} four times out of five."
    return words


def is_of_hundred(metric: str) -> bool:
    """Return whether the scores of a metric go from 0 to 100."""
    return metric in metrics.names() and metrics.get(metric).point == 1


def in_units(metric: str) -> bool:
    """Return whether the scores of a metric are in the unit of the numbers that are predicted."""
    return metric in metrics.names() and metrics.get(metric).in_units


def significant(value: float | None) -> int:
    """Return how many decimals show three significant digits."""
    return 2 - math.floor(math.log10(abs(value))) if value else 2


def _decimals(ends: tuple[float, float] | None, *, is_of_hundred: bool) -> int:
    """Return two decimals, or three for an interval of less than 0.025; of a hundred always one."""
    if is_of_hundred:
        return 1
    return 3 if ends is not None and ends[1] - ends[0] < 0.025 else 2


def decimals_for(record: Record, value: float) -> int:
    """Return how many decimals show a difference: one more where it is less than a point."""
    places = decimals(record) if record.in_units else 1 if record.full_score == 100 else 2
    return places if abs(value) >= record.verdict.point else places + 1


def listed(names: Iterable[str], most: int = 0) -> str:
    """Return ``a, b and c``; with `most`, no more than that many and the number of others."""
    words = list(names)
    if most and len(words) > most:
        words = [*words[:most], f"{count(len(words) - most)} more"]
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1] if words else ""


def data_facts(record: Record) -> str:
    """Return ``1,204 texts ("message"), 12 labels ("queue")``, or ``1,204 inputs ("question"), answers in "reply"``."""
    data = record.details.data
    parts = []
    if data.rows is not None:
        named = columns(data.columns) if data.columns else f' ("{data.text}")' if data.text else ""
        parts.append(f"{count(data.rows)} {unit(record, data.rows)}{named}")
    if data.target is not None:
        parts.append(_target(record))
    elif data.anomalies is not None:
        parts.append(plural(data.anomalies, "labelled anomaly", "labelled anomalies") + _in_column(data.label))
    elif not record.has_labels and data.label:
        parts.append(f"true groups{_in_column(data.label)}")
    if data.labels:
        parts.append(plural(len(data.labels), "label") + (f' ("{data.label}")' if data.label else ""))
    elif record.is_written and data.label:
        parts.append(f'answers in "{data.label}"')
    return ", ".join(parts)


def columns(names: Sequence[str]) -> str:
    """Return `` of 27 columns ("Income", "Education", "Kidhome" and 24 more)``."""
    quoted = [f'"{name}"' for name in names]
    return f" of {plural(len(names), 'column')} ({listed(quoted, _MOST_COLUMNS)})"


def _in_column(name: str) -> str:
    return f' ("{name}")' if name else ""


def _target(record: Record) -> str:
    """Return ``"price" from 0.3 to 510, half of them below 42``."""
    data = record.details.data
    name = f'"{data.label}"' if data.label else "numbers"
    if data.target is None or data.target.low is None or data.target.high is None:
        return name
    low, high = quantity(data.target.low, EXACT), quantity(data.target.high, EXACT)
    half = "" if data.target.median is None else f", half of them below {quantity(data.target.median, EXACT)}"
    return f"{name} from {low} to {high}{half}"


def shortened(words: str, longest: int) -> str:
    """Return words cut to what a chart has room for."""
    return words if len(words) <= longest else words[: longest - 1] + "…"


def quantity(value: float | None, digits: int = 4) -> str:
    """Return a number of the data with so many significant digits at most: ``0.3``, ``510``, ``12,340``."""
    if value is None:
        return NOTHING
    places = digits - 1 - math.floor(math.log10(abs(value))) if value else 0
    text = f"{round(value, places):,.{max(0, places)}f}"
    return text.rstrip("0").rstrip(".") if places > 0 else text


def protocol(record: Record) -> str:
    """Return how it was tested: the protocol's sentence, or the number of test examples."""
    data, n_test = record.details.data, record.verdict.n_test
    if data.protocol:
        return data.protocol
    return f"tested on {count(n_test)} {unit(record, n_test)}" if n_test is not None else ""


def checks_line(record: Record) -> str:
    """Return the codes and titles of what the checks found, notes last."""
    order = {"error": 0, "issue": 1, "note": 2}
    checks = sorted(record.verdict.checks, key=lambda check: order.get(check.severity, 3))
    return " · ".join(f"{check.code} {check.title}".strip() for check in checks)


def pick_words(record: Record) -> tuple[str, str]:
    """Return the pick's name and what it stands on: ``("primed_probe", "all-MiniLM-L6-v2")``."""
    pick = record.verdict.pick
    if pick is None:
        return "", ""
    backbone = pick.backbone.rstrip("/").rsplit("/", 1)[-1]
    name = pick.candidate.removesuffix(f":{backbone}") if backbone else pick.candidate
    return name, "" if backbone in NOT_PRETRAINED else backbone


def finest(record: Record) -> int:
    """Return the decimals that show a correction which those of the scores may hide."""
    return decimals(record) if record.in_units else 1 if record.full_score == 100 else 3


def as_it_is(entry: Entry | None) -> str:
    """Return that the candidate is a model as it is, or nothing."""
    return "the model as it is" if entry is not None and entry.method == UNTOUCHED else ""


def pick_score(record: Record) -> str:
    """Return ``macro F1 0.86 [0.83, 0.89]`` of the pick."""
    pick = record.verdict.pick
    if pick is None or pick.score is None:
        return ""
    return f"{metric_name(record)} {with_interval(pick.score, pick.interval, decimals(record))}"


def pick_cost(record: Record) -> str:
    """Return ``fits in 0.4 s, 0.9 ms a text``."""
    entry = record.picked
    parts = []
    if entry and fit_time(entry) != NOTHING:
        parts.append(f"fits in {fit_time(entry)}")
    elif entry and entry.n_labels == 0:
        parts.append("nothing to fit")
    if entry and entry.milliseconds_per_example is not None:
        one = unit(record, 1)
        parts.append(f"{milliseconds(entry.milliseconds_per_example)} {'an' if one[0] in 'aei' else 'a'} {one}")
    return ", ".join(parts)


def no_pick(record: Record) -> str:
    """Return what to say where there is no pick."""
    if not record.verdict.leaderboard:
        return "Nothing was measured, so there is nothing to pick."
    return "No candidate can be picked; the table shows what was measured."


def corrected(record: Record, places: int) -> str:
    """Return what was done about the score of the winner, or nothing where so many decimals do not show it."""
    pick = record.verdict.pick
    if pick is None or pick.score is None or pick.score_as_measured is None:
        return ""
    if score(pick.score, places) == score(pick.score_as_measured, places):
        return ""
    return (
        f"Measured {score(pick.score_as_measured, places)}, printed {score(pick.score, places)}: "
        "the best of several looks a little better than it is, and that is taken off."
    )


def shipped(record: Record) -> str:
    """Return what the saved model was fitted on where that is not what was measured, or nothing."""
    verdict = record.verdict
    n_measured = verdict.pick.n_labels if verdict.pick else None
    if not n_measured or verdict.model_n_labels is None or n_measured == verdict.model_n_labels:
        return ""
    return (
        f"The score was measured with {labels(record, n_measured)}; the saved model was fitted on all "
        f"{count(verdict.model_n_labels)}."
    )


def crossover_sentences(record: Record) -> list[str]:
    """Return one sentence for each crossover."""
    said = []
    for crossing in record.verdict.crossovers:
        if crossing.n_labels is None or not crossing.after:
            continue
        reach = count_interval(crossing.interval)
        today = record.verdict.n_labels
        is_past = today is not None and crossing.n_labels <= today
        before = f" {record.short(crossing.before)}" if crossing.before else ""
        verb = "overtakes" if is_past else "is expected to overtake"
        words = f"{record.short(crossing.after)} {verb}{before} at about {labels(record, crossing.n_labels)}"
        said.append(f"{words} {reach}".rstrip() + ".")
    return said


def gain_sentence(record: Record, more: Gain) -> str:
    """Return what the labels up to ``more.n_labels`` are worth, or nothing."""
    today = record.verdict.n_labels
    if more.n_labels is None or more.gain is None or (today is not None and more.n_labels <= today):
        return ""
    places = decimals_for(record, more.gain)
    worth = f"{signed(more.gain, places)} {signed_interval(more.interval, places)}".rstrip()
    if today is None:
        return f"With {labels(record, more.n_labels)} in all: {worth}."
    extra = more.n_labels - today
    price = f", for {money(more.money)} at your price" if more.money is not None else ""
    pick = record.verdict.pick
    change = f" ({record.short(more.candidate)} then)" if pick and more.candidate not in ("", pick.candidate) else ""
    verb = "is" if extra == 1 else "are"
    if record.in_units:
        verb = "changes" if extra == 1 else "change"
        return f"Your next {labels(record, extra)} {verb} the {metric_name(record)} by {worth}{price}{change}."
    return f"Your next {labels(record, extra)} {verb} worth {worth} {metric_name(record)}{price}{change}."


def gain_sentences(record: Record) -> list[str]:
    """Return a sentence for each forecast of what more labels are worth, but for the farthest one of three."""
    said = [words for more in record.verdict.more_labels if (words := gain_sentence(record, more))]
    return said[:2]


def next_sentences(record: Record) -> list[str]:
    """Return what more labels would change: crossovers still ahead, then what the labels are worth."""
    today = record.verdict.n_labels
    ahead = [c for c in record.verdict.crossovers if c.n_labels is not None and (today is None or c.n_labels > today)]
    coming = record.model_copy(update={"verdict": record.verdict.model_copy(update={"crossovers": tuple(ahead)})})
    return [*crossover_sentences(coming), *gain_sentences(record)]


def resolution(record: Record) -> str:
    """Return the smallest difference that this test could have seen, or nothing."""
    smallest = record.verdict.smallest_detectable_difference
    if smallest is None:
        return ""
    n_test = record.verdict.n_test
    rows = f" {count(n_test)}" if n_test else ""
    places = decimals_for(record, smallest)
    common = record.verdict.smallest_detectable_test_rows
    which = (
        f"the {count(common)} test rows that were compared" if common and common != n_test else f"these{rows} test rows"
    )
    return f"Differences below about {score(smallest, places)} cannot be seen with {which}."


def left_out(skipped: Sequence[Skipped], record: Record) -> list[tuple[str, str]]:
    """Return what was skipped and why, each candidate and reason once, with its numbers of labels."""
    sizes: dict[tuple[str, str], list[int]] = {}
    for entry in skipped:
        found = sizes.setdefault((entry.candidate, entry.reason), [])
        if entry.n_labels is not None:
            found.append(entry.n_labels)
    lines = []
    for (candidate, reason), numbers in sizes.items():
        at = sorted(set(numbers))
        where = (
            f" at {listed([count(n) for n in at], 6)} {label(record, 1 if at == [1] else 2)}"
            if at and at != [0]
            else ""
        )
        lines.append((f"{record.short(candidate) or 'something'}{where}", reason or "no reason was recorded"))
    return lines


def scores_at(curve: Curve, numbers: Sequence[int]) -> list[float | None]:
    """Return the curve's score at each number of labels; one that needs no labels has its score everywhere."""
    found = {n: value for n, value, _ in curve.measured}
    if curve.needs_no_labels:
        return [curve.measured[0][1] for _ in numbers]
    return [found.get(n) for n in numbers]


def restarted(training: Training, name: str = "") -> str:
    """Return that runs learnt nothing at first and were begun again, or nothing; `name` says whose runs."""
    if not training.restarts:
        return ""
    again = "learnt nothing at first and was begun again at a fifth of the learning rate"
    if not name:
        lower = f" ({rate(training.learning_rate)})" if training.learning_rate is not None else ""
        return f"This run {again}{lower}."
    where = f" in {count(training.restarts)} of its {count(training.runs)} runs" if training.runs > 1 else ""
    return f"{name} {again}{where}."


def halved(training: Training, name: str = "") -> str:
    """Return that micro-batches were halved, or nothing; `name` says whose."""
    if not training.micro_batch_halvings:
        return ""
    whose = f" of {name}" if name else ""
    times = plural(training.micro_batch_halvings, "time")
    return (
        f"The micro-batches{whose} were halved {times} to fit into memory; what a step averages over stayed the same."
    )


def training_sentences(record: Record) -> list[str]:
    """Return what happened to the trainings of a comparison that a reader has to know."""
    said = []
    for training in record.details.training:
        name = record.short(training.candidate)
        said += [words for words in (restarted(training, name), halved(training, name)) if words]
    return said


def readable_fact(name: str, value: object) -> str:
    """Return a fact about the machine in words; sizes by their unit in the name."""
    if name.endswith("_bytes") and isinstance(value, int | float):
        return size(value)
    if isinstance(value, dict):
        return ", ".join(f"{key} {readable_fact(str(key), part)}" for key, part in value.items())
    return ", ".join(str(part) for part in value) if isinstance(value, list | tuple) else str(value)


@dataclass(frozen=True)
class ConfusedPair:
    """How often examples of `label` were answered with `predicted`; `share` of all examples of the label."""

    label: str
    predicted: str
    count: int
    share: float


def confused_pairs(confusion: Confusion) -> list[ConfusedPair]:
    """Return every pair of labels that was confused, the most frequent first."""
    if not confusion.complete:
        return []
    pairs = []
    for i, row in enumerate(confusion.matrix):
        total = sum(row)
        for j, times in enumerate(row):
            if i != j and times > 0:
                pairs.append(ConfusedPair(confusion.labels[i], confusion.labels[j], times, times / total))
    return sorted(pairs, key=lambda pair: (-pair.count, -pair.share, pair.label, pair.predicted))


def calibration_sentence(record: Record) -> str:
    """Return what the pick's expected calibration error says, or nothing where it was not measured."""
    found = record.picked.scores.get("expected_calibration_error") if record.picked else None
    if found is None or found.score is None:
        return ""
    reach = "" if found.interval is None else " [{:.1f}, {:.1f}]".format(*(100 * end for end in found.interval))
    return (
        f"On average the probability it gives and the share of right answers lie {found.score * 100:.1f}{reach} "
        "percentage points apart (expected calibration error)."
    )


def reproduce_facts(record: Record) -> list[tuple[str, str]]:
    """Return what decides the figures besides the command: seed, data, versions, machine, time taken."""
    source = record.details.reproduce
    facts = []
    if source.seed is not None:
        facts.append(("seed", str(source.seed)))
    if source.data_fingerprint:
        facts.append(("data fingerprint", source.data_fingerprint))
    known = {name: printable(version, 60) for name, version in source.versions.items() if version}
    if known:
        facts.append(("versions", ", ".join(f"{name} {version}" for name, version in known.items())))
    facts += [
        (printable(name.removesuffix("_bytes").replace("_", " "), 60), printable(readable_fact(name, value), 300))
        for name, value in source.machine.items()
        if value not in (None, "", [], {})
    ]
    if record.verdict.seconds is not None:
        facts.append(("time taken", seconds(record.verdict.seconds)))
    return facts
