"""Which candidates there are, and which runs each of them is to have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nshot import methods
from nshot.backbones import default_for, open_backbone
from nshot.core import Ability, Backbone, BackboneRef, Candidate, Family, NshotError, OptionError, Task, TaskKind
from nshot.evaluation.protocol import Design
from nshot.spec import Method
from nshot.study.options import StudyOptions
from nshot.study.spec import RunSpec


@dataclass(frozen=True)
class Contender:
    """A candidate with its validated method."""

    candidate: Candidate
    method: Method

    @property
    def name(self) -> str:
        """Return the name shown to people."""
        return self.candidate.name

    @property
    def cheap(self) -> bool:
        """Whether it works on frozen features or none, or runs but once: then it does, whatever the clock says."""
        return not self.method.trains_network or self.needs_no_labels

    @property
    def needs_no_labels(self) -> bool:
        """Whether labels make no difference to it: it is measured once, at n = 0."""
        family = self.candidate.family
        return family == Family.ZERO_SHOT or (family == Family.UNSUPERVISED and not self.method.needs.fewest_labels)

    def sizes(self, ladder: Sequence[int]) -> tuple[int, ...]:
        """Return the numbers of labels at which it is measured."""
        if self.needs_no_labels:
            return (0,)
        return tuple(n for n in ladder if n >= max(1, self.method.needs.fewest_labels))


@dataclass(frozen=True)
class Skipped:
    """Something that was not run, and why."""

    candidate: str
    n_labels: int
    reason: str

    def as_json(self) -> dict[str, Any]:
        """Return a json-able record."""
        return {"candidate": self.candidate, "n_labels": self.n_labels, "reason": self.reason}


def opened(options: StudyOptions, modality: str, answers: Path | None = None) -> list[Backbone]:
    """Return the backbones that the options name, or the usual one for such examples; opened but not loaded.

    Args:
        options: Of the study.
        modality: Of the examples.
        answers: File with what models behind an address answered; see `RemoteOptions.access`.
    """
    remote = options.access(answers)
    return [
        open_backbone(BackboneRef(name), precision=options.precision, device=options.device, remote=remote)
        for name in options.backbone or (default_for(modality),)
    ]


def contenders(
    task: Task, modality: str, backbones: Sequence[Backbone], options: StudyOptions
) -> tuple[list[Contender], list[Skipped]]:
    """Return every candidate that can do the task, and those that cannot with the reason.

    Raises:
        OptionError: A named method is unknown, or nothing is left to compare.
    """
    given = options.method_options()
    for name in (*options.methods, *options.also, *options.without, *given):
        methods.get(name)
    usual = options.methods or tuple(name for name in methods.names() if methods.get(name).by_default)
    wanted = [name for name in dict.fromkeys((*usual, *options.also)) if name not in options.without]
    for name in given:
        if name not in wanted:
            raise OptionError(f"An option was set for {name}, which is not compared. Add it: --also {name}.")
    named = {*options.methods, *options.also}
    found, skipped = [], []
    for name in wanted:
        method = methods.build(name, given.get(name))
        if name not in named and task.kind not in method.needs.tasks:
            continue  # made for something else: to leave it out is no news
        for backbone in backbones if method.needs.abilities is not None else [None]:
            if name not in named and not _are_made_for_each_other(method, backbone, modality):
                continue
            candidate = Candidate(
                method=name,
                family=method.family,
                options=method.changed(),
                backbone=backbone.ref if backbone else None,
                version=method.version,
            )
            reason = _refusal(method, task, modality, backbone)
            if reason is None:
                found.append(Contender(candidate, method))
            else:
                skipped.append(Skipped(candidate.name, 0, reason))
    skipped += _without_a_language_model(task, found, backbones)
    if not found:
        why = " ".join(item.reason for item in skipped)
        raise OptionError(f"No method is left to compare. {why}".strip())
    return found, skipped


def _are_made_for_each_other(method: Method, backbone: Backbone | None, modality: str) -> bool:
    """Return whether a method is usual for such data, and can do anything with the backbone, and that with the data."""
    if method.default_for is not None and modality not in method.default_for:
        return False
    if method.needs.label_names and modality == "row":
        return False  # no model reads both a table's columns and the names of labels
    if backbone is None:
        return modality in method.needs.modalities
    return modality in backbone.modalities and (method.needs.abilities or frozenset()) <= backbone.abilities


def _without_a_language_model(task: Task, found: Sequence[Contender], backbones: Sequence[Backbone]) -> list[Skipped]:
    """Return that a comparison of written answers lacks what most people ask about, where no model was named."""
    if task.kind != TaskKind.GENERATE or any(Ability.GENERATES in backbone.abilities for backbone in backbones):
        return []
    reason = "needs a language model. Name one: --backbone FOLDER, or a hub id such as Qwen/Qwen2.5-0.5B-Instruct."
    here = {contender.candidate.method for contender in found}
    wanted = [name for name in methods.names() if methods.get(name).by_default and name not in here]
    return [Skipped(name, 0, f"{name} {reason}") for name in wanted if task.kind in methods.get(name).needs.tasks]


def _refusal(method: Method, task: Task, modality: str, backbone: Backbone | None) -> str | None:
    if backbone is None and method.needs.abilities is None and modality not in method.needs.modalities:
        return f"{method.method_name()} reads {', '.join(sorted(method.needs.modalities))}, not {modality}."
    if backbone is not None and modality not in backbone.modalities:
        return f"{backbone.ref.name} reads {' and '.join(sorted(backbone.modalities))} examples, not {modality}."
    try:
        return method.supports(task, backbone)
    except NshotError as error:
        return str(error)


def runs_of(
    contender: Contender, design: Design, *, seed: int, data: Mapping[tuple[int, int], str], precision: str
) -> list[RunSpec]:
    """Return every run that a candidate is to have if time allows, the most telling first.

    Repeats are left out where no claim rests on them: with no labels, and at n = all rows of a hold-out, where the
    question is how good the one model is that would be handed over.

    Args:
        contender: Whose runs.
        design: How the data is divided.
        seed: The study's seed.
        data: Hash of the data as each (repeat, fold) divides it.
        precision: Number format of the network.
    """
    found = []
    single = design.folds == 1
    sizes = contender.sizes(design.ladder)
    for repeat in range(design.repeats):
        for fold in range(design.folds):
            # All rows first, because today's question is asked there; then the small sizes, which cost little.
            for n in sorted(sizes, key=lambda size: (size != design.n_train, size)):
                settled = n == 0 or (single and n == design.n_train)
                if settled and repeat > 0:
                    continue
                found.append(
                    RunSpec(
                        candidate=contender.candidate,
                        n_labels=n,
                        repeat=repeat,
                        fold=fold,
                        seed=seed * 10_000 + repeat * 100 + fold,
                        data=data[repeat, fold],
                        precision=precision if contender.candidate.backbone else None,
                    )
                )
    return found
