"""Succession: the next generation of the log takes over from the one before, or does not.

Which log is the log is said by the registry alone, and changed there by one compare-and-set. Before it, the
old log is closed, so that nothing can come that the new one has not. Whoever closed it may die: so a note
says that it is closed, and whoever finds the note old ends the switch. That begins with a new revision of
what the registry says (a `Claim`), by which the compare-and-set of whoever is late after all fails; then the
log is opened again.

Whoever makes the next generation begins with a claim, too: so of two who do it at once the later one alone
can come to its end, and neither acts upon what a replica of the registry said that was behind.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from flux_actors import limits
from flux_actors.domain.position import pack
from flux_actors.errors import Refused, Unavailable
from flux_actors.log.generations import Generations, origin_of
from flux_actors.log.ports import KeyValue
from flux_actors.router.topology import LOG_KEY, SWITCHING_KEY, LogRegistry, decode_registry, encode

_log = structlog.get_logger(__name__)
_TRIES: Final = 5
_CONFLICT: Final = 409


async def registered(store: KeyValue) -> LogRegistry | None:
    """Return what is noted of the log, `None` before the first start; raises `Unavailable`."""
    known = await store.get(LOG_KEY)
    return None if known is None else decode_registry(known.value)


async def take_over(store: KeyValue, revision: int, after: LogRegistry) -> None:
    """Have a generation be the log, if the registry still has that revision.

    Raises:
        Refused: 409, it has not. Unavailable: it is not known whether that was done.
    """
    try:
        await store.put(LOG_KEY, encode(after), revision)
    except Refused:
        if await registered(store) != after:  # else it was done, and the answer was lost
            raise Refused("somebody has ended this switch; run it again", _CONFLICT) from None


class Claim:
    """The newest revision of the registry, made by whoever holds this, and saying what the one before did.

    Arguments:
        store: the registry.
        value: what it says.
        revision: by our own doing.
    """

    def __init__(self, store: KeyValue, value: bytes, revision: int) -> None:
        self._store = store
        self._value = value
        self.revision = revision
        self.registry = decode_registry(value)

    async def renew(self) -> None:
        """See that nobody has come behind, by a revision more.

        Raises:
            Refused: 409, somebody has. Unavailable: that cannot be seen now.
        """
        try:
            self.revision = await self._store.put(LOG_KEY, self._value, self.revision)
        except Refused:
            raise Refused(
                "somebody has ended this, or works on the log as well; run it again when nobody else does",
                _CONFLICT,
            ) from None


async def claim(store: KeyValue) -> Claim:
    """Claim the registry, whoever has claimed it before.

    Raises:
        Unavailable: it cannot be reached, or others change it all the time.
    """
    for number in range(_TRIES):
        if number:
            await asyncio.sleep(limits.log_look_s)
        known = await store.get(LOG_KEY)
        if known is None:
            raise Unavailable("there is no log yet")
        try:
            revision = await store.put(LOG_KEY, known.value, known.revision)
        except Refused:
            continue  # somebody was faster, or who was asked is behind: look again
        return Claim(store, known.value, revision)
    raise Unavailable("the registry is changed by others all the time")


async def end_switch(store: KeyValue, generations: Generations) -> LogRegistry:
    """End a switch that nobody carries through, and return what is the log: the one before, or the next.

    Raises:
        Unavailable: the log cannot be reached; doing it again does no harm.
    """
    registry = (await claim(store)).registry
    await asyncio.gather(*(generations.reopen(registry.generation, p) for p in range(registry.partitions)))
    await store.delete(SWITCHING_KEY)
    return registry


class Succession:
    """Looks whether a generation of the log is still the log, and ends switches that nobody carries through.

    Arguments:
        store: the registry.
        registry: the generation.
    """

    def __init__(self, store: KeyValue, registry: LogRegistry) -> None:
        self._store = store
        self._registry = registry
        self._noted: tuple[bytes, float] | None = None  # the note of a switch, and since when it is seen
        self._due_s = 0.0  # when it is looked next whether the log is open

    def is_earlier(self, position: int) -> bool:
        """Whether a packed position is one of an earlier generation."""
        return position < pack(origin_of(self._registry.generation) - 1, 0)

    async def ended(self) -> bool:
        """Whether another generation has taken over; not if that cannot be seen now."""
        try:
            known = await registered(self._store)
            return known is not None and known != self._registry
        except Unavailable:
            return False

    async def wait(self) -> None:
        """Return when another generation has taken over."""
        while True:
            await asyncio.sleep(limits.log_look_s)
            if await self.ended():
                return

    async def look_after(self, generations: Generations) -> None:
        """End a switch whose note stands for longer than one takes, and one that left a partition closed."""
        note = await self._store.get(SWITCHING_KEY)
        now_s = asyncio.get_running_loop().time()
        if note is None:
            self._noted = None
            if now_s >= self._due_s:
                self._due_s = now_s + limits.closed_look_s
                await self._see_it_open(generations)
        elif self._noted is None or self._noted[0] != note.value:
            self._noted = (note.value, now_s)
        elif now_s - self._noted[1] >= limits.switch_patience_s:
            _log.warning("log.switch_ended", note=note.value.decode(errors="replace"))
            await end_switch(self._store, generations)
            self._noted = None

    async def _see_it_open(self, generations: Generations) -> None:
        """Open what is closed with no switch under way: who closed it was told that it had failed to."""
        partitions, generation = range(self._registry.partitions), self._registry.generation
        found = await asyncio.gather(*(generations.is_open(generation, p) for p in partitions))
        if all(found) or await self._store.get(SWITCHING_KEY) is not None:  # or one has begun just now
            return
        closed = [partition for partition in partitions if not found[partition]]
        _log.warning("log.found_closed", partitions=closed)
        await end_switch(self._store, generations)
