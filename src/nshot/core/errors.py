"""The one error tree.

::

    NshotError                     anything nshot says to a person; never shown with a traceback
    ├── UsageProblem               exit code 2: the input has to change
    │   ├── DataError              a file, a column, a value
    │   │   └── ExampleError       one of the examples that were handed over
    │   ├── OptionError            an unknown name or a value that is not allowed
    │   ├── UnsupportedError       this method cannot do this task with this backbone
    │   └── CostLimitError         the money that may be spent on a remote model does not last
    ├── EnvironmentProblem         exit code 3: the machine has to change
    │   ├── MissingExtraError      an optional dependency is not installed
    │   ├── ModelError             a model cannot be opened, or is not the one that was recorded
    │   ├── OutputError            the disk refuses: full, read-only, not ours
    │   └── OutOfMemoryError
    ├── TrainingError              exit code 2: a fit went wrong (diverged, nothing to learn from)
    ├── CheckFailedError           exit code 1: something the user asked to enforce does not hold
    └── Interrupted                exit code 130: stopped by the user; can be resumed

A message says what was expected, what was found, and what to do next.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class NshotError(Exception):
    """Anything that nshot has to tell a person; the message is written for them."""

    exit_code = 2


class UsageProblem(NshotError):
    """The data or the options have to change."""


class DataError(UsageProblem):
    """A file, a column or a value is not what is needed."""


class ExampleError(DataError):
    """One of several examples is not what is needed; whoever knows where it comes from says so with `at`.

    Attributes:
        position: Which one, 0-based, of those that were handed over.
        problem: What is wrong, as it goes on after "Example 4".
    """

    def __init__(self, position: int, problem: str) -> None:
        super().__init__(f"Example {position + 1:,}{problem}")
        self.position = position
        self.problem = problem

    def at(self, position: int) -> ExampleError:
        """Return the same of an example that stands elsewhere for whoever is told."""
        return ExampleError(position, self.problem)


class OptionError(UsageProblem):
    """An unknown name, or a value outside what is allowed."""


class UnsupportedError(UsageProblem):
    """A method cannot do this task with this backbone; the text equals what `supports` returned."""


class CostLimitError(UsageProblem):
    """The money that may be spent on a remote model does not last; the same command with a higher limit goes on."""


class EnvironmentProblem(NshotError):
    """The machine, not the input, has to change."""

    exit_code = 3


class MissingExtraError(EnvironmentProblem):
    """An optional dependency is not installed."""


class ModelError(EnvironmentProblem):
    """A pre-trained or saved model cannot be opened, or is not the one that was recorded."""


class OutputError(EnvironmentProblem):
    """The output cannot be written."""


class OutOfMemoryError(EnvironmentProblem):
    """There is not enough memory for what was asked."""


class TrainingError(NshotError):
    """A fit went wrong: it diverged, or there was nothing to learn from."""


class CheckFailedError(NshotError):
    """Something that the user asked to enforce does not hold."""

    exit_code = 1


class Interrupted(NshotError):
    """Stopped by the user; what was finished is kept and the same command resumes."""

    exit_code = 130


def closest(name: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the nearest of `known`, or an empty string."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean '{found[0]}'?" if found else ""
