"""Reduction: what a reducer makes of the events of one entity, in this process.

Each event gets an instance of its own and a state of its own, decoded anew: whatever a reducer keeps, or goes
on to change, has no effect on what it has returned. The new state is encoded at once, so that it is known to
be one that any reader can have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import msgspec

from flux_actors import limits
from flux_actors.behaviour.behaviour import Behaviour
from flux_actors.behaviour.change import SeenEvent
from flux_actors.behaviour.code import load
from flux_actors.behaviour.faults import fault_of
from flux_actors.behaviour.plain import encoded, plain_object
from flux_actors.behaviour.watchdog import Overran
from flux_actors.domain.acting.difference import difference
from flux_actors.domain.acting.reducers import Fact, ReduceRun

_Result = TypeVar("_Result")
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(dict[str, Any]).decode


class Outcome(NamedTuple):
    """What one event made of an entity; on the wire it is a `Reduced`."""

    state: msgspec.Raw | None
    fault: str = ""
    overran: bool = False


class Bounded(Protocol):
    """Calls users' code within a bound of processor time."""

    def call(self, limit_s: float, function: Callable[..., _Result], *arguments: Any) -> _Result:
        """Return what a function returns; raises `Overran` when it took too long."""
        ...


class Unbounded:
    """Calls without a bound."""

    def call(self, limit_s: float, function: Callable[..., _Result], *arguments: Any) -> _Result:  # noqa: ARG002 - as Bounded has it
        return function(*arguments)


class Mark(Protocol):
    """Where a reduction is, for who looks on."""

    def loads(self, run: int) -> None:
        """The code of a run is being loaded."""
        ...

    def reduces(self, run: int, fact: int) -> None:
        """An event of a run is being reduced."""
        ...


class Reduction:
    """Runs reducers.

    Arguments:
        bounded: calls them.
        cpu_s: processor time of one event.
        load_cpu_s: processor time to load a code.
        state_bytes_max: of one new state, encoded.
    """

    def __init__(
        self,
        bounded: Bounded,
        cpu_s: float = limits.reduce_cpu_s,
        load_cpu_s: float = limits.reduce_load_cpu_s,
        state_bytes_max: int = limits.reduce_state_bytes_max,
    ) -> None:
        self._bounded = bounded
        self._cpu_s = cpu_s
        self._load_cpu_s = load_cpu_s
        self._state_bytes_max = state_bytes_max
        self._codes: dict[str, bytes] = {}
        self._loaded: dict[str, type[Behaviour]] = {}

    def learn(self, digest: str, code: bytes) -> None:
        """Remember a code; it is loaded when it is needed."""
        self._codes[digest] = code

    def knows(self, digest: str) -> bool:
        """Whether a code is remembered."""
        return digest in self._codes

    def reduce(self, partition: int, number: int, run: ReduceRun, mark: Mark) -> list[Outcome]:
        """Return what each event of a run made of its entity; one that overran is the last.

        Raises:
            MemoryError: there is none left; nothing that runs here from now on can be trusted.
        """
        make = self._loaded.get(run.digest)
        if make is None:
            mark.loads(number)
            try:
                make = self._bounded.call(self._load_cpu_s, load, self._codes[run.digest])
            except MemoryError:
                raise
            except BaseException as error:  # noqa: BLE001 - users' code may raise whatever it likes
                return [Outcome(None, f"its code cannot be loaded: {self._told(error)}", overran=True)]
            self._loaded[run.digest] = make
        return self._reduce(make, partition, number, run, mark)

    def _reduce(
        self, make: type[Behaviour], partition: int, number: int, run: ReduceRun, mark: Mark
    ) -> list[Outcome]:
        call, cpu_s, bytes_max = self._bounded.call, self._cpu_s, self._state_bytes_max
        outcomes: list[Outcome] = []
        state = _encode(run.state or {})
        for index, fact in enumerate(run.facts):
            mark.reduces(number, index)
            try:
                after = call(cpu_s, _one, make, partition, _decode(state), fact, bytes_max)
            except MemoryError:
                raise
            except BaseException as error:  # noqa: BLE001 - users' code may raise whatever it likes
                overran = isinstance(error, Overran)
                outcomes.append(Outcome(None, self._told(error), overran))
                if overran:
                    break
            else:
                outcomes.append(Outcome(msgspec.Raw(after)))
                if index + 1 < len(run.facts):
                    state = _kept(state, after)
        return outcomes

    def _told(self, error: BaseException) -> str:
        try:
            return self._bounded.call(self._cpu_s, fault_of, error, "reduce", self._cpu_s).text
        except MemoryError:
            raise
        except BaseException:  # noqa: BLE001 - the exception cannot even say what it is
            return type(error).__name__[:64]


def _kept(before: bytes, after: bytes) -> bytes:
    """Return how an entity is then, with which its next event begins, in this run or in another one."""
    state = _decode(before)
    return _encode(state | difference(state, _decode(after)))


def _one(make: type[Behaviour], partition: int, state: dict[str, Any], fact: Fact, bytes_max: int) -> bytes:
    """Return the new state after one event, encoded."""
    after = make().reduce(state, SeenEvent.of_fact(partition, fact))
    name = "the state that reduce returned"
    return encoded(plain_object(after, name), name, bytes_max)
