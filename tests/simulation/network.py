"""The network between two parts: in order within a connection, late, held up, broken off.

A connection is two ways. What is sent on one arrives in that order, each thing some time later. A way may be
blocked, one without the other: then what is sent waits in it. When a connection breaks, a beginning of what
is under way still arrives, maybe much later, when who sent it has long come back by another connection; the
rest is lost. That is all the reordering that there is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any, Final

from tests.simulation.chance import Chance
from tests.simulation.loop import SimulatedLoop

_DELAY_S: Final = (0.0001, 0.003)
_SLOW_S: Final = (0.01, 0.3)
_SLOW: Final = 0.01  # of all that is sent
_LATE_S: Final = (0.5, 15.0)
_LATE: Final = 0.5  # of what still arrives behind a break


class Network:
    """What all ways have in common."""

    def __init__(self, loop: SimulatedLoop, seed: int) -> None:
        self.loop = loop
        self.chance = Chance(seed, "network")

    def delay_s(self) -> float:
        """Return how long something is on its way."""
        return self.chance.seconds(*(_SLOW_S if self.chance.happens(_SLOW) else _DELAY_S))


class _Sent:
    __slots__ = ("arguments", "arrive", "arrived", "late_s", "lost")

    def __init__(self, arrive: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        self.arrive = arrive
        self.arguments = arguments
        self.lost = False
        self.arrived = False
        self.late_s = 0.0


class Way:
    """One direction of a connection; what arrives belongs to the context of whoever is there."""

    def __init__(self, network: Network, context: Context | None = None) -> None:
        self._network = network
        self._context = context
        self._last_s = 0.0
        self._under_way: deque[_Sent] = deque()
        self._held: list[_Sent] = []
        self._blocked = False
        self._broken = False

    def send(self, arrive: Callable[..., None], *arguments: Any) -> None:
        """Have something arrive at the other end."""
        if self._broken:
            return
        sent = _Sent(arrive, arguments)
        self._under_way.append(sent)
        if self._blocked:
            self._held.append(sent)
        else:
            self._carry(sent)

    def block(self) -> None:
        """Hold up what is sent from now on."""
        self._blocked = True

    def unblock(self) -> None:
        """Let what was held up go on."""
        self._blocked = False
        held, self._held = self._held, []
        for sent in held:
            self._carry(sent)

    def break_off(self) -> None:
        """End it: some of what is under way is lost, and the rest may be late."""
        self._broken = True
        chance = self._network.chance
        left = [sent for sent in self._under_way if not sent.arrived]
        kept = chance.randint(0, len(left))
        late_s = chance.seconds(*_LATE_S) if chance.happens(_LATE) else 0.0
        for sent in left[:kept]:
            sent.late_s = late_s
        for sent in left[kept:]:
            sent.lost = True
        for sent in self._held:
            if not sent.lost:
                self._carry(sent)
        self._held = []
        self._under_way.clear()

    def _carry(self, sent: _Sent) -> None:
        loop = self._network.loop
        self._last_s = max(self._last_s, loop.time() + self._network.delay_s())
        loop.call_at(self._last_s, self._arrive, sent, context=self._context)

    def _arrive(self, sent: _Sent) -> None:
        if sent.lost:
            return
        if sent.late_s:
            loop = self._network.loop
            late_s, sent.late_s = sent.late_s, 0.0
            loop.call_later(late_s, self._arrive, sent, context=self._context)
            return
        sent.arrived = True
        if self._under_way and self._under_way[0] is sent:
            self._under_way.popleft()
        sent.arrive(*sent.arguments)
