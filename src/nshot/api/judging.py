"""A language model as a judge: which of two answers is better, asked in both orders.

A judge tends to prefer what it reads first (Zheng et al. 2023, "Judging LLM-as-a-judge with MT-Bench and Chatbot
Arena", section 3.3), so every pair is shown twice with the places swapped. Only an answer that is preferred in both
places wins; otherwise the pair is a tie, and a tie counts one half.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nshot import metrics
from nshot.api.scored import ends, number
from nshot.core import USER, Conversation, DataError, Decoding, Generates, Message, shortened
from nshot.evaluation.intervals import Block, Estimate, estimate

INSTRUCTION = "Which answer is more correct, complete and helpful? Length alone is no merit."
"""What the judge is asked unless somebody says otherwise."""

_ENDING = "Reply with one word: 1 if the first answer is better, 2 if the second is, or tie if neither is."
_DECODING = Decoding(max_new_tokens=256)
_AT_ONCE = 32
_BARE = re.compile(r"\W*(?:(?:verdict|answer|response)\W*)?(1|2|tie)\W*", re.IGNORECASE)
_STATED = re.compile(r"(?:verdict|better|winner|choice)\W*(?:(?:answer|response|is)\W*)*(1|2|tie)\b", re.IGNORECASE)
_SHOWN = 80


@dataclass(frozen=True)
class Pair:
    """Two answers to one input.

    Attributes:
        first: What the second is held against.
        second: What may win.
        asked: The input, or nothing where it is not known.
        accepted: An answer that is known to be right, or nothing.
    """

    first: str
    second: str
    asked: str = ""
    accepted: str = ""

    def question(self, instruction: str, *, swapped: bool) -> Conversation:
        """Return what the judge reads.

        Args:
            instruction: What makes an answer better.
            swapped: The second answer is shown first.
        """
        shown = (self.second, self.first) if swapped else (self.first, self.second)
        parts = [
            *([f"Question:\n{self.asked}"] if self.asked else []),
            *([f"An answer that is known to be right:\n{self.accepted}"] if self.accepted else []),
            f"First answer:\n{shown[0]}",
            f"Second answer:\n{shown[1]}",
        ]
        # All of it in one turn: not every chat format has a place for what the system says.
        return Conversation((Message(USER, "\n\n".join([f"{instruction} {_ENDING}", *parts, _ENDING])),))


@dataclass(frozen=True)
class Judgement:
    """What a judge said of n pairs.

    Attributes:
        win_rate: Share of pairs that the second answer wins, a tie counting one half.
        won: Pairs that the second answer wins in both orders.
        lost: Pairs that the first answer wins in both orders.
        tied: Pairs that the judge calls a tie, or decides by the order they are shown in.
        by_place: Of the tied ones, those that it decided by the order.
        same: Of the tied ones, those with the same text twice, which are not asked about.
        unclear: Pairs left out, because what the judge said is no verdict.
        example: What it said then, for one of them; nothing where all is clear.
    """

    win_rate: Estimate
    won: int
    lost: int
    tied: int
    by_place: int
    same: int
    unclear: int
    example: str

    def as_json(self) -> dict[str, Any]:
        """Return the json-able record."""
        return {
            "win_rate": {"score": number(self.win_rate.score), "interval": ends(self.win_rate)},
            "won": self.won,
            "lost": self.lost,
            "tied": self.tied,
            "by_place": self.by_place,
            "same": self.same,
            "unclear": self.unclear,
            "example": self.example,
        }


def judge(
    pairs: Sequence[Pair],
    model: Generates,
    instruction: str = INSTRUCTION,
    *,
    groups: NDArray[np.int64] | None = None,
    pace: Callable[[int, int, str], None] = lambda done, total, doing: None,
) -> Judgement:
    """Return which answers a model finds better.

    Args:
        pairs: n pairs.
        model: The judge.
        instruction: What makes an answer better, in words.
        groups: Shape (n,), which pairs count as one observation; None: each is its own.
        pace: Told how many pairs are judged, of how many, and what is done.

    Raises:
        DataError: There are no pairs, one is too long for the judge, or it never gives a verdict.
    """
    if not pairs:
        raise DataError("There is nothing to judge: no pairs of answers.")
    asked = [i for i, pair in enumerate(pairs) if pair.first.strip() != pair.second.strip()]
    outcomes = np.full(len(pairs), 0.5)
    by_place, example = 0, ""
    for start in range(0, len(asked), _AT_ONCE):
        part = asked[start : start + _AT_ONCE]
        questions = [pairs[i].question(instruction, swapped=swapped) for i in part for swapped in (False, True)]
        said = [written.text for written in model.generate(questions, _DECODING)]
        for place, i in enumerate(part):
            plain, swapped = (verdict(text) for text in said[2 * place : 2 * place + 2])
            if plain is None or swapped is None:
                outcomes[i] = np.nan
                example = example or said[2 * place + (plain is not None)]
            elif {plain, swapped} == {1, 2}:
                outcomes[i] = float(plain == 2)
            else:
                by_place += plain == swapped != 0
        pace(start + len(part), len(asked), "judging")
    clear = np.flatnonzero(~np.isnan(outcomes))
    if not len(clear):
        raise DataError(
            f"The judge gave no verdict on any of {len(pairs):,} pairs. It was asked to reply 1, 2 or tie, and said "
            f"for one of them {shortened(example, _SHOWN)!r}. Use a model that follows instructions."
        )
    kept = outcomes[clear]
    own = None if groups is None else groups[clear]
    # A win rate is a share with halves: the intervals are those of accuracy.
    share = metrics.get("accuracy")
    rate = estimate([Block(0, 0, clear, kept[:, None], own)], share, rho=None, target="this model")
    return Judgement(
        win_rate=rate,
        won=int((kept == 1.0).sum()),
        lost=int((kept == 0.0).sum()),
        tied=int((kept == 0.5).sum()),
        by_place=by_place,
        same=len(pairs) - len(asked),
        unclear=len(pairs) - len(clear),
        example=shortened(example, _SHOWN),
    )


def verdict(said: str) -> int | None:
    """Return 1, 2, or 0 for a tie, or None where a judge's words are no verdict.

    Args:
        said: ``2``, ``**Answer 2**``, or words in which a verdict is stated, of which the last counts.
    """
    found = _BARE.fullmatch(said.strip())
    stated = [found.group(1)] if found else _STATED.findall(said)
    if not stated:
        return None
    return {"1": 1, "2": 2}.get(stated[-1].lower(), 0)
