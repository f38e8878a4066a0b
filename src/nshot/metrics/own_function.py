"""A user's own scoring function as a metric: ``module:function`` or ``file.py:function``.

Naming one runs the user's code, with all that it may do.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import math
import numbers
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from nshot.core import DataError, OptionError, closest, shortened
from nshot.metrics.generate.texts import KINDS, one_number
from nshot.metrics.metric import Metric

_SHOWN = 60


def own_function(name: str) -> Metric:
    """Return the metric that calls a function of the user's with a text and the tuple of its references.

    The score is the mean of the numbers it returns, and more is taken to be better.

    Args:
        name: ``module:function``; a module is looked for in the working directory first, a file (``score.py:function``)
            is found from there.

    Raises:
        OptionError: There is no such function, or its module cannot be loaded.
    """
    where, _, function = name.rpartition(":")
    file = Path(where).expanduser().resolve() if where.endswith(".py") or "/" in where else None
    if file is None:
        return _of(name, function, str(Path.cwd()), None)
    if not file.is_file():
        names = [entry.name for entry in file.parent.glob("*.py")] if file.parent.is_dir() else []
        raise OptionError(f"There is no file {file} for the metric '{name}'.{closest(file.name, names)}")
    # A file that was changed is another metric.
    return _of(name, function, str(file), file.stat().st_mtime_ns)


@cache
def _of(name: str, function: str, place: str, changed: int | None) -> Metric:
    """Return the metric; the same one as long as nothing changed, since metrics are told apart by their functions."""
    module = _module(name, place) if changed is None else _file(name, Path(place))
    known = {key: value for key, value in vars(module).items() if callable(value) and not key.startswith("_")}
    if function not in vars(module):
        listed = f" It has: {', '.join(sorted(known))}." if known else ""
        raise OptionError(
            f"There is no function '{function}' in {name.rpartition(':')[0]}.{closest(function, known)}{listed}"
        )
    called: Any = vars(module)[function]
    if not callable(called):
        raise OptionError(f"'{name}' must be a function of a text and its references. Found: {type(called).__name__}.")
    return Metric(
        name=name,
        task_kinds=KINDS,
        signature=f"{name}|own function|{_fingerprint(module)}",
        statistics=one_number(_checked(name, called)),
        needs="texts",
        is_mean=True,
        lowest=-math.inf,
        highest=math.inf,
    )


def _checked(name: str, function: Callable[..., Any]) -> Callable[[str, tuple[str, ...]], float]:
    """Return the function with its mistakes turned into messages."""

    def score(text: str, references: tuple[str, ...]) -> float:
        try:
            found = function(text, references)
        except Exception as error:
            raise DataError(
                f"The metric '{name}' failed with {_said(error)} It was called with the text {_short(text)} and the "
                f"references ({', '.join(map(_short, references[:2]))}{', ...' if len(references) > 2 else ''})."
            ) from error
        if isinstance(found, numbers.Real | np.bool_):
            number = float(found)
            if math.isfinite(number):
                return number
        shown = shortened(repr(found), _SHOWN)
        raise DataError(
            f"The metric '{name}' must return a finite number for every text. Got {shown} ({type(found).__name__}) "
            f"instead, for the text {_short(text)}."
        )

    return score


@contextmanager
def _findable(folder: str) -> Iterator[None]:
    """Let modules of a folder be found while one of them is loaded."""
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)


def _module(name: str, folder: str) -> ModuleType:
    where = name.rpartition(":")[0]
    if not where or not all(part.isidentifier() for part in where.split(".")):
        raise OptionError(
            "A metric of your own is named MODULE:FUNCTION, such as scoring:my_score or score.py:my_score. "
            f"Got '{name}' instead."
        )
    with _findable(folder):
        importlib.invalidate_caches()
        try:
            return importlib.import_module(where)
        except ModuleNotFoundError as error:
            if error.name is not None and (where == error.name or where.startswith(error.name + ".")):
                raise OptionError(
                    f"There is no module '{where}' for the metric '{name}': looked for in {folder} and among what is "
                    f"installed. A file elsewhere is named by its path: FOLDER/{where}.py:FUNCTION."
                ) from None
            raise _unloadable(name, error) from error
        except (Exception, SystemExit) as error:
            raise _unloadable(name, error) from error


def _file(name: str, file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise OptionError(f"{file} cannot be loaded as Python, for the metric '{name}'.")
    module = importlib.util.module_from_spec(spec)
    with _findable(str(file.parent)):
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            raise _unloadable(name, error) from error
    return module


def _unloadable(name: str, error: BaseException) -> OptionError:
    return OptionError(f"The module of the metric '{name}' cannot be loaded: {_said(error)}")


def _said(error: BaseException) -> str:
    """Return an error of the user's code with the line where it happened."""
    words = f"{type(error).__name__}: {error}".rstrip(" :.") + "."
    if isinstance(error, SyntaxError):
        return words
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename != __file__ and "importlib" not in frame.filename]
    return f"{words[:-1]} ({Path(own[-1].filename).name}, line {own[-1].lineno})." if own else words


def _short(text: str) -> str:
    return shortened(repr(text), _SHOWN)


def _fingerprint(module: ModuleType) -> str:
    """Return what tells one state of the code from another: the hash of the module's source."""
    try:
        source = inspect.getsource(module)
    except (OSError, TypeError):
        return "source unknown"
    return f"sha256:{hashlib.sha256(source.encode()).hexdigest()[:12]}"
