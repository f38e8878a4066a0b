"""`check`: an audit of data, without comparing anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nshot.api.options import resolved_options
from nshot.api.showing import ShownExample, first_example
from nshot.core import Check, OptionError, Task, TaskKind
from nshot.data.options import ReadOptions

if TYPE_CHECKING:
    from nshot.backbones.causal_lm import CausalLM
    from nshot.data.columns import RowColumn


@dataclass(frozen=True)
class CheckedData:
    """What an audit found.

    Attributes:
        rows: Number of rows.
        n_labelled: Those with a label or an answer.
        task: What was recognised as the task.
        checks: The findings.
        recognised: A sentence about what was recognised.
        columns: The columns that form the rows of a table; none where the examples are something else.
        columns_left_out: Name -> reason of those that are no part of the rows.
        example: The first example as a language model sees it; None where the answers are labels.
    """

    rows: int
    n_labelled: int
    task: Task
    checks: tuple[Check, ...]
    recognised: str
    columns: tuple[RowColumn, ...] = ()
    columns_left_out: Mapping[str, str] = field(default_factory=dict)
    example: ShownExample | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the record that ``nshot check --json`` prints."""
        record: dict[str, Any] = {
            "rows": self.rows,
            "labelled": self.n_labelled,
            "task": self.task.kind.value,
            "labels": list(self.task.labels),
            "checks": [finding.as_json() for finding in self.checks],
        }
        if self.columns:
            record["columns"] = [column.as_json() for column in self.columns]
            record["columns_left_out"] = dict(self.columns_left_out)
        return {**record, "example": self.example.as_json()} if self.example else record


def check(
    data: Any,
    test: Any = None,
    *,
    backbone: str | None = None,
    options: ReadOptions | Mapping[str, Any] | None = None,
    **more: Any,
) -> CheckedData:
    """Audit data without comparing anything.

    Args:
        data: As in `compare`.
        test: A test of the same form, or None.
        backbone: A language model whose tokens are counted and in whose chat format the first example is shown, where
            the answers are texts that a model writes.
        options: A `ReadOptions` or its fields.
        more: Fields of `ReadOptions`, such as ``label="queue"``.

    Raises:
        DataError: The data cannot be read.
        OptionError: The backbone is no language model, or the answers are labels.
        ModelError: The backbone cannot be opened.
    """
    from nshot.data.reading import read
    from nshot.evaluation.checks import audit
    from nshot.evaluation.checks.facts import count_tokens

    resolved = resolved_options(ReadOptions, options, more)
    source = read(data, resolved)
    writes = source.task.kind is TaskKind.GENERATE
    if backbone is not None and not writes:
        raise OptionError(
            f"--backbone shows how a language model sees answers that it is to write, but {source.name} has labels. "
            "Leave it out, or say that they are texts to write: --task generate."
        )
    held = read(test, resolved, like=source) if test is not None else None
    model = None if backbone is None else _decoder(backbone)
    tokens = None if model is None or not len(source.dataset) else count_tokens(source, model, model.ref.name)
    return CheckedData(
        source.rows,
        len(source.dataset),
        source.task,
        tuple(audit(source, held, tokens).checks),
        source.recognised,
        source.row_columns,
        source.columns_left_out,
        first_example(source, model, model.ref.name if model else None) if writes else None,
    )


def _decoder(name: str) -> CausalLM:
    from nshot.backbones import open_backbone
    from nshot.backbones.causal_lm import CausalLM

    found = open_backbone(name)
    if not isinstance(found, CausalLM):
        raise OptionError(
            f"--backbone must name a language model on this machine, whose tokens can be looked at. {name} is none; "
            "without --backbone the turns are shown as they are."
        )
    return found
