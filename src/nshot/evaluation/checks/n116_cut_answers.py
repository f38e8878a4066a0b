"""N116: rows longer than the model takes in, so that their answer is cut."""

from __future__ import annotations

import numpy as np

from nshot.core import Check, Severity, counted
from nshot.evaluation.checks.facts import TEXTS, WRITING, Audit, TokenCounts, estimated_tokens, share

CODE = "N116"
TITLE = "Answers cut by the length limit"
KINDS = WRITING
MODALITIES = TEXTS
USUAL_LONGEST = 2048
"""Tokens that small language models take in; many take more."""
MATTERS_FROM = 0.01


def check(audit: Audit) -> Check | None:
    """Return the rows whose input and answer together exceed what the model takes in.

    Without a model its tokens are estimated from words and characters, and its limit is taken to be 2,048.
    """
    tokens = audit.tokens or _estimated(audit)
    if tokens.longest is None:
        return None
    long = np.flatnonzero(tokens.rows > tokens.longest)
    if not len(long):
        return None
    n = len(tokens.rows)
    lost = np.flatnonzero(tokens.inputs >= tokens.longest)
    longest = int(tokens.rows.max())
    if audit.tokens is None:
        what = f"than {tokens.longest:,} tokens, by an estimate from words and characters"
        advice = "Name the model, and its own tokens are counted: --backbone ID. "
    else:
        what = f"than the {tokens.longest:,} tokens that {tokens.model} takes in"
        advice = ""
    nothing = f" In {len(lost):,} of them the input alone is, so nothing of the answer is left." if len(lost) else ""
    are = counted(len(long), "row is", "rows are")
    return Check(
        code=CODE,
        title=TITLE,
        severity=Severity.ISSUE if len(long) >= MATTERS_FROM * n else Severity.NOTE,
        explanation=f"{are} longer with the answer {what} ({share(len(long), n)} of {n:,}; the longest has "
        f"{longest:,})." + nothing,
        advice=advice + "Answers that are cut teach a model to stop in the middle: shorten these rows, or choose a "
        "model that takes in more.",
        rows=audit.rows(long.tolist()),
        count=len(long),
        details={
            "longest_allowed": tokens.longest,
            "longest": longest,
            "nothing_left": len(lost),
            "counted_by": tokens.model if audit.tokens is not None else None,
        },
    )


def _estimated(audit: Audit) -> TokenCounts:
    inputs = np.array([estimated_tokens(text) for text in audit.texts], np.float64)
    answers = np.array([estimated_tokens(answer) for answer in audit.targets], np.float64)
    return TokenCounts(inputs.astype(np.int64), np.ceil(inputs + answers).astype(np.int64), USUAL_LONGEST, "")
