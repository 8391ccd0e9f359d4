"""What the generator can be asked to do, and what it tells afterwards."""

from __future__ import annotations

import msgspec

from flux_bench.latencies import Latencies
from flux_bench.workload import Workload


class Place(msgspec.Struct, frozen=True):
    """Where the server listens."""

    host: str
    port: int

    @property
    def name(self) -> str:
        """The Host header."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Pace(msgspec.Struct, frozen=True):
    """How long to go on: for a time of which the beginning does not count, or a number of requests each."""

    seconds: float = 0.0
    warm_up_s: float = 0.0
    requests: int = 0
    pause_s: float = 0.0  # between an answer and the next request


class Publish(msgspec.Struct, frozen=True, tag=True):
    """Every connection publishes its part of a workload, one request at a time.

    `headers` are lines of each request's head. With `refusable` events may be refused for the rate limit.
    """

    place: Place
    workload: Workload
    pace: Pace
    headers: str = ""
    refusable: bool = False


class Read(msgspec.Struct, frozen=True, tag=True):
    """Connection n sends the requests `turns[n]` in turn, one at a time.

    Every answer must hold its request's text `marks[n][i]` exactly `times` times (0: it need only be there).
    """

    place: Place
    turns: list[list[bytes]]
    marks: list[list[bytes]]
    pace: Pace
    times: int = 0


class PublishOnSocket(msgspec.Struct, frozen=True, tag=True):
    """One WebSocket publishes, with up to `window` events that are not acknowledged yet."""

    place: Place
    workload: Workload
    window: int
    pace: Pace


class FanOut(msgspec.Struct, frozen=True, tag=True):
    """`sockets` watch `pattern` while the connections of a workload publish; nothing may be missing.

    Publishers wait when more than `ahead` messages are on their way to the slowest socket: what a server
    keeps up with is measured, and not how it drops. `probe` is an entity outside the workload, published
    until every socket has seen it.
    """

    place: Place
    workload: Workload
    pattern: str
    sockets: int
    ahead: int
    probe: str
    pace: Pace
    drain_s: float


class Seen(msgspec.Struct, frozen=True, tag=True):
    """Publish one event of an entity after the other; time until a subscriber of the entity sees it.

    It ends after `samples`, or when `seconds` (if given) are over.
    """

    place: Place
    entity: str
    samples: int
    pause_s: float
    first: int = 0
    seconds: float = 0.0


class ReadBack(msgspec.Struct, frozen=True, tag=True):
    """Publish and, as soon as it is acknowledged, read until the answer shows it."""

    place: Place
    entity: str
    samples: int
    applied: bool  # publish with `wait=applied`


class Fetch(msgspec.Struct, frozen=True, tag=True):
    """One GET whose answer is large."""

    place: Place
    path: str


Job = Publish | Read | PublishOnSocket | FanOut | Seen | ReadBack | Fetch


class Told(msgspec.Struct, frozen=True):
    """What came of a job.

    `counts`: acknowledged requests of each connection (messages of each socket for a fan-out), all of
    them; `done` of them within `seconds`, the measured window. `refusal` is the first answer that was
    not as it must be. `bodies` are the last answer of each connection, or what one socket was sent.
    """

    counts: list[int]
    done: int
    seconds: float
    latencies: Latencies | None = None
    refusal: str = ""
    bodies: list[bytes] = []
    cpu_s: float = 0.0
    published: list[int] = []  # fan-out: acknowledged requests of each publisher
    probes: int = 0  # fan-out: how often the probe was published
    first_byte_s: float = 0.0
    stale: int = 0  # reads that did not show what was acknowledged before they were sent


class Failed(Exception):
    """The job cannot be done against this server; the text says why."""
