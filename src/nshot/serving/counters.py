"""What the server counts about itself, in the text format of Prometheus; never a text of a request.

Source of the format: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_EXAMPLES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
Labels = tuple[str, ...]


class Histogram:
    """How often a figure lay up to each of some bounds."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, figure: float) -> None:
        """Count one figure."""
        self._counts[bisect_left(self._bounds, figure)] += 1
        self._sum += figure

    def lines(self, name: str, labels: str) -> Iterator[str]:
        """Yield its lines.

        Args:
            name: Of the metric.
            labels: Written labels, without the bound.
        """
        total = 0
        for bound, count in zip((*map(repr, self._bounds), "+Inf"), self._counts, strict=True):
            total += count
            yield f'{name}_bucket{{{labels},le="{bound}"}} {total}'
        yield f"{name}_sum{{{labels}}} {self._sum!r}"
        yield f"{name}_count{{{labels}}} {total}"


class Counters:
    """Everything that is counted; used in the thread of the event loop only.

    Attributes:
        requests: By path and status.
        rejected: Requests that were turned away, by model and reason.
        predictions: By model and label.
        reloads: By model and result.
        growths: Labels that a model was to learn, by model and result.
        seconds: From the request to its answer, by model.
        batch: Examples that were computed together, by model.
    """

    def __init__(self) -> None:
        self.requests: Counter[Labels] = Counter()
        self.rejected: Counter[Labels] = Counter()
        self.predictions: Counter[Labels] = Counter()
        self.reloads: Counter[Labels] = Counter()
        self.growths: Counter[Labels] = Counter()
        self.seconds: defaultdict[str, Histogram] = defaultdict(lambda: Histogram(_SECONDS))
        self.batch: defaultdict[str, Histogram] = defaultdict(lambda: Histogram(_EXAMPLES))

    def text(self, waiting: Mapping[str, int], drift: Mapping[str, Mapping[str, float]]) -> str:
        """Return all of it.

        Args:
            waiting: How many examples wait or are computed, by model.
            drift: By model, what tells whether inputs and answers still look like those of the training.
        """
        return "\n".join(self._lines(waiting, drift)) + "\n"

    def _lines(self, waiting: Mapping[str, int], drift: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
        of = ("model",)
        yield from _plain("requests_total", "counter", "Requests.", ("path", "status"), self.requests.items())
        yield from _plain("rejected_total", "counter", "Turned away.", ("model", "reason"), self.rejected.items())
        yield from _plain("predictions_total", "counter", "Answers.", ("model", "label"), self.predictions.items())
        yield from _plain("reloads_total", "counter", "Later versions.", ("model", "result"), self.reloads.items())
        yield from _plain("growths_total", "counter", "Labels to learn.", ("model", "result"), self.growths.items())
        gauge = (((name,), count) for name, count in waiting.items())
        yield from _plain("waiting_examples", "gauge", "Examples that wait or are computed.", of, gauge)
        for figure in sorted({figure for figures in drift.values() for figure in figures}):
            found = (((name,), figures[figure]) for name, figures in drift.items() if figure in figures)
            yield from _plain(figure, "gauge", "Of the last answers; see docs/watching.md.", of, found)
        yield from _histograms("request_seconds", "From a request to its answer.", self.seconds)
        yield from _histograms("batch_examples", "Examples computed together.", self.batch)


def _plain(
    name: str, kind: str, about: str, names: Sequence[str], counts: Iterable[tuple[Labels, float]]
) -> Iterator[str]:
    yield from _head(name, kind, about)
    for values, count in counts:
        yield f"nshot_{name}{{{_written(names, values)}}} {count}"


def _histograms(name: str, about: str, found: Mapping[str, Histogram]) -> Iterator[str]:
    yield from _head(name, "histogram", about)
    for model, histogram in found.items():
        yield from histogram.lines(f"nshot_{name}", _written(("model",), (model,)))


def _head(name: str, kind: str, about: str) -> tuple[str, str]:
    return f"# HELP nshot_{name} {about}", f"# TYPE nshot_{name} {kind}"


def _written(names: Sequence[str], values: Labels) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
