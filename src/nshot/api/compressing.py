"""`compare` for `compress`: what many bits buy, by every method, on images or vectors."""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nshot import bundle
from nshot.api.reporting import Comparison, write_report
from nshot.backbones import FeatureCache, default_for, open_backbone
from nshot.core import (
    Backbone,
    ColumnKind,
    DataError,
    Dataset,
    FitContext,
    Learns,
    OptionError,
    Selection,
    Tabular,
    Task,
    TaskKind,
)
from nshot.study.options import StudyOptions
from nshot.study.watch import Unwatched, Watch

if TYPE_CHECKING:
    from nshot.data.reading import Source
    from nshot.metrics import Array
    from nshot.study.compression import Measured
    from nshot.study.files import StudyFolder
    from nshot.study.options import CompressionOptions

_TEST_SHARE = 0.3
_MOST_TESTED = {"image": 300, "row": 2000}
_MOST_LEARNT_FROM = 20_000
_MOST_PIXELS = 100_000_000
"""Of pictures that are held at once, to learn from; a third of it to test."""
_FEWEST = 4
_SHOWN = 4
_LARGEST_SIDE = 256
"""Of larger pictures the report shows the middle: scaled down, nothing of the loss would be seen."""


@dataclass(frozen=True)
class _Parts:
    """The examples, divided.

    Attributes:
        pool: What is learnt from; of images arrays.
        test: What is compressed; of images arrays.
        backbone: What makes vectors of them, or None.
        notes: What was left out, in sentences.
    """

    pool: Dataset
    test: Dataset
    backbone: Backbone | None
    notes: list[str]


def compress(
    source: Source,
    options: StudyOptions,
    compression: CompressionOptions,
    folder: StudyFolder,
    *,
    test: Source | None = None,
    checks: Sequence[dict[str, Any]] = (),
    pictures: bool = True,
    watch: Watch | None = None,
) -> Comparison:
    """Compare ways of compressing, write verdict, reports and the pick's model into `folder`.

    Args:
        source: Images, rows or texts, with or without labels.
        options: Which methods, which backbone, the seed and so on.
        compression: The rates.
        folder: Open already.
        test: Examples to test on; None: 30 % of the source are held back, equal ones staying together.
        checks: Findings about the data, json-able, for the verdict.
        pictures: Whether the report shows pictures of the data.
        watch: Shown what is going on.

    Raises:
        NshotError: Something has to change first; the text says what.
    """
    from nshot.study.compression import because, conclude, measure
    from nshot.training.codecs.reading import Reading

    began = time.perf_counter()
    watch = watch or Unwatched()
    parts = _divided(source, test, options)
    targets = Reading.of(parts.pool, parts.backbone).arrays(parts.test.examples)
    context = FitContext(
        lambda targets, prediction: 0.0,
        seed=options.seed,
        threads=options.threads or 1,
        device="cpu" if options.device == "auto" else options.device,
        open=lambda ref: open_backbone(ref, device=options.device, threads=options.threads),
    )
    task = Task(TaskKind.COMPRESS, metric="psnr" if targets[0].ndim > 1 else "lost_variance", unit="examples")
    measured = measure(
        task,
        parts.pool,
        parts.test,
        targets,
        backbone=parts.backbone,
        options=options,
        rates=compression.measured(),
        rate=compression.rate,
        context=context,
        watch=watch,
    )
    verdict, pick = conclude(measured, compression.rate, options, len(parts.pool))
    verdict["because"] = because(verdict, measured)
    watch.say("Fitting the model to hand over")
    _hand_over(measured, verdict, pick, task, source, folder)
    verdict |= {
        "checks": list(checks),
        "notes": parts.notes,
        "seconds": round(time.perf_counter() - began, 2),
    }
    details = {
        "data": {"name": source.name, "modality": parts.pool.modality, "recognised": source.recognised},
        "pictures": _pictures(measured, compression.rate) if targets[0].ndim > 1 else [],
        "classifier": _lost_answers(measured, compression.rate, parts, context),
    }
    folder.write(folder.verdict, json.dumps(verdict, ensure_ascii=False, indent=1))
    folder.write(folder.details, json.dumps(details, ensure_ascii=False))
    return write_report(folder.path, texts=pictures)


# ------------------------------------------------------------------------------------------------ the examples


def _divided(source: Source, given: Source | None, options: StudyOptions) -> _Parts:
    import numpy as np

    whole = _together(source)
    if len(whole) < (_FEWEST if given is None else 1):
        raise DataError(f"{source.name} has {len(whole)} examples; to learn from some and test on others, it takes 4.")
    generator = np.random.default_rng(options.seed)
    if given is None:
        pool, test = _split(whole, generator)
    else:
        pool, test = whole.take(generator.permutation(len(whole))), _together(given)
        test = test.take(generator.permutation(len(test)))
    kind = "image" if whole.modality == "image" else "row"
    most = options.test_rows or _MOST_TESTED[kind]
    if whole.modality == "image" and not options.backbone:
        return _of_images(pool, test, most)
    notes = _told(len(pool), len(test), min(len(pool), _MOST_LEARNT_FROM), min(len(test), most))
    pool, test = pool.take(range(min(len(pool), _MOST_LEARNT_FROM))), test.take(range(min(len(test), most)))
    return _Parts(pool, test, _backbone(pool, options), notes)


def _together(source: Source) -> Dataset:
    """Return labelled and unlabelled examples as one data set; its targets stay where all have one."""
    labelled, unlabelled = source.dataset, source.unlabelled
    if not len(unlabelled):
        return labelled
    if not len(labelled):
        return unlabelled
    return Dataset([*labelled.examples, *unlabelled.examples], labelled.modality, name=labelled.name)


def _split(whole: Dataset, generator: Any) -> tuple[Dataset, Dataset]:
    """Return 70 % and 30 % of the examples in a random order; those that are equal, or of one group, stay together."""
    import hashlib

    keys: list[Hashable] = [
        hashlib.blake2b(example if isinstance(example, bytes) else repr(example).encode(errors="replace")).digest()
        if whole.groups is None
        else whole.groups[at]
        for at, example in enumerate(whole.examples)
    ]
    groups: dict[Hashable, list[int]] = {}
    for at in generator.permutation(len(whole)).tolist():
        groups.setdefault(keys[at], []).append(at)
    if len(groups) < _FEWEST:
        raise DataError(f"{whole.name} has {len(groups)} different examples; at least {_FEWEST} are needed.")
    wanted = max(1, round(_TEST_SHARE * len(whole)))
    test: list[int] = []
    pool: list[int] = []
    for members in groups.values():
        (test if len(test) < wanted else pool).extend(members)
    return whole.take(pool), whole.take(test)


def _of_images(pool: Dataset, test: Dataset, most: int) -> _Parts:
    """Return the images as arrays, as many as fit into memory; if some are grey and some not, all have colours."""
    import numpy as np

    from nshot.backbones.image_decoding import pixels_of

    def decoded(dataset: Dataset, most: int, most_pixels: int) -> list[Array]:
        arrays: list[Array] = []
        for at in range(min(len(dataset), most)):
            arrays.append(pixels_of(dataset.examples[at], at))
            most_pixels -= arrays[-1].size
            if most_pixels < 0:
                break
        return arrays

    learnt, tested = decoded(pool, _MOST_LEARNT_FROM, _MOST_PIXELS), decoded(test, most, _MOST_PIXELS // 3)
    notes = _told(len(pool), len(test), len(learnt), len(tested))
    if len({array.ndim for array in (*learnt, *tested)}) > 1:
        learnt, tested = (
            [np.stack([one] * 3, axis=2) if one.ndim == 2 else one for one in some] for some in (learnt, tested)
        )
        notes.append("Some images are grey and some coloured: all were compressed as coloured ones.")
    name = pool.name
    return _Parts(Dataset(learnt, "image", name=name), Dataset(tested, "image", name=name), None, notes)


def _told(n_pool: int, n_test: int, learnt: int, tested: int) -> list[str]:
    notes = []
    if learnt < n_pool:
        notes.append(f"Learnt from {learnt:,} of {n_pool:,} examples, drawn at random.")
    if tested < n_test:
        notes.append(f"Tested on {tested:,} of {n_test:,} examples, drawn at random.")
    return notes


def _backbone(pool: Dataset, options: StudyOptions) -> Backbone | None:
    """Return what makes vectors of the examples; None for rows that are complete numbers already."""
    if len(options.backbone) > 1:
        raise OptionError("To compress, name one backbone at most: --backbone.")
    if not options.backbone and pool.modality == "row" and _are_numbers(pool.examples):
        return None
    ref = options.backbone[0] if options.backbone else default_for(pool.modality)
    opened = open_backbone(
        ref,
        cache=FeatureCache(),
        precision=options.precision,
        device=options.device,
        threads=options.threads,
    )
    if pool.modality not in opened.modalities:
        takes = ", ".join(sorted(opened.modalities))
        raise OptionError(f"{opened.ref.name} takes {takes} examples; {pool.name} holds {pool.modality} examples.")
    return opened.learnt_from(pool.examples) if isinstance(opened, Learns) else opened


def _are_numbers(examples: Sequence[Any]) -> bool:
    whole = examples.source if isinstance(examples, Selection) else examples
    if not isinstance(whole, Tabular):
        return True
    return all(kind is ColumnKind.NUMBER for kind in whole.kinds.values()) and not any(
        whole.column(name).null_count for name in whole.kinds
    )


# ------------------------------------------------------------------------------------------------- the outcome


def _hand_over(
    measured: Measured, verdict: dict[str, Any], pick: str, task: Task, source: Source, folder: StudyFolder
) -> None:
    """Write the pick's bundle: the codec that was fitted for the rate, on the pool that it was measured with."""
    entrant = measured.entrants[pick]
    setting = next(one for one in entrant.settings if one.asked == verdict["rate"])
    found = verdict["pick"]
    about = bundle.BundleInfo(
        model_n_labels=0,
        score=bundle.MeasuredScore(
            metric=verdict["metric"],
            score=found["score"],
            interval=found["interval"],
            n_labels=0,
            n_test=verdict["n_test"],
            target=found["target"],
        ),
        modality=source.dataset.modality if len(source.dataset) else source.unlabelled.modality,
        text_columns=source.text_columns,
        row_columns=tuple(map(bundle.ColumnRecord.of, source.row_columns)),
        data_name=source.name,
        data_fingerprint=_together(source).fingerprint,
    )
    bundle.save(folder.model, method=entrant.method, task=task, predictor=setting.codec, about=about)


def _pictures(measured: Measured, rate: float) -> list[dict[str, Any]]:
    """Return some test images with what every method makes of them at its setting for this rate, as PNG files.

    From the one that the best method does worst by to the one that it does best by.
    """
    import numpy as np

    from nshot.study.compression import at_rate

    found = {name: at_rate(entrant, rate, measured.bits.name) for name, entrant in measured.entrants.items()}
    able = {name: one.nearest for name, one in found.items() if one is not None}
    metric = measured.metric
    sign = 1.0 if metric.higher_is_better else -1.0
    best = max(able, key=lambda name: sign * float(able[name].statistics[metric.name].mean()))
    order = np.argsort(able[best].statistics[metric.name][:, 0], kind="stable")
    rows = order[np.unique(np.linspace(0, len(order) - 1, _SHOWN).round().astype(int))].tolist()
    shown = []
    for row in rows:
        original = measured.targets[row]
        coded = [
            {
                "candidate": name,
                "png": _png(setting.prediction.decoded[row]),
                **{judge: round(float(values[row, 0]), 4) for judge, values in setting.statistics.items()},
            }
            for name, setting in able.items()
            if setting.prediction.decoded is not None
        ]
        shown.append({"size": list(original.shape[:2]), "png": _png(original), "coded": coded})
    return shown


def _png(array: Array) -> str:
    from PIL import Image

    top, left = (max(0, (side - _LARGEST_SIDE) // 2) for side in array.shape[:2])
    middle = array[top : top + _LARGEST_SIDE, left : left + _LARGEST_SIDE]
    written = io.BytesIO()
    Image.fromarray(middle).save(written, "PNG")
    return base64.b64encode(written.getvalue()).decode()


def _lost_answers(measured: Measured, rate: float, parts: _Parts, context: FitContext) -> list[dict[str, Any]]:
    """Return what a classifier of the vectors loses by each method, where there are labels; else nothing."""
    import numpy as np

    from nshot import methods
    from nshot.backbones.rows import NumberRows
    from nshot.study.compression import at_rate, lost_answers
    from nshot.training.codecs.reading import Reading

    truth, labels = parts.test.targets, parts.pool.targets
    if measured.targets[0].ndim > 1 or truth is None or labels is None:
        return []
    known = sorted(set(labels))
    if len(known) < 2 or not all(isinstance(label, str) for label in known):
        return []
    vectors = np.stack(Reading.of(parts.pool, parts.backbone).arrays(parts.pool.examples))
    scale = np.where((spread := vectors.std(axis=0)) > 0, spread, 1.0)
    mean = vectors.mean(axis=0)
    task = Task(TaskKind.CLASSIFY, tuple(known), metric="accuracy", names_say_something=False)
    train = Dataset(list((vectors - mean) / scale), "row", targets=list(labels))
    probe = methods.build("linear_probe").fit(
        task, train, train.without_targets(), NumberRows(vectors.shape[1]), _accurate(context)
    )
    found = {name: at_rate(entrant, rate, measured.bits.name) for name, entrant in measured.entrants.items()}
    decoded = {
        name: np.stack(list(one.nearest.prediction.decoded or ())) for name, one in found.items() if one is not None
    }

    def answered(some: Array) -> list[str]:
        return [str(label) for label in probe.predict(list((some - mean) / scale)).labels or ()]

    return lost_answers(answered, list(truth), np.stack(list(measured.targets)), decoded)


def _accurate(context: FitContext) -> FitContext:
    from dataclasses import replace

    import numpy as np

    def objective(targets: Sequence[Any], prediction: Any) -> float:
        return float(np.mean([one == other for one, other in zip(targets, prediction.labels, strict=True)]))

    return replace(context, objective=objective)
