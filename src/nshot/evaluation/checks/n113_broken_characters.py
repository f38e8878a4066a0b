"""N113: characters that were decoded wrongly."""

from __future__ import annotations

import re

from nshot.core import Check, Severity, counted
from nshot.evaluation.checks.facts import ANY, TEXTS, Audit, share

CODE = "N113"
TITLE = "Wrongly decoded characters"
KINDS = ANY
MODALITIES = TEXTS
MATTERS_FROM = 0.01
FOREIGN = 0.3
"""Share of letters beyond ASCII from which a guessed Western encoding is doubted; French and Vietnamese stay below."""
# UTF-8 bytes read as cp1252 or latin-1 begin with one of these letters and go on with these signs.
_CP1252_HIGH = bytes(code for code in range(0x80, 0xC0) if code not in b"\x81\x8d\x8f\x90\x9d").decode("cp1252")
_MOJIBAKE = re.compile(f"[\u00c2-\u00f4][\u0080-\u00bf{re.escape(_CP1252_HIGH)}]+")
_REPLACED = "\ufffd"


def check(audit: Audit) -> Check | None:
    """Return the rows with characters such as 'Ã¨' for 'è' or the sign for an unreadable byte."""
    texts = audit.texts
    if audit.writes:
        texts = [f"{text}\n{answer}" for text, answer in zip(audit.texts, audit.targets, strict=True)]
    found = [i for i, text in enumerate(texts) if not text.isascii() and _is_broken(text)]
    n = len(audit.texts)
    doubted = audit.train.encoding in {"cp1252", "latin-1"} and _foreign_share(audit) > FOREIGN
    if not found and not doubted:
        return None
    if doubted:
        explanation = (
            f"{audit.train.name} is not UTF-8 and was read as {audit.train.encoding}, which gives few plain letters."
        )
        advice = "Name its real encoding: --encoding cp1251 (Russian), shift_jis (Japanese), gb18030 (Chinese)."
    else:
        example = _excerpt(texts[found[0]])
        explanation = (
            f"{counted(len(found), 'text holds', 'texts hold')} wrongly decoded characters "
            f"({share(len(found), n)} of {n:,}), such as {example!r}."
        )
        advice = "The file was damaged before it came here: export it again as UTF-8, or name its encoding: --encoding."
    return Check(
        code=CODE,
        title=TITLE,
        severity=Severity.ISSUE if doubted or len(found) >= MATTERS_FROM * n else Severity.NOTE,
        explanation=explanation,
        advice=advice,
        rows=audit.rows(found),
        count=len(found),
    )


def _bytes(text: str) -> bytes | None:
    """Return the bytes that would read as `text` in cp1252, its undefined ones taken as in latin-1."""
    parts = []
    for character in text:
        try:
            parts.append(character.encode("cp1252"))
        except UnicodeEncodeError:
            if ord(character) > 0xFF:
                return None
            parts.append(character.encode("latin-1"))
    return b"".join(parts)


def _mended(run: str) -> bool:
    data = _bytes(run)
    try:
        return data is not None and len(data.decode("utf-8")) < len(run)
    except UnicodeDecodeError:
        return False


def _is_broken(text: str) -> bool:
    return _REPLACED in text or any(_mended(match.group()) for match in _MOJIBAKE.finditer(text))


def _excerpt(text: str) -> str:
    matches = (match for match in _MOJIBAKE.finditer(text) if _mended(match.group()))
    match = next(matches, None)
    at = match.start() if match else text.index(_REPLACED)
    return text[max(0, at - 12) : at + 12]


def _foreign_share(audit: Audit) -> float:
    sample = "".join(audit.texts[i] for i in range(min(200, len(audit.texts))))
    letters = [character for character in sample if character.isalpha()]
    return sum(not character.isascii() for character in letters) / max(1, len(letters))
