"""What the files of a pre-trained model say about its licence; nothing is guessed from the text of one."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from nshot.backbones.locate import files_here
from nshot.backbones.pixels import ID as PIXELS
from nshot.core import BackboneRef

_CARD = "README.md"
_CONFIG = "config.json"
_TEXTS = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "LICENCE.txt", "LICENCE.md", "COPYING")
_LONGEST_HEAD = 1 << 16
_MOST_BYTES = 1 << 22
# Two lines of a stranger's file are looked for; read as YAML, merge keys in it could take any time and memory.
_HEAD = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)^---[ \t]*$", re.DOTALL | re.MULTILINE)
_LIST = re.compile(r"^license:[ \t]*\r?\n((?:[ \t]*-[ \t]+\S+[ \t]*\r?\n)+)", re.MULTILINE)
_ID = re.compile(r"[A-Za-z0-9][\w.+-]{0,63}")
_SAYS_NOTHING = frozenset({"unknown", "other", "none", "null"})


@dataclass(frozen=True)
class Licence:
    """What is known of a licence.

    Attributes:
        name: An identifier such as ``apache-2.0``, as the model's files state it; None: they do not.
        file: A file beside the weights that holds the text of a licence, or None.
    """

    name: str | None = None
    file: str | None = None


def licence_of(ref: BackboneRef) -> Licence:
    """Return what the files of a model on this machine say; nothing is fetched.

    First the head of its ``README.md``, as the Hugging Face hub reads it (``license``, and ``license_name`` where that
    is "other"; https://huggingface.co/docs/hub/model-cards), then ``license`` in its ``config.json``. Of several
    licences none is named: which one holds is for people to find out.
    """
    if ref.id == PIXELS:
        return Licence()
    try:
        files = files_here(ref, (_CARD, _CONFIG, *_TEXTS))
        card, config = (files.get(name) for name in (_CARD, _CONFIG))
        stated = (_of_card(card) if card else None) or (_of_config(config) if config else None)
    except OSError:  # that nobody may read it is no reason not to save what was made with it
        return Licence()
    return Licence(stated, next((name for name in _TEXTS if name in files), None))


def _of_card(path: Path) -> str | None:
    found = _HEAD.match(_beginning(path))
    if found is None:
        return None
    head = found[1]
    listed = _LIST.search(head)
    if listed:
        entries = [line.strip().removeprefix("-") for line in listed[1].splitlines()]
        return _identifier(entries[0]) if len(entries) == 1 else None
    return _identifier(_value(head, "license")) or _identifier(_value(head, "license_name"))


def _of_config(path: Path) -> str | None:
    if path.stat().st_size > _MOST_BYTES:
        return None
    try:
        record = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return None
    return _identifier(record.get("license")) if isinstance(record, dict) else None


def _beginning(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_LONGEST_HEAD).decode("utf-8", errors="replace")


def _value(head: str, key: str) -> str | None:
    found = re.search(rf"^{key}:[ \t]*(\S[^\r\n#]*)", head, re.MULTILINE)
    return found[1] if found else None


def _identifier(stated: object) -> str | None:
    """Return a stated identifier, or None where there is none or it says nothing."""
    plain = stated.strip().strip("\"'") if isinstance(stated, str) else ""
    return plain if _ID.fullmatch(plain) and plain.lower() not in _SAYS_NOTHING else None
