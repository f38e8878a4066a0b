"""What remote models answered: kept, so that nothing is asked or paid twice; and what was spent on it."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from nshot.backbones.remote_options import RemoteAccess
from nshot.core import CostLimitError, OutputError


@dataclass(frozen=True)
class Charge:
    """What one request took.

    Attributes:
        tokens_in: Tokens that were read.
        tokens_out: Tokens that were written.
        money: What that cost, by the prices that were named.
        seconds: From the wish to ask to the whole answer, waiting and repeated requests included.
    """

    tokens_in: int = 0
    tokens_out: int = 0
    money: float = 0.0
    seconds: float = 0.0


class AnswerRecord:
    """Answers by the hash of the question, appended to a file one line at a time; the questions are not in it.

    Several processes may append to one file. A line that was torn when a process was killed is passed over.
    """

    def __init__(self, path: Path | None) -> None:
        """Begin or continue a record.

        Args:
            path: The file, made when there is something to keep. None: answers are kept as long as the process.
        """
        self.path = path
        self._values: dict[str, Mapping[str, Any]] = {}
        self._money = 0.0
        self._read_bytes = 0
        self._lock = threading.RLock()

    def find(self, key: str) -> Mapping[str, Any] | None:
        """Return what was answered to this question, or None."""
        with self._lock:
            if key not in self._values:
                self._read_on()
            return self._values.get(key)

    def money(self) -> float:
        """Return what all answers in the file have cost, those of other processes included."""
        with self._lock:
            self._read_on()
            return self._money

    def add(self, key: str | None, value: Mapping[str, Any], charge: Charge) -> None:
        """Append an answer and wait until it is on disk.

        Args:
            key: Hash of the question; None for what was paid without a whole answer.
            value: The answer, json-able.
            charge: What it took.

        Raises:
            OutputError: The disk refuses.
        """
        entry = {"key": key, "value": dict(value), **asdict(charge)}
        with self._lock:
            if self.path is None:
                self._take(entry)
                return
            try:
                self._append(self.path, {**entry, "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())})
            except OSError as error:
                raise OutputError(
                    f"Cannot write {self.path}: {error.strerror}. An answer that was paid for is lost; those before it "
                    "are kept."
                ) from None
            self._read_on()

    @staticmethod
    def _append(path: Path, entry: Mapping[str, Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                torn = file.read(1) != b"\n"
            else:
                torn = False
            # One write of one line: what other processes append at the same time stays whole.
            file.write(b"\n" * torn + json.dumps(entry).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def _read_on(self) -> None:
        """Read the lines that were added since the last time."""
        if self.path is None or not self.path.exists() or self.path.stat().st_size == self._read_bytes:
            return
        with self.path.open("rb") as file:
            file.seek(self._read_bytes)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read_bytes += len(whole)
        for line in whole.splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and isinstance(entry.get("value"), dict):
                self._take(entry)

    def _take(self, entry: Mapping[str, Any]) -> None:
        self._money += float(entry.get("money") or 0.0)
        if isinstance(entry.get("key"), str):
            self._values[entry["key"]] = entry["value"]


@dataclass(frozen=True)
class Spent:
    """What a remote model took so far.

    Attributes:
        requests: Answers that were asked for and came, in this process.
        from_record: Answers that were taken from the record instead.
        tokens_in: Tokens read for the requests.
        tokens_out: Tokens written.
        money: What the requests cost, by the prices that were named.
        seconds: What the requests took, added up, though several are under way at once.
        money_in_record: What all answers in the record have cost, earlier ones too: what the limit is held against.
        limit: The most that may be spent; None: there is no limit.
        withheld: Answers that the endpoint's content filter withheld; they count as empty.
    """

    requests: int = 0
    from_record: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    money: float = 0.0
    seconds: float = 0.0
    money_in_record: float = 0.0
    limit: float | None = None
    withheld: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the figures as a json-able record."""
        return asdict(self)


class Meter:
    """Counts what is spent, and lets no request begin that could exceed the limit; for any number of threads."""

    def __init__(self, access: RemoteAccess, record: AnswerRecord) -> None:
        self._access = access
        self._record = record
        self._spent = Spent(limit=access.max_cost)
        self._reserved = 0.0
        self._under_way = 0
        self._foreseen_tokens = 0
        self._changed = threading.Condition(threading.Lock())

    @property
    def spent(self) -> Spent:
        """Return the figures as of now."""
        with self._changed:
            return replace(self._spent, money_in_record=self._record.money())

    def took_from_record(self) -> None:
        """Count an answer that was there already."""
        with self._changed:
            self._spent = replace(self._spent, from_record=self._spent.from_record + 1)

    def was_withheld(self) -> None:
        """Count an answer that a content filter withheld."""
        with self._changed:
            self._spent = replace(self._spent, withheld=self._spent.withheld + 1)

    @contextmanager
    def request(self, foreseen_in: int, most_out: int) -> Iterator[Callable[[int, int], Charge]]:
        """Keep the money for a request ready while inside; what it takes is recorded before the end.

        Args:
            foreseen_in: About how many tokens it has.
            most_out: The most tokens of its answer.

        Yields:
            To be called with the tokens that were read and written; returns what the request took.

        Raises:
            CostLimitError: It could exceed the limit.
        """
        began = time.monotonic()
        with self._changed:
            while (most := self._most(foreseen_in, most_out)) is None:
                self._changed.wait()  # what the requests under way were foreseen to cost is more than they will
            self._reserved += most
            self._under_way += 1

        def paid(tokens_in: int, tokens_out: int) -> Charge:
            money = self._access.price(tokens_in, tokens_out)
            charge = Charge(tokens_in, tokens_out, money, round(time.monotonic() - began, 3))
            with self._changed:
                self._foreseen_tokens += foreseen_in
                self._spent = replace(
                    self._spent,
                    requests=self._spent.requests + 1,
                    tokens_in=self._spent.tokens_in + tokens_in,
                    tokens_out=self._spent.tokens_out + tokens_out,
                    money=self._spent.money + money,
                    seconds=self._spent.seconds + charge.seconds,
                )
            return charge

        try:
            yield paid
        finally:
            with self._changed:
                self._reserved -= most
                self._under_way -= 1
                self._changed.notify_all()

    def _most(self, foreseen_in: int, most_out: int) -> float | None:
        """Return what a request may cost; None: whether there is enough shows when those under way have ended."""
        # Texts that have more tokens than was foreseen go on doing so.
        excess = max(1.0, self._spent.tokens_in / self._foreseen_tokens) if self._foreseen_tokens else 1.0
        most = self._access.price(int(foreseen_in * excess) + 1, most_out)
        limit = self._access.max_cost
        if limit is None or not most:
            return most
        spent = self._record.money()
        if spent + self._reserved + most <= limit:
            return most
        if self._under_way:
            return None
        kept = f" All answers so far are kept in {self._record.path}." if self._record.path else ""
        raise CostLimitError(
            f"{spent:.4g} of at most {limit:g} is spent on remote models, and the next request may cost up to "
            f"{most:.2g}.{kept} Raise --max-cost, and the same command goes on."
        )
