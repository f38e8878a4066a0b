"""The log of the server; what a request holds is never in it."""

from __future__ import annotations

import logging
import traceback

log = logging.getLogger("nshot.serving")


def log_without_texts(error: BaseException) -> None:
    """Log where an error was raised; its message may hold what a request held."""
    places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    log.error("%s at %s", type(error).__name__, " < ".join(reversed(places[-5:])))
