"""How much a request may hold and ask for, and how much may wait."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class InputLimits:
    """How much one request may hold.

    Attributes:
        most_rows: Inputs.
        most_characters: Characters of a text, or of a cell.
    """

    most_rows: int = 1024
    most_characters: int = 100_000


@dataclass(frozen=True)
class Limits:
    """What a request may ask for, and how much may wait.

    Attributes:
        most_waiting: How many conversations may wait while one is answered.
        most_tokens: The longest answer that may be asked for, in tokens.
        most_bytes: The longest body of a request.
        most_examples: How many examples may wait for the models of one base.
        inputs: How much one request for predictions may hold.
        deadline_seconds: How long predictions may take, from the first byte of the request on.
    """

    most_waiting: int = 16
    most_tokens: int = 4096
    most_bytes: int = 1_000_000
    most_examples: int = 4096
    inputs: InputLimits = field(default_factory=InputLimits)
    deadline_seconds: float = 30.0
