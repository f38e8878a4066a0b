"""The whole report as Markdown, for a pull request, a wiki or a terminal pager."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nshot.report import anomalies, costs, entities, generated, new_labels, regression, wording
from nshot.report.record import Mistake, Record, printable, read

_MOST_PAIRS = 20
_SMALL = 12
_MOST_TOLD = 3
_LONGEST_CELL = 400
_SPECIAL = re.compile(r"([\\`*_{}\[\]#~!])")


def render(record: Mapping[str, Any], *, texts: bool = True) -> str:
    """Return the report as Markdown.

    Args:
        record: ``{"verdict": ..., "details": ...}``; every key may be missing.
        texts: Whether texts of the data may be shown (mistakes quote them, written answers are some).
    """
    read_record = read(record)
    sections = (
        _verdict(read_record),
        _scores_by_labels(read_record),
        _leaderboard(read_record),
        _signatures(read_record),
        _costs(read_record),
        _written(read_record, texts),
        _forgetting(read_record),
        _new_labels(read_record),
        _crossovers(read_record),
        *_of_its_kind(read_record, texts),
        _confusion(read_record),
        _per_class(read_record),
        _answered("Most confident mistakes", "answered", read_record.details.mistakes, texts),
        _answered("Labels that look like mistakes", "suggested", read_record.details.suspected_labels, texts),
        _calibration(read_record),
        _training(read_record),
        _checks(read_record),
        _left_out(read_record),
        _time(read_record),
        _reproduce(read_record),
    )
    return "\n\n".join("\n".join(lines).strip("\n") for lines in sections if lines) + "\n"


def _plain(words: str) -> str:
    """Return text from the data so that Markdown and the HTML made of it show it as it is."""
    return _SPECIAL.sub(r"\\\1", words).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _code(words: str) -> str:
    """Return a name in a code span that no backtick in it can end."""
    if not words:
        return ""
    longest = max((len(run) for run in re.findall("`+", words)), default=0)
    fence = "`" * (longest + 1)
    padding = " " if longest else ""
    return f"{fence}{padding}{words}{padding}{fence}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], numeric: Sequence[int] = ()) -> list[str]:
    rule = ["---:" if i in numeric else "---" for i in range(len(head))]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |" for cells in (head, rule, *rows)]


def _verdict(record: Record) -> list[str]:
    data = record.details.data
    name, backbone = wording.pick_words(record)
    if record.verdict.pick:
        lines = [f"# Pick {_code(name)}" + (f" on {_code(backbone)}" if backbone else "")]
        cost = wording.pick_cost(record)
        facts = [f"**{_plain(wording.pick_score(record))}**" if wording.pick_score(record) else "", cost]
        pick = record.verdict.pick
        if pick.n_labels is not None:
            facts.append(f"measured with {wording.labels(record, pick.n_labels)}")
        if pick.target:
            facts.append(f"target: {pick.target}")
        lines += ["", " · ".join(filter(None, facts))]
    else:
        lines = ["# No pick", "", wording.no_pick(record)]
    facts_line = " · ".join(filter(None, [wording.data_facts(record), wording.protocol(record)]))
    lines += ["", f"{_code(data.name)}: {_plain(facts_line)}" if facts_line else _code(data.name)]
    if data.recognised:
        lines += ["", _plain(data.recognised)]
    said = [
        *map(record.plainly, record.verdict.because),
        wording.shipped(record),
        wording.corrected(record, wording.finest(record)),
        generated.forgetting_sentence(record),
    ]
    if any(said):
        lines += ["", "## Why", "", *(f"- {_plain(words)}" for words in said if words)]
    ahead = [*wording.next_sentences(record), wording.resolution(record)]
    if any(ahead):
        lines += ["", "## Next", "", *(f"- {_plain(words)}" for words in ahead if words)]
    return lines


def _scores_by_labels(record: Record) -> list[str]:
    numbers, places = record.numbers_of_labels, wording.decimals(record)
    if not numbers or not record.has_labels:
        return []
    marks: list[str] = []
    rows = []
    for curve in record.curves:
        found = {n: (value, point) for n, value, point in curve.measured}
        cells = []
        for n in numbers:
            if n not in found:
                cells.append("")
                continue
            value, point = found[n]
            cell = wording.with_interval(value, point.interval, places)
            if point.marked:
                if point.marked not in marks:
                    marks.append(point.marked)
                cell += f" ({marks.index(point.marked) + 1})"
            cells.append(_plain(cell))
        rows.append([_code(record.short(curve.candidate)), *cells, wording.stands(record, curve.candidate)])
    head = ["candidate", *(wording.count(n) for n in numbers), "role"]
    lines = [f"## {_plain(wording.metric_name(record))} by number of {wording.label(record)}", ""]
    if record.details.data.metric_explained:
        lines += [_plain(record.details.data.metric_explained), ""]
    lines += _table(head, rows, numeric=range(1, len(numbers) + 1))
    if marks:
        lines += ["", *(f"({i}) {_plain(mark)}  " for i, mark in enumerate(marks, 1))]
    targets = {point.target for curve in record.curves for point in curve.points if point.target in wording.TARGETS}
    if targets:
        lines += ["", *(f"- *{name}*: {wording.explained(record, wording.TARGETS[name])}" for name in sorted(targets))]
    return lines


def _leaderboard(record: Record) -> list[str]:
    entries, places = record.entries, wording.decimals(record)
    if not entries:
        return []
    others = list(dict.fromkeys(name for entry in entries for name in entry.scores if name != record.verdict.metric))
    counted = wording.label(record)
    head = ["candidate", "family", *([counted] if record.has_labels else []), "repeats", "target"]
    head += [wording.metric_name(record), "versus best", "role", "fit", f"per {wording.unit(record, 1)}"]
    head += [wording.named_metric(name) for name in others]
    rows = []
    for entry in entries:
        role = wording.stands(record, entry.candidate)
        row = [
            _code(record.short(entry.candidate)),
            _plain(": ".join(filter(None, (entry.family, wording.as_it_is(entry))))),
            *([wording.count(entry.n_labels)] if record.has_labels else []),
            wording.count(entry.repeats),
            _plain(entry.target),
            _plain(wording.with_interval(entry.score, entry.interval, places)),
            _plain(" ".join(wording.versus_best(entry.versus_best, places)).rstrip()),
            f"**{role}**" if role == "pick" else _plain(role),
            wording.fit_time(entry),
            wording.milliseconds(entry.milliseconds_per_example),
        ]
        for name in others:
            other = entry.scores.get(name)
            finer = wording.decimals_of(record, name)
            row.append(_plain(wording.with_interval(other.score, other.interval, finer)) if other else "")
        rows.append(row)
    roles = [
        role for role in wording.ROLES if any(wording.stands(record, entry.candidate) == role for entry in entries)
    ]
    return [
        "## All candidates",
        "",
        *_table([_plain(cell) for cell in head], rows, numeric=(2, 3, 8, 9) if record.has_labels else (2, 7, 8)),
        "",
        *(f"- *{role}*: {wording.explained(record, wording.ROLES[role])}" for role in roles),
        f"- {wording.VERSUS_BEST}",
    ]


def _signatures(record: Record) -> list[str]:
    if not record.is_written or not record.signatures:
        return []
    lines = [f"- {_plain(wording.named_metric(name))}: {_code(words)}" for name, words in record.signatures.items()]
    return ["## What the metrics are exactly", "", *lines]


def _written(record: Record, texts: bool) -> list[str]:
    if not record.details.texts.rows:
        return []
    lines = ["## What they wrote"]
    if not texts or not generated.has_texts(record):
        return [*lines, "", "The texts were left out on request."]
    beginning = generated.shared_beginning(record)
    if beginning:
        lines += ["", f"All of these inputs begin: {_cell(beginning)}"]
    metric = generated.score_name(record)
    for title, row in generated.telling(record, _MOST_TOLD):
        where = f" (row {wording.count(row.row)})" if row.row is not None else ""
        lines += ["", f"### {_plain(title)}{where}", ""]
        n_more = len(row.references) - 1 + row.n_more_references
        more = f" (and {wording.count(n_more)} more)" if n_more > 0 else ""
        cells = [["input", "", _cell(row.input)]]
        cells += [["reference", "", _cell(row.references[0]) + more]] if row.references else []
        cells += [[_code(record.short(one.candidate)), one.score, _answer(one)] for one in row.answers]
        lines += _table(["", _plain(metric), "text"], cells, numeric=(1,))
    return lines


def _answer(shown: generated.Shown) -> str:
    words = _cell(shown.text or "") or ("*wrote nothing*" if shown.text is not None else "")
    return f"{words} *(cut at the longest length)*" if shown.is_cut else words


def _cell(words: str) -> str:
    return _plain(printable(words, _LONGEST_CELL))


def _forgetting(record: Record) -> list[str]:
    forgotten = record.details.forgetting
    if not forgotten:
        return []
    rows = [
        [
            _code(record.short(one.candidate)),
            wording.score(one.before),
            wording.score(one.after),
            _plain(" ".join(generated.change(one)).rstrip()),
        ]
        for one in forgotten
    ]
    what = " of ".join(filter(None, (forgotten[0].unit, forgotten[0].text)))
    return [
        "## What training made them forget",
        "",
        _plain(generated.forgetting_sentence(record)),
        "",
        *_table(["candidate", "as it was", "after training", "change"], rows, numeric=(1, 2, 3)),
        "",
        f"{_plain(what)}; less is better.".removeprefix("; "),
    ]


def _costs(record: Record) -> list[str]:
    columns, remote = costs.columns(record.entries), costs.remote(record)
    elsewhere = _table(["model", *costs.REMOTE_HEAD], [[_code(name), *cells] for name, cells in remote], range(1, 6))
    if not columns:
        return ["## Costs", "", *elsewhere] if remote else []
    rows = [
        [_code(record.short(entry.candidate)), *(_plain(column.lines[i]) for column in columns)]
        for i, entry in enumerate(record.entries)
    ]
    head = ["candidate", *(column.title for column in columns)]
    lines = ["## Costs", "", *_table(head, rows, numeric=range(1, len(head)))]
    lines += ["", *(f"- {_plain(words)}" for words in costs.notes(record))]
    paying = [[_code(dearer), _code(cheaper), _plain(words)] for dearer, cheaper, words in costs.break_evens(record)]
    if paying:
        head = ["dearer to set up", "cheaper to set up", "pays from (predictions a month)"]
        lines += ["", *_table(head, paying, numeric=(2,))]
    return [*lines, "", *elsewhere] if remote else lines


def _new_labels(record: Record) -> list[str]:
    found = record.verdict.new_labels
    if found is None:
        return []
    places = wording.decimals(record)
    rows = [
        [_code(row.candidate), *(_plain(cell) for cell in new_labels.cells(row, places))]
        for row in new_labels.rows(record)
    ]
    lines = ["## When labels arrive later", "", f"{_plain(new_labels.held_out(found))}."]
    lines += ["", *(f"- {_plain(record.plainly(words))}" for words in found.because)]
    lines += ["", *_table(new_labels.HEAD, rows, numeric=range(2, len(new_labels.HEAD)))] if rows else []
    return [*lines, "", *(f"- {_plain(words)}" for words in new_labels.notes(found))]


def _crossovers(record: Record) -> list[str]:
    said = wording.crossover_sentences(record)
    return ["## Crossovers", "", *(f"- {_plain(words)}" for words in said)] if said else []


def _of_its_kind(record: Record, texts: bool) -> list[list[str]]:
    """Return what there is for one kind of task only."""
    parts = (
        ("How far off it is", regression.markdown(record, texts=texts)),
        ("What it finds, and what it costs", anomalies.markdown(record, texts=texts)),
        ("What it misses", entities.markdown(record, texts=texts)),
    )
    return [[f"## {title}", "", *(_plain(line) for line in lines)] for title, lines in parts if lines]


def _confusion(record: Record) -> list[str]:
    confusion = record.details.confusion
    if not confusion.complete:
        return []
    lines = ["## Confusions", ""]
    if len(confusion.labels) <= _SMALL:
        head = ["label \\ answer", *(_plain(label) for label in confusion.labels)]
        rows = [
            [_plain(label), *(wording.count(cell) if cell else "" for cell in row)]
            for label, row in zip(confusion.labels, confusion.matrix, strict=True)
        ]
        lines += [*_table(head, rows, numeric=range(1, len(head))), ""]
    pairs = wording.confused_pairs(confusion)[:_MOST_PAIRS]
    if not pairs:
        return [*lines, "No answer was wrong."]
    rows = [
        [_plain(pair.label), _plain(pair.predicted), wording.count(pair.count), wording.percent(pair.share)]
        for pair in pairs
    ]
    return [*lines, *_table(["label", "answered", "times", "of the label"], rows, numeric=(2, 3))]


def _per_class(record: Record) -> list[str]:
    rows = [
        [
            _plain(row.label),
            wording.score(row.precision),
            wording.score(row.recall),
            wording.score(row.f1),
            wording.count(row.support),
        ]
        for row in record.details.per_class
    ]
    head = ["label", "precision", "recall", "F1", wording.support(record)]
    return ["## Each label", "", *_table(head, rows, numeric=(1, 2, 3, 4))] if rows else []


def _answered(title: str, said: str, mistakes: Sequence[Mistake], texts: bool) -> list[str]:
    if not mistakes:
        return []
    head = ["row", *(["text"] if texts else []), "label", said, "probability"]
    rows = [
        [
            wording.count(mistake.row),
            *([_plain(mistake.text)] if texts else []),
            _plain(mistake.label),
            _plain(mistake.predicted),
            wording.percent(mistake.probability),
        ]
        for mistake in mistakes
    ]
    note = [] if texts else ["", "The texts were left out on request."]
    return [f"## {title}", "", *_table(head, rows, numeric=(0, len(head) - 1)), *note]


def _calibration(record: Record) -> list[str]:
    calibration = record.details.calibration
    bins = [part for part in calibration.bins if part.count]
    if not bins:
        return []
    lines = ["## Can its probabilities be trusted?", ""]
    if said := wording.calibration_sentence(record):
        lines += [_plain(said), ""]
    rows = [[wording.percent(b.confidence), wording.percent(b.accuracy), wording.count(b.count)] for b in bins]
    return lines + _table(["it says", "it is right", "answers"], rows, numeric=(0, 1, 2))


def _training(record: Record) -> list[str]:
    trained = [one for one in record.details.training if one.losses]
    if not trained:
        return []
    head = [
        "candidate",
        wording.label(record),
        "runs",
        "steps",
        "examples seen",
        "highest rate",
        "first loss",
        "last loss",
    ]
    rows = [
        [
            _code(record.short(one.candidate)),
            *(wording.count(value) for value in (one.n_labels, one.runs, one.steps, one.examples_seen)),
            wording.rate(one.learning_rate),
            wording.score(one.losses[0], 3),
            wording.score(one.losses[-1], 3),
        ]
        for one in trained
    ]
    said = [f"- {_plain(words)}" for words in wording.training_sentences(record)]
    return [
        "## How training went",
        "",
        *_table(head, rows, numeric=range(1, len(head))),
        *([""] if said else []),
        *said,
    ]


def _checks(record: Record) -> list[str]:
    lines = []
    for check in record.verdict.checks:
        words = " ".join(filter(None, [check.explanation, check.advice]))
        lines.append(f"- **{_plain(check.code)} {_plain(check.title)}** ({_plain(check.severity)}): {_plain(words)}")
    return ["## Checks", "", *lines] if lines else []


def _left_out(record: Record) -> list[str]:
    lines = wording.left_out(record.verdict.skipped, record)
    return ["## Left out", "", *(f"- {_code(what)}: {_plain(why)}" for what, why in lines)] if lines else []


def _time(record: Record) -> list[str]:
    notes = [record.plainly(words) for words in record.verdict.notes]
    return ["## Where the time went", "", *(f"- {_plain(note)}" for note in notes)] if notes else []


def _reproduce(record: Record) -> list[str]:
    facts = wording.reproduce_facts(record)
    command = record.details.reproduce.command
    if not facts and not command:
        return []
    fenced = ["```sh", command.replace("```", "'''"), "```", ""] if command else []
    return [
        "## How to get the same figures",
        "",
        *fenced,
        *(f"- {_plain(name)}: {_plain(value)}" for name, value in facts),
    ]
