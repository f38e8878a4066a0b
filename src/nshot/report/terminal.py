"""The verdict on a terminal: words first, then one table; the same in a pipe, without colour and without Unicode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from nshot.core import TaskKind
from nshot.report import anomalies, compression, costs, generated, new_labels, wording
from nshot.report.record import Curve, Entry, Record, Scored, printable, read

_MOST_ROWS = 16
_MOST_LEFT_OUT = 4
_MOST_WAYS = 6
_MOST_TOLD = 2
_LONGEST_TOLD = 240
_WIDEST_NAME = 34
_FEWEST_SIZES = 4
_GAP = 2
_HIGHEST_BLOCK = 4
"""An error of so many times the smallest one, or more, is a whole block."""
_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII = str.maketrans({"·": ";", "–": "-", "…": "~", "²": "2", "\ufffd": "?", "“": '"', "”": '"', "’": "'"})
_MONEY = ("set-up", "a month")
_ROLE_STYLES = {"pick": "bold green", "same": "", "behind": "dim"}


def render(record: Mapping[str, Any], console: Console, *, texts: bool = True) -> None:
    """Print the verdict, the table of scores by labels, and where the files are.

    Args:
        record: ``{"verdict": ..., "details": ...}``; every key may be missing.
        console: Where to print; its width, colours and encoding are respected.
        texts: Whether texts of the data may be shown.
    """
    if (record.get("verdict") or {}).get("task") == TaskKind.COMPRESS:
        compression.terminal(record, console)
        return
    page = _Page(read(record), console)
    page.data()
    page.verdict()
    page.table()
    page.costs()
    if texts:
        page.written()
    page.new_labels()
    page.left_out()
    page.training()
    page.paths()


@dataclass(frozen=True)
class _Column:
    title: str
    cells: Sequence[str]
    width: int
    is_left: bool = False


class _Page:
    def __init__(self, record: Record, console: Console) -> None:
        self.record = record
        self.console = console
        self.ascii = not console.encoding.lower().startswith("utf")
        self.separator = "; " if self.ascii else " · "

    def text(self, words: str, style: str = "") -> Text:
        return Text(words.translate(_ASCII).encode("ascii", "replace").decode() if self.ascii else words, style)

    def packed(self, parts: Sequence[Text], room: int, gap: int) -> list[Text]:
        """Return the parts joined into as few lines as they fit on, in order."""
        lines: list[Text] = []
        for part in parts:
            if lines and lines[-1].cell_len + gap + part.cell_len <= room:
                lines[-1] = Text(" " * gap).join([lines[-1], part])
            else:
                lines.append(part)
        return lines

    def wrapped(self, words: Text, indent: int, hanging: int = 0) -> None:
        width = max(20, self.console.width - indent - hanging)
        for i, row in enumerate(words.wrap(self.console, width)):
            row.rstrip()
            self.console.print(Text(" " * (indent + (hanging if i else 0))) + row, soft_wrap=True)

    def data(self) -> None:
        data = self.record.details.data
        parts = [self.text(data.name, "bold")]
        parts += [self.text(words) for words in (wording.data_facts(self.record),) if words]
        parts += [self.text(words, "dim") for words in (wording.protocol(self.record),) if words]
        for row in self.packed(parts, self.console.width, 3):
            self.wrapped(row, 0)
        found = wording.checks_line(self.record).replace(" · ", self.separator)
        if found:
            self.wrapped(self.text(f"{found}{self.separator}details in the report", "yellow"), 2)
        self.console.print()

    def verdict(self) -> None:
        record = self.record
        if record.verdict.pick is None:
            self.said("Pick", [self.text(wording.no_pick(record), "bold")])
        else:
            name, backbone = wording.pick_words(record)
            words = self.text(name, "bold green")
            if backbone:
                words.append_text(self.text(f" on {backbone}"))
            if record.verdict.pick.family:
                words.append_text(self.text(f" ({record.verdict.pick.family})"))
            score, cost = self.text(wording.pick_score(record), "bold"), self.text(wording.pick_cost(record))
            parts = [part for part in (words, score, cost) if part.plain]
            self.said("Pick", self.packed(parts, self.console.width - 9, 4))
        more = [wording.shipped(record), wording.corrected(record, wording.decimals(record))]
        more.append(generated.forgetting_sentence(record))
        why = [*map(record.plainly, record.verdict.because), *filter(None, more)]
        self.said("Why", [self.text(words) for words in why])
        ahead = [*wording.next_sentences(record), *filter(None, [wording.resolution(record)])]
        self.said("Next", [self.text(words) for words in ahead])
        self.said("Alarms", [self.text(words) for words in anomalies.sentences(record)])
        self.console.print()

    def said(self, key: str, paragraphs: Sequence[Text]) -> None:
        for i, paragraph in enumerate(paragraphs):
            self.beside(Text(f"  {key if i == 0 else '':<7}", "bold"), paragraph)

    def beside(self, head: Text, words: Text) -> None:
        """Print words to the right of a head, in as many lines as they need."""
        room = head.cell_len
        for i, row in enumerate(words.wrap(self.console, max(20, self.console.width - room))):
            row.rstrip()
            self.console.print((head if i == 0 else Text(" " * room)) + row, soft_wrap=True)

    def table(self) -> None:
        """Print every candidate's scores by number of labels, its costs and how it stands."""
        record = self.record
        rows = _rows(record)
        if not rows:
            return
        shown, numbers = rows[:_MOST_ROWS], record.numbers_of_labels
        places = wording.brief_decimals(record)
        by_labels = [[_cell(curve, n, places) for _, _, curve in shown] for n in numbers]
        widths = [max(4, *map(len, (wording.count(n), *cells))) for n, cells in zip(numbers, by_labels, strict=True)]
        heading = wording.metric_name(record) + (f" by {wording.label(record)}" if record.has_labels else "")
        names = [_named(record, candidate, entry) for candidate, entry, _ in shown]
        widest = min(_WIDEST_NAME, max(map(cell_len, names)))
        costs = self._costs([entry for _, entry, _ in shown])
        roles = [record.role(candidate) for candidate, _, _ in shown]
        standing = [wording.stands(record, candidate) for candidate, _, _ in shown]
        last = _Column("", ["<- pick" if word == "pick" else word for word in standing], 7, is_left=True)

        room = self.console.width - 2 - sum(column.width + _GAP for column in costs) - last.width - _GAP
        kept = _kept(widths, room - max(len(heading), widest))
        if len(heading) > widest and len(kept) < min(_FEWEST_SIZES, len(widths)):
            # What is counted has a long name: numbers of it say more than the name beside them.
            self.wrapped(self.text(heading, "dim"), 2)
            heading, kept = "", _kept(widths, room - widest)
        head = _Column(heading, names, max(len(heading), widest), is_left=True)
        room -= head.width
        titles = [wording.count(n) if record.has_labels else "" for n in numbers]
        scores = [_Column(titles[i], by_labels[i], widths[i]) for i in kept]
        columns = [head, *scores, *costs, last]
        if not self.ascii and len(numbers) > 2 and room >= sum(widths[i] + _GAP for i in kept) + len(numbers) + _GAP:
            lowest, highest = _range(record)
            curves = [_sparkline(_at(curve, numbers), lowest, highest) for _, _, curve in shown]
            columns.insert(1 + len(scores), _Column("", curves, len(numbers), is_left=True))

        self._row([column.title for column in columns], columns, "dim")
        for i, role in enumerate(roles):
            self._row([column.cells[i] for column in columns], columns, _ROLE_STYLES.get(role, "dim"))
        if len(rows) > len(shown):
            self.wrapped(self.text(f"and {wording.count(len(rows) - len(shown))} more in the report", "dim"), 2)

    def _row(self, cells: Sequence[str], columns: Sequence[_Column], style: str) -> None:
        parts = []
        for cell, column in zip(cells, columns, strict=True):
            part = self.text(cell)
            part.truncate(column.width, overflow="crop" if self.ascii else "ellipsis")
            part.align("left" if column.is_left else "right", column.width)
            parts.append(part)
        row = Text("  ") + Text(" " * _GAP).join(parts)
        row.rstrip()
        row.stylize(style)
        self.console.print(row, soft_wrap=True)

    def _costs(self, entries: Sequence[Entry | None]) -> list[_Column]:
        """Return the columns of fit time and latency, where either was measured for anybody."""
        fit = [wording.fit_time(entry) if entry else wording.NOTHING for entry in entries]
        speed = [
            wording.milliseconds(entry.milliseconds_per_example) if entry else wording.NOTHING for entry in entries
        ]
        named = (("fit", fit), (f"per {wording.unit(self.record, 1)}", speed))
        return [
            _Column(title, ["-" if cell == wording.NOTHING else cell for cell in cells], max(map(len, (title, *cells))))
            for title, cells in named
            if any(cell != wording.NOTHING for cell in cells)
        ]

    def costs(self) -> None:
        """Print what the candidates take in money, where there are prices; the report shows their other costs."""
        record = self.record
        if record.verdict.prices is None:
            return
        shown = record.entries[:_MOST_ROWS]
        known = [column for column in costs.columns(shown) if column.is_brief]
        if not known:
            return
        names = [record.short(entry.candidate) for entry in shown]
        columns = [_Column("costs", names, min(_WIDEST_NAME, max(map(cell_len, names))), is_left=True)]
        room = self.console.width - 2 - columns[0].width
        # Money is what was asked for where there is any; the others from the left as far as there is room.
        for column in sorted(known, key=lambda column: column.title not in _MONEY):
            cells = ["-" if cell == wording.NOTHING else cell for cell in column.lines]
            width = max(map(len, (column.title, *cells)))
            if width + _GAP <= room:
                room -= width + _GAP
                columns.append(_Column(column.title, cells, width))
        order = ["costs", *(column.title for column in known)]
        columns.sort(key=lambda column: order.index(column.title))
        self.console.print()
        self._row([column.title for column in columns], columns, "dim")
        for i, entry in enumerate(shown):
            style = _ROLE_STYLES.get(record.role(entry.candidate), "dim")
            self._row([column.cells[i] for column in columns], columns, style)

    def written(self) -> None:
        """Print what the pick and one other wrote for a row drawn at random, and for the pick's worst."""
        record = self.record
        if not generated.has_texts(record):
            return
        names = generated.chosen(record)
        for title, row in generated.telling(record, _MOST_TOLD):
            said = [("input", row.input), *(("reference", words) for words in row.references[:1])]
            metric = generated.score_name(record)
            answers = [one for one in row.answers if one.candidate in names]
            said += [(record.short(one.candidate), _answer(one, metric)) for one in answers]
            width = min(24, max(cell_len(name) for name, _ in said))
            self.console.print()
            where = f", row {wording.count(row.row)}" if row.row is not None else ""
            self.wrapped(self.text(f"{title}{where}", "dim"), 2)
            for name, words in said:
                head = self.text(f"  {name}")
                head.truncate(width + 2, overflow="crop" if self.ascii else "ellipsis")
                head.align("left", width + 4)
                self.beside(head, self.text(printable(words, _LONGEST_TOLD)))
        self.console.print()

    def new_labels(self) -> None:
        """Print how well labels that arrive later are taken in: the best ways, and the best that had them before."""
        record, found = self.record, self.record.verdict.new_labels
        if found is None:
            return
        self.console.print()
        said = (f"{new_labels.held_out(found)}.", *map(record.plainly, found.because))
        self.said("Later", [self.text(words) for words in said])
        every = new_labels.rows(record)
        ways = [row for row in every if not row.was_there]
        shown = [*ways[:_MOST_WAYS], *[row for row in every if row.was_there][:1]]
        if not shown:
            return
        names = [row.candidate for row in shown]
        how = [row.how for row in shown]
        columns = [
            _Column("new labels", names, max(10, min(24, max(map(cell_len, names)))), is_left=True),
            _Column("", how, max(map(len, how)), is_left=True),
            _Column("seen", [wording.brief_score(row.seen.score) for row in shown], 4),
            _Column("new", [wording.brief_score(row.new.score) for row in shown], 4),
            _Column("harmonic mean", [_brief_interval(row.harmonic_mean) for row in shown], 14, is_left=True),
            _Column("takes", [wording.seconds(row.seconds) for row in shown], 7),
        ]
        for least_missed in ("takes", "seen", "new"):
            if sum(column.width + _GAP for column in columns) > self.console.width:
                columns = [column for column in columns if column.title != least_missed]
        self.console.print()
        self._row([column.title for column in columns], columns, "dim")
        for i, row in enumerate(shown):
            self._row([column.cells[i] for column in columns], columns, "dim" if row.was_there else "")
        if len(ways) > _MOST_WAYS:
            self.wrapped(self.text(f"and {wording.count(len(ways) - _MOST_WAYS)} more in the report", "dim"), 2)

    def left_out(self) -> None:
        lines = wording.left_out(self.record.verdict.skipped, self.record)
        for what, why in lines[:_MOST_LEFT_OUT]:
            self.wrapped(self.text(f"left out: {what} ({why.rstrip('.')})", "dim"), 2, hanging=10)
        if len(lines) > _MOST_LEFT_OUT:
            more = wording.count(len(lines) - _MOST_LEFT_OUT)
            self.wrapped(self.text(f"and {more} more left out; the report lists them", "dim"), 2)

    def training(self) -> None:
        for words in wording.training_sentences(self.record):
            self.wrapped(self.text(words, "dim"), 2)

    def paths(self) -> None:
        outputs = self.record.details.outputs
        named = (("report", outputs.report), ("model", outputs.model), ("try", outputs.predict))
        parts = [self.text(f"{key:<6}  ", "bold").append_text(self.text(path)) for key, path in named if path]
        if not parts:
            return
        self.console.print()
        tight = [self.text(f"{key}  ", "bold").append_text(self.text(path)) for key, path in named if path]
        if sum(part.cell_len for part in tight) + 6 * (len(tight) - 1) + 2 <= self.console.width:
            self.console.print(Text("  ") + Text("      ").join(tight), soft_wrap=True)
        else:  # a path is never broken: it is there to be copied
            for part in parts:
                self.console.print(Text("  ") + part, soft_wrap=True)


def _rows(record: Record) -> list[tuple[str, Entry | None, Curve | None]]:
    """Return every candidate with its place in the leaderboard and its curve, where it has them."""
    curves = {curve.candidate: curve for curve in record.curves}
    entries = {entry.candidate: entry for entry in record.entries}
    names = [*entries, *(name for name in curves if name not in entries)]
    return [(name, entries.get(name), curves.get(name)) for name in names]


def _at(curve: Curve | None, numbers: Sequence[int]) -> list[float | None]:
    return wording.scores_at(curve, numbers) if curve else [None] * len(numbers)


def _named(record: Record, candidate: str, entry: Entry | None) -> str:
    """Return the short name, and whether it is a model as it is, which a long name must not push out."""
    name = record.short(candidate)
    if not wording.as_it_is(entry):
        return name
    mark = " (as it is)"
    return printable(name, _WIDEST_NAME - len(mark)) + mark


def _answer(shown: generated.Shown, metric: str) -> str:
    """Return what was written, that it was cut, and its score."""
    words = printable(shown.text or "", _LONGEST_TOLD) or "(nothing)"
    return f"{words}{' (cut)' if shown.is_cut else ''}{f' [{metric} {shown.score}]' if shown.score else ''}"


def _cell(curve: Curve | None, n_labels: int, places: int) -> str:
    value = _at(curve, [n_labels])[0]
    return "-" if value is None else wording.brief_score(value, places)


def _brief_interval(found: Scored) -> str:
    """Return ``.83 [.80, .86]``."""
    if found.interval is None:
        return wording.brief_score(found.score)
    low, high = (wording.brief_score(end) for end in found.interval)
    return f"{wording.brief_score(found.score)} [{low}, {high}]"


def _kept(widths: Sequence[int], room: int) -> list[int]:
    """Return the positions of as many columns as fit into `room`: both ends first, the others evenly spread."""
    for n_kept in range(len(widths), 1, -1):
        positions = sorted({round(i * (len(widths) - 1) / (n_kept - 1)) for i in range(n_kept)})
        if sum(widths[i] + _GAP for i in positions) <= room:
            return positions
    return [len(widths) - 1] if widths else []


def _range(record: Record) -> tuple[float, float]:
    """Return the ends of the scale that all candidates share; the errors of few labels may be far above it."""
    values = [value for curve in record.curves for _, value, _ in curve.measured]
    if not values:
        return 0.0, 1.0
    return min(values), min(max(values), _HIGHEST_BLOCK * min(values)) if record.in_units else max(values)


def _sparkline(values: Sequence[float | None], lowest: float, highest: float) -> str:
    """Return one block per number of labels, on the scale that all candidates share."""
    spread = (highest - lowest) or 1.0
    top = len(_BLOCKS) - 1
    return "".join(
        " " if value is None else _BLOCKS[min(top, round((value - lowest) / spread * top))] for value in values
    )
