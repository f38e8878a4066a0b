"""The unlabelled examples, each once."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from nshot.core import Dataset, Example


def distinct(pool: Dataset, besides: Iterable[Example] = ()) -> Dataset:
    """Return the different examples of the pool, the first of each, without those of `besides`.

    The pool holds the labelled examples too: they are `besides` where a label is not to be guessed again.
    """
    known = {_key(example) for example in besides}
    found: dict[Hashable, int] = {}
    for position, example in enumerate(pool.examples):
        key = _key(example)
        if key not in known:
            found.setdefault(key, position)
    return pool.take(found.values())


def _key(example: Example) -> Hashable:
    return example if isinstance(example, str) else repr(example)
