"""The whole report as one HTML file that needs no network, no script and no other file.

Three things keep a text of the data from becoming part of the page: autoescaping, charts built as trees, and a content
policy that allows no script but the page's own (by its hash) and no request at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nshot.report import anomalies, costs, entities, generated, new_labels, regression, wording
from nshot.report.pages import content_policy, own_file, template
from nshot.report.record import Record, read

_WHOLE_MATRIX = 16
_LARGEST_PICTURE = 250
_MOST_PAIRS = 24
_MOST_CLASSES = 400
_MOST_MISTAKES = 40
_OF_ITS_KIND = (regression.sections, anomalies.sections, entities.sections)
"""What the report has for one kind of task only: ``sections(record, texts=...)`` are drawn where they are not empty."""


def render(record: Mapping[str, Any], *, texts: bool = True) -> str:
    """Return the report as a self-contained HTML page.

    Args:
        record: ``{"verdict": ..., "details": ...}``; every key may be missing.
        texts: Whether texts of the data may be shown (mistakes quote them, written answers are some).
    """
    from nshot.report import charts
    from nshot.report.losses import Line, loss_chart

    page = read(record)
    script = own_file("report.js")
    axis = charts.forest_range(page)
    looks = charts.styles(page)
    both = (True, False)
    trained = [one for one in page.details.training if one.losses and one.candidate in looks]
    lines = [Line(one, (look := looks[one.candidate]).name, look.key, look.css) for one in trained]
    return template("report.html.j2").render(
        record=page,
        verdict=page.verdict,
        details=page.details,
        w=wording,
        places=wording.decimals(page),
        metric=wording.metric_name(page),
        style=own_file("report.css"),
        script=script,
        policy=content_policy(script),
        looks=looks,
        samples={name: charts.sample(look) for name, look in looks.items()},
        curves=[chart for is_wide in both if (chart := charts.curves(page, is_wide))],
        costs=[
            drawn
            for what in ("fit", "latency")
            if (drawn := [c for wide in both if (c := charts.cost(page, what, wide))])
        ],
        forests={entry.candidate: charts.forest(page, entry, looks[entry.candidate], axis) for entry in page.entries},
        cost_columns=costs.columns(page.entries),
        cost_notes=costs.notes(page),
        break_evens=costs.break_evens(page),
        remote_head=costs.REMOTE_HEAD,
        remote=costs.remote(page),
        forgetting=page.details.forgetting,
        late=page.verdict.new_labels,
        late_rows=new_labels.rows(page),
        n=new_labels,
        below_axis=charts.below_axis(page),
        below_cost_axis=charts.below_cost_axis(page),
        forest_axis=charts.forest_axis(page, axis),
        other_metrics=list(
            dict.fromkeys(name for e in page.entries for name in e.scores if name != page.verdict.metric)
        ),
        less_is_better=wording.less_is_better(name for e in page.entries for name in e.scores),
        own_sections=[part for sections in _OF_ITS_KIND for part in sections(page, texts=texts)],
        calibration=charts.calibration(page.details.calibration.bins),
        heat=charts.heat(page.details.confusion) if _WHOLE_MATRIX < _size(page) <= _LARGEST_PICTURE else None,
        is_small=0 < _size(page) <= _WHOLE_MATRIX,
        pairs=wording.confused_pairs(page.details.confusion),
        most_pairs=_MOST_PAIRS,
        classes=sorted(page.details.per_class, key=lambda row: (row.f1 is None, row.f1, row.label))[:_MOST_CLASSES],
        mistakes=page.details.mistakes[:_MOST_MISTAKES],
        written=generated.groups(page),
        writers=generated.candidates(page),
        chosen=generated.chosen(page),
        g=generated,
        suspected=page.details.suspected_labels[:_MOST_MISTAKES],
        texts=texts,
        because=[page.plainly(words) for words in page.verdict.because],
        notes=[page.plainly(words) for words in page.verdict.notes],
        time_spent=_time_spent(page),
        trained=trained,
        loss_charts=[picture for wide in both if (picture := loss_chart(lines, "share of the training", wide))],
        targets=[
            t for t in wording.TARGETS if any(point.target == t for c in page.curves for _, _, point in c.measured)
        ],
        roles=[role for role in wording.ROLES if any(wording.stands(page, name) == role for name in looks)],
    )


def _size(record: Record) -> int:
    confusion = record.details.confusion
    return len(confusion.labels) if confusion.complete else 0


def _time_spent(record: Record) -> list[tuple[str, float, int]]:
    """Return seconds and number of fits by candidate, the longest first."""
    spent: dict[str, tuple[float, int]] = {}
    for fit in record.details.timeline:
        so_far, fits = spent.get(fit.candidate, (0.0, 0))
        spent[fit.candidate] = (so_far + fit.seconds, fits + 1)
    return sorted(((name, total, fits) for name, (total, fits) in spent.items() if name), key=lambda row: -row[1])
