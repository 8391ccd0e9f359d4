"""One connector of one namespace: when it polls, what becomes of a poll, and what is remembered of it.

Each has a task of its own, bounds for every step, and its own distance after failures, so one that is dead or
slow holds up nobody. What an API asked for (`Retry-After`) is remembered, so it holds over a restart too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
import structlog

from flux_actors import limits
from flux_actors.connectors.backoff import Backoff
from flux_actors.connectors.base import Connector, Context, Found, Web
from flux_actors.connectors.records import Memory
from flux_actors.connectors.writing import batches
from flux_actors.errors import Corrupt, Refused, Unavailable

_log = structlog.get_logger(__name__)
_REFUSED = frozenset({401, 403})
_HIDDEN = "***"


class Clock(Protocol):
    """Time, so that tests can have their own."""

    def now_s(self) -> float:
        """Return epoch seconds."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class Writer(Protocol):
    """Writes entities; see `EntityWriter`."""

    async def write(self, found: list[Found]) -> int:
        """Write what changed and return how many events that took."""
        ...


class MemoryStore(Protocol):
    """Keeps what one connector remembers."""

    async def load(self) -> Memory | None:
        """Return what was remembered last."""
        ...

    async def save(self, memory: Memory) -> None:
        """Remember it."""
        ...


@dataclass(slots=True)
class PollCounts:
    """What came of polls; all pollings of one kind of connector may share it."""

    polls: int = 0
    failures: int = 0
    written: int = 0  # events


@dataclass(frozen=True, slots=True)
class Parts:
    """What a polling works with."""

    web: Web
    writer: Writer
    memory: MemoryStore
    clock: Clock
    chance: Callable[[], float]
    operator: Mapping[str, str] = field(default_factory=dict)
    counts: PollCounts = field(default_factory=PollCounts)


@dataclass(frozen=True, slots=True)
class Account:
    """Whose data are polled: the configuration, opened."""

    name: str  # in log lines
    revision: str
    settings: dict[str, Any]
    token: str = field(repr=False)


class Polling:
    """Polls one connector until it is cancelled."""

    def __init__(self, connector: Connector, account: Account, parts: Parts) -> None:
        self._connector = connector
        self._account = account
        self._parts = parts
        self._backoff = Backoff(*limits.connector_retry_s_range, parts.chance)
        self._saved_at_s = 0.0
        self._saved: Memory | None = None
        self.memory = Memory(account.revision)
        self.interval_s = max(float(limits.generic_interval_s_range[0]), connector.every_s(account.settings))

    async def run(self) -> None:
        """Poll for ever."""
        await self._load()
        while True:
            wait_s = self.memory.not_before_ms / 1000 - self._parts.clock.now_s()
            if wait_s > 0:
                await self._parts.clock.sleep(wait_s)
            await self.poll()
            await self._save_if_due()

    async def poll(self) -> None:
        """Poll once, and know what came of it."""
        now_s = self._parts.clock.now_s
        started_s = now_s()
        self._parts.counts.polls += 1
        state = deepcopy(self.memory.state)
        context = Context(
            web=self._parts.web,
            token=self._account.token,
            settings=self._account.settings,
            state=state,
            now_s=now_s,
            judge=self._connector.judge,
            operator=self._parts.operator,
        )
        try:
            async with asyncio.timeout(limits.connector_poll_s):
                await self._fetch_and_write(context)
            self._check_state(state)
            self.memory = Memory(
                self._account.revision,
                last_poll_ms=int(now_s() * 1000),
                last_error=self._scrubbed("; ".join(context.notes)) or None,
                not_before_ms=int(max(started_s + self.interval_s, context.wait_until_s) * 1000),
                state=state,
            )
        except Exception as error:  # noqa: BLE001 - whatever a connector of others raises ends this poll alone
            self._failed(error)

    async def save(self) -> None:
        """Have what is known kept, if that is not done yet."""
        if self.memory != self._saved:
            await self._parts.memory.save(self.memory)
            self._saved, self._saved_at_s = self.memory, self._parts.clock.now_s()

    async def _fetch_and_write(self, context: Context) -> None:
        """Write all that a poll yields, also when it fails behind that."""
        found: list[Found] = []
        try:
            await self._fetch(context, found)
        except Exception:
            await self._write(found)
            raise
        await self._write(found)

    async def _fetch(self, context: Context, found: list[Found]) -> None:
        async with aclosing(self._connector.poll(context)) as pairs:
            async for pair in pairs:
                if len(found) >= limits.connector_poll_entities_max:
                    raise Corrupt(f"more than {limits.connector_poll_entities_max} entities in one poll")
                found.append(pair)

    async def _write(self, found: list[Found]) -> None:
        for batch in batches(found):
            self._parts.counts.written += await self._parts.writer.write(batch)

    def _check_state(self, state: dict[str, Any]) -> None:
        if len(msgspec.json.encode(state)) > limits.connector_state_bytes_max:
            raise Corrupt(f"the connector remembers more than {limits.connector_state_bytes_max} bytes")

    def _failed(self, error: Exception) -> None:
        before, now_s = self.memory, self._parts.clock.now_s()
        failures = before.failures + 1
        self._parts.counts.failures += 1
        text = self._scrubbed(sentence(error))
        self.memory = Memory(
            self._account.revision,
            last_poll_ms=int(now_s * 1000),
            last_error=text,
            failing=True,
            failures=failures,
            not_before_ms=int((now_s + self._wait_s(error, failures)) * 1000),
            state=before.state,
        )
        if failures in {1, limits.connector_failures_open}:
            event = "connector.failed" if failures == 1 else "connector.circuit_open"
            _log.warning(event, connector=self._account.name, reason=text, failures=failures)

    def _wait_s(self, error: Exception, failures: int) -> float:
        wait_s = max(self._backoff.wait_s(failures), min(self.interval_s, limits.connector_retry_s_range[1]))
        match error:
            case Refused() if error.status in _REFUSED:
                return self._backoff.spread(limits.connector_refused_retry_s)
            case Unavailable():
                asked_s = min(error.retry_after_s, limits.connector_wait_s_max)
                return max(wait_s, asked_s + self._parts.chance())  # never before, and not all at once
            case _:
                return wait_s

    def _scrubbed(self, text: str) -> str:
        """Return a text for people: short, and without the token."""
        if self._account.token:
            text = text.replace(self._account.token, _HIDDEN)
        return text[: limits.connector_error_chars_max]

    async def _load(self) -> None:
        memory = await _until_there(self._parts.memory.load, self._parts.clock)
        if memory is not None and memory.revision == self._account.revision:
            self.memory = self._saved = memory

    async def _save_if_due(self) -> None:
        now, saved = self.memory, self._saved
        told = (now.last_error, now.failing, now.failures, now.state)
        same = saved is not None and told == (saved.last_error, saved.failing, saved.failures, saved.state)
        if same and self._parts.clock.now_s() < self._saved_at_s + limits.connector_save_s:
            return
        try:
            await self.save()
        except Unavailable as error:
            _log.warning("connector.unsaved", connector=self._account.name, reason=error.message)


async def _until_there(load: Callable[[], Awaitable[Memory | None]], clock: Clock) -> Memory | None:
    while True:
        try:
            return await load()
        except Unavailable as error:
            _log.warning("connector.waits", reason=error.message)
            await clock.sleep(limits.connector_look_s)


def sentence(error: Exception) -> str:
    """Return what went wrong, for people."""
    match error:
        case Refused() | Unavailable() | Corrupt():
            return error.message
        case TimeoutError():
            return f"a poll took longer than {limits.connector_poll_s:.0f} s"
        case _:
            return f"the connector met a fault of its own ({type(error).__name__})"
