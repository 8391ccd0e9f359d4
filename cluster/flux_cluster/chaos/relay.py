"""A network that breaks: a relay in front of a port.

Each connection is two ways, up to the server and down from it. Bytes of a way go through a lane, which lets
each piece out when its time has come, so a delay is one of the way and no bound on how much goes through it.
A way can lose its bytes: whoever sends notices nothing, as when a cable is pulled out on the far side. A
connection that lost bytes can never go on, so it is torn when the network is mended; one that was merely
delayed goes on.

Which connections a trouble is for is said by the process that opened them: all of a Flux may go through one
relay, and the door of one node alone be cut off. Troubles add up: a connection that two are for suffers from
both, and from the other when one is healed.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Self, TypeVar

import psutil

Who = Callable[[int], bool]  # whether a process, by its pid, is meant
_T = TypeVar("_T")
_PIECE_BYTES: Final = 16_384
_LANE_PIECES: Final = 64  # that may be on their way before the sender is held back
_HOST: Final = "127.0.0.1"
_TURN_S: Final = 10.0  # the loop of a relay has nothing else to do


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with the network: nothing, if nothing is said."""

    refuses: bool = False  # new connections are torn at once
    delay_s: float = 0.0  # of every piece, each way
    loses_up: bool = False  # what goes to the server never arrives
    loses_down: bool = False  # what the server answers never arrives

    def __add__(self, other: Trouble) -> Trouble:
        """Return what is wrong when both are."""
        return Trouble(
            self.refuses or other.refuses,
            self.delay_s + other.delay_s,
            self.loses_up or other.loses_up,
            self.loses_down or other.loses_down,
        )


NONE: Final = Trouble()


def everybody(_: int) -> bool:
    """Every process is meant."""
    return True


class Suffering:
    """A trouble that some connections of one relay are in, until it is healed."""

    def __init__(self, trouble: Trouble, who: Who) -> None:
        self.trouble = trouble
        self.who = who
        self.met: set[int] = set()  # the connections that it was for, by their ports

    def of(self, owner: int, port: int) -> Trouble:
        """Return what a connection suffers from it."""
        if not self.who(owner):
            return NONE
        self.met.add(port)
        return self.trouble


class Relay:
    """Relays TCP connections to a port of this machine; `suffer` breaks them, `heal` mends the network."""

    def __init__(self, target: int, port: int = 0, seed: int = 0) -> None:
        self.port = port
        self.cuts = 0
        self._target = target
        self._random = random.Random(seed)
        self._links: dict[int, _Link] = {}
        self._sufferings: tuple[Suffering, ...] = ()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)
        self._server: asyncio.Server | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen, on a free port if none was given."""
        self._thread.start()
        self._server = self._on_loop(asyncio.start_server(self._relay, _HOST, self.port))
        self.port = self._server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        """Tear all connections and end."""
        if self._server is None:  # it was never started
            self._loop.close()
            return
        self._on_loop(self._close(self._server))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_TURN_S)
        self._loop.close()

    def cut(self, share: float = 1.0, who: Who = everybody) -> None:
        """Tear about so many of the connections; their owners may come again at once."""
        self._on_loop(self._cut(share, who))

    def suffer(self, trouble: Trouble, who: Who = everybody) -> Suffering:
        """Have the connections of some, those to come too, be in trouble until that is healed."""
        suffering = Suffering(trouble, who)
        self._on_loop(self._suffer(suffering))
        return suffering

    def heal(self, *healed: Suffering) -> None:
        """End some troubles, all if none is named; connections that lost bytes and lose none now are torn."""
        self._on_loop(self._heal(healed))

    def _on_loop(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_TURN_S)

    async def _cut(self, share: float, who: Who) -> None:
        for link in await self._of(who):
            if self._random.random() < share:
                self.cuts += 1
                link.tear()

    async def _suffer(self, suffering: Suffering) -> None:
        self._sufferings = (*self._sufferings, suffering)
        await self._settle()

    async def _heal(self, healed: tuple[Suffering, ...]) -> None:
        self._sufferings = tuple(one for one in self._sufferings if healed and one not in healed)
        await self._settle()

    async def _settle(self) -> None:
        """Have each connection suffer what it should now; those that come meanwhile begin so."""
        sufferings, before = self._sufferings, dict(self._links)
        owners = await self._owners(*(one.who for one in sufferings))
        if self._sufferings is sufferings:  # else whoever has changed it sees to all connections
            for port, link in before.items():
                link.change(self._trouble(owners.get(port, 0), port))

    async def _of(self, who: Who) -> list[_Link]:
        """Return the connections of some, in the order of their ports."""
        owners = await self._owners(who)
        return [link for port, link in sorted(self._links.items()) if who(owners.get(port, 0))]

    async def _owners(self, *whos: Who) -> dict[int, int]:
        """Return the pids of those who connected, by their ports, unless it is all the same who they are."""
        return {} if set(whos) <= {everybody} else await asyncio.to_thread(owners_of, self.port)

    def _trouble(self, owner: int, port: int) -> Trouble:
        """Return all that a connection suffers from now."""
        return sum((one.of(owner, port) for one in self._sufferings), NONE)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = writer.get_extra_info("peername")[1]
        try:
            far_reader, far_writer = await asyncio.open_connection(_HOST, self._target)
        except OSError:
            writer.transport.abort()
            return
        trouble = await self._trouble_of(port)
        self._links[port] = link = _Link(trouble, (writer, far_writer))
        if trouble.refuses:
            link.tear()
        try:
            await link.run(reader, far_reader)
        finally:
            self._links.pop(port, None)

    async def _trouble_of(self, port: int) -> Trouble:
        """Return the trouble of a new connection; the network may change while it is asked whose that is."""
        while True:
            sufferings = self._sufferings
            owners = await self._owners(*(one.who for one in sufferings))
            if sufferings is self._sufferings:
                return self._trouble(owners.get(port, 0), port)

    async def _close(self, server: asyncio.Server) -> None:
        server.close()
        for link in list(self._links.values()):
            link.tear()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        if tasks:
            await asyncio.wait(tasks, timeout=_TURN_S / 2)


class _Link:
    """One connection, both ways."""

    def __init__(self, trouble: Trouble, writers: tuple[asyncio.StreamWriter, asyncio.StreamWriter]) -> None:
        self._trouble = trouble
        self._has_lost_up = self._has_lost_down = False
        self._near, self._far = writers

    def change(self, trouble: Trouble) -> None:
        """Have it be in another trouble, or in none."""
        is_mended = (self._has_lost_up and not trouble.loses_up) or (
            self._has_lost_down and not trouble.loses_down
        )
        if trouble.refuses or is_mended:
            self.tear()
        self._trouble = trouble

    def tear(self) -> None:
        """End it as a reset does; what is on its way is gone."""
        for writer in (self._near, self._far):
            writer.transport.abort()

    async def run(self, near: asyncio.StreamReader, far: asyncio.StreamReader) -> None:
        """Carry bytes both ways until one end is closed."""
        ways = (
            asyncio.create_task(self._carry(near, self._far, up=True)),
            asyncio.create_task(self._carry(far, self._near, up=False)),
        )
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            self.tear()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool) -> None:
        lane: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_LANE_PIECES)
        loop = asyncio.get_running_loop()
        letting_out = asyncio.create_task(_let_out(lane, writer))
        try:
            with suppress(OSError):
                while data := await reader.read(_PIECE_BYTES):
                    trouble = self._trouble
                    if trouble.loses_up if up else trouble.loses_down:
                        self._has_lost_up |= up
                        self._has_lost_down |= not up
                        continue
                    await lane.put((loop.time() + trouble.delay_s, data))
                await lane.join()
        finally:
            letting_out.cancel()


async def _let_out(lane: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
    """Write each piece when its time has come, in order."""
    loop = asyncio.get_running_loop()
    while True:
        due, data = await lane.get()
        if due > loop.time():
            await asyncio.sleep(due - loop.time())
        with suppress(OSError):
            writer.write(data)
            await writer.drain()
        lane.task_done()


def owners_of(to: int) -> dict[int, int]:
    """Return the pids of the processes here that hold a connection to a port, by their own ports."""
    found = {}
    for connection in psutil.net_connections("tcp4"):
        match connection.laddr, connection.raddr:
            case (_, port), (_, far) if far == to and connection.pid is not None:
                found[port] = connection.pid
    return found
