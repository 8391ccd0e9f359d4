"""`Workers` in this process: the real `Handling`, without Ray."""

from __future__ import annotations

from flux_actors.behaviour.behaviour import Behaviour, described
from flux_actors.behaviour.code import digest_of, pack
from flux_actors.behaviour.handling import Handling
from flux_actors.behaviour.ports import CodeUnusable, Place, WorkerLost
from flux_actors.behaviour.watchdog import Watchdog
from flux_actors.behaviour.wire import LOST, decode_orders, encode
from flux_actors.domain.acting.catalogue import Version
from flux_actors.errors import Unavailable


class Codes(dict[str, bytes]):
    def code(self, digest: str) -> bytes | None:
        return self.get(digest)


class LocalWorkers:
    """One `Handling` per place; may be told to lose the next calls, or to be away."""

    def __init__(self, codes: Codes, watchdog: Watchdog) -> None:
        self._codes = codes
        self._watchdog = watchdog
        self.handlings: dict[Place, Handling] = {}
        self.calls: list[Place] = []
        self.forgotten: list[str] = []
        self.begun: list[Place] = []
        self.losses: list[Exception] = []
        self.away = 0
        self.unusable = ""  # the digest of a code
        self.loses: str | None = None  # an entity whose items end the worker, nobody knows why

    async def run(self, place: Place, versions: dict[str, Version], orders: bytes, *, awaits: bool) -> bytes:
        self.calls.append(place)
        if self.away:
            self.away -= 1
            raise Unavailable("no worker can be started now")
        if self.losses:
            raise self.losses.pop(0)
        if self.unusable in versions:
            raise CodeUnusable(self.unusable, "it ended the process that loaded it")
        decoded = decode_orders(orders)
        if any(run.entity_id == self.loses for run in decoded.runs):
            raise WorkerLost(LOST, "its process ended")
        handling = self.handlings.get(place)
        if handling is None:
            handling = self.handlings[place] = Handling(self._codes, self._watchdog)
        results = await handling.run_async(decoded) if awaits else handling.run(decoded)
        return encode(results)

    async def forget(self, place: Place, entity_ids: list[str]) -> None:
        self.forgotten += entity_ids
        if place.is_own:
            self.handlings.pop(place, None)
        elif place in self.handlings:
            self.handlings[place].forget(entity_ids)

    def begin(self, place: Place) -> None:
        self.begun.append(place)

    def node(self, place: Place) -> str:
        return "here" if place in self.handlings else ""

    async def close(self) -> None:
        self.handlings.clear()


def version_of(made: type[Behaviour], codes: Codes, number: int = 1) -> Version:
    """Return the version of a class, whose code is known from now on."""
    code = pack(made)
    digest = digest_of(code)
    codes[digest] = code
    description = described(made)
    return Version(
        number,
        digest,
        list(description.match),
        list(description.handles),
        list(description.awaits),
        description.dedicated,
        description.supervision,
        description.bounds,
    )
