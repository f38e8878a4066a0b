"""From the inputs of a request to examples: texts, rows, images, conversations; nothing is ever read from a path."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic.config import JsonDict

from nshot.bundle import Manifest
from nshot.core import DataError, Example, NshotError
from nshot.data.columns import RowColumn
from nshot.data.conversations import asked_in
from nshot.serving.limits import InputLimits

_TEXT: JsonDict = {"type": "string"}
_ROW: JsonDict = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean", "null"]}}
_NUMBERS: JsonDict = {"type": "array", "items": {"type": "number"}}
INPUT: JsonDict = {"anyOf": [_TEXT, _ROW, _NUMBERS]}
"""What one input may be, for the description of the interface."""
_WORDS = {"text": "a text", "row": "an object with a value for each column", "image": "an image file in base64"}
_KINDS = {str: "a text", dict: "an object", list: "a list", bool: "true or false", int: "a number", float: "a number"}
_MOST_NAMES = 5


def examples_of(manifest: Manifest, columns: Sequence[RowColumn], inputs: Any, limits: InputLimits) -> list[Example]:
    """Return what is to be answered.

    Args:
        manifest: Of the model.
        columns: Of the rows that it reads; none where it reads something else.
        inputs: One input, or a list of them, as it stands in a request.
        limits: How much there may be.

    Raises:
        DataError: It is not what the model reads, or too much.
    """
    given = inputs if isinstance(inputs, list) else [inputs]
    if not given:
        raise DataError("inputs is empty. Send one input, or a list of them.")
    if len(given) > limits.most_rows:
        raise DataError(f"inputs has {len(given):,} entries, and one request may have {limits.most_rows:,}.")
    if columns:
        return _rows(given, columns, limits)
    if manifest.modality == "row":
        return [_numbers(value, position) for position, value in enumerate(given)]
    if manifest.modality == "image":
        return [_image(value, position) for position, value in enumerate(given)]
    if manifest.modality == "conversation":
        return [_conversation(value, position, limits) for position, value in enumerate(given)]
    if all(isinstance(value, Mapping) for value in given) and manifest.text_columns:
        return _joined_texts(given, manifest.text_columns, limits)
    return [_text(value, position, limits) for position, value in enumerate(given)]


def _wrong(position: int, what: str, found: Any) -> DataError:
    kinds = {
        str: "a text",
        dict: "an object",
        list: "a list",
        bool: "true or false",
        int: "a number",
        float: "a number",
    }
    return DataError(f"Input {position + 1:,} is {kinds.get(type(found), 'null')}; the model reads {what}.")


def _text(value: Any, position: int, limits: InputLimits) -> str:
    if not isinstance(value, str):
        raise _wrong(position, _WORDS["text"], value)
    if len(value) > limits.most_characters:
        raise DataError(
            f"Input {position + 1:,} has {len(value):,} characters, and a text may have {limits.most_characters:,}."
        )
    return value


def _cell(value: Any, position: int, name: str, limits: InputLimits) -> Any:
    if isinstance(value, str):
        return _text(value, position, limits)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        # Integers of any length are JSON; further than floats reach, they are no cells.
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return value
        raise DataError(f"Input {position + 1:,} has a number in '{name}' that is too large.")
    raise DataError(f"Input {position + 1:,} has a list or an object in '{name}'. Expected a text, a number or null.")


def _cells(given: Sequence[Any], names: Sequence[str], limits: InputLimits) -> list[dict[str, Any]]:
    """Return the cells of these columns; other columns are left out.

    Raises:
        DataError: An input is no object, or lacks a column: a cell may be null, but has to be there.
    """
    rows = []
    for position, value in enumerate(given):
        if not isinstance(value, Mapping):
            raise _wrong(position, _WORDS["row"], value)
        missing = [name for name in names if name not in value]
        if missing:
            shown = ", ".join(f"'{name}'" for name in missing[:_MOST_NAMES])
            more = ", ..." if len(missing) > _MOST_NAMES else ""
            raise DataError(f"Input {position + 1:,} lacks {shown}{more}. Send null for a cell that is not known.")
        rows.append({name: _cell(value[name], position, name, limits) for name in names})
    return rows


def _rows(given: Sequence[Any], columns: Sequence[RowColumn], limits: InputLimits) -> list[Example]:
    from nshot.data.reading import stream_inputs

    rows = _cells(given, [column.name for column in columns], limits)
    return list(next(stream_inputs(_as_one_kind(rows), row_columns=columns, batch_rows=len(rows)).batches).examples)


def _joined_texts(given: Sequence[Any], columns: Sequence[str], limits: InputLimits) -> list[Example]:
    from nshot.data.reading import stream_inputs

    rows = _as_one_kind(_cells(given, columns, limits))
    return list(next(stream_inputs(rows, columns, batch_rows=len(rows)).batches).examples)


def _as_one_kind(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows whose columns hold either numbers or texts: a column with both is read as texts."""
    for name in rows[0]:
        kinds = {type(row[name]) for row in rows} - {type(None)}
        if kinds - {int, float}:
            for row in rows:
                row[name] = None if row[name] is None else str(row[name])
        elif kinds:
            for row in rows:
                row[name] = None if row[name] is None else float(row[name])
    return rows


def _numbers(value: Any, position: int) -> tuple[float, ...]:
    is_number = all(isinstance(number, int | float) for number in value) if isinstance(value, list) else False
    if not is_number:
        raise _wrong(position, "lists of numbers", value)
    try:
        return tuple(float(number) for number in value)
    except OverflowError:
        raise DataError(f"Input {position + 1:,} has a number that is too large.") from None


def _image(value: Any, position: int) -> bytes:
    if not isinstance(value, str):
        raise _wrong(position, _WORDS["image"], value)
    written = value.partition(",")[2] if value.startswith("data:") else value
    try:
        return base64.b64decode(written, validate=True)
    except (binascii.Error, ValueError):
        raise DataError(f"Input {position + 1:,} is no base64. The model reads {_WORDS['image']}.") from None


def _conversation(value: Any, position: int, limits: InputLimits) -> Example:
    if isinstance(value, str):
        return _text(value, position, limits)
    if not isinstance(value, Mapping) or not isinstance(value.get("messages"), list):
        raise _wrong(position, 'a text, or {"messages": [...]}', value)
    messages, tools = value["messages"], value.get("tools") or []
    if not all(isinstance(each, Mapping) for each in (*messages, *tools)) or not isinstance(tools, list):
        raise DataError(f"Input {position + 1:,} has messages or tools that are no objects.")
    try:
        return asked_in(messages, tools)
    except NshotError as error:
        raise DataError(f"Input {position + 1:,}: {error}") from None
