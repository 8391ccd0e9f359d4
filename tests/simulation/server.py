"""A simulated NATS: subjects, streams and buckets, its faults, and a link for each client.

It may be one server or three with a leader per stream: to Flux that differs in what is lost when. One that
dies takes all connections with it; a leader that is lost takes what is not stored yet, or leaves it to its
successor; without a majority nobody answers. What has been told to be stored is never lost: a log that breaks
that promise is found out by `recovering`, not here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol

import msgspec
from nats.js.api import ConsumerConfig

from flux_actors.log.generations import event_subject, stream_name
from tests.simulation.chance import Chance
from tests.simulation.loop import SimulatedLoop
from tests.simulation.streams import Appending, Asked, Bucket, Consumer, Stream

_APPEND_S: Final = (0.0003, 0.004)
_NEXT: Final = "$JS.API.CONSUMER.MSG.NEXT."
_DIRECT: Final = "$JS.API.DIRECT.GET."
_NO_RESPONDERS: Final = {"Status": "503"}
_GONE: Final = {"Status": "409", "Description": "Consumer Deleted"}


class Message(NamedTuple):
    """What a subscriber gets."""

    subject: str
    reply: str
    data: bytes
    headers: dict[str, str] | None


class Guest(Protocol):
    """A client's connection, as the server sees it."""

    def hand(self, number: int, message: Message) -> None:
        """Send a message to one of its subscriptions."""
        ...

    def drop(self) -> None:
        """End the connection."""
        ...


class Server:
    """All of NATS."""

    def __init__(self, loop: SimulatedLoop, seed: int, partitions: int, *, replicas: int) -> None:
        self.loop = loop
        self.replicas = replicas
        self.streams = {stream_name(p): Stream(stream_name(p), "log") for p in range(partitions)}
        self.buckets: dict[str, Bucket] = {}
        self.up = True
        self.append_s = _APPEND_S
        self.refuses = False  # the disk is full
        self.acks_to_lose = 0
        self.stale_reads = 0.0  # their share, of the buckets
        self._chance = Chance(seed, "server")
        self._subjects = {event_subject(p): self.streams[stream_name(p)] for p in range(partitions)}
        self._guests: dict[Guest, dict[int, str]] = {}
        self._listening: dict[str, dict[tuple[Guest, int], None]] = {}
        self._consumers = 0

    # Clients come, listen, and go.

    def welcome(self, guest: Guest) -> None:
        """Take a connection."""
        self._guests[guest] = {}

    def forget(self, guest: Guest) -> None:
        """Let a connection go."""
        for number in list(self._guests.get(guest, ())):
            self.deafen(guest, number)
        self._guests.pop(guest, None)

    def listen(self, guest: Guest, number: int, subject: str) -> None:
        """Have a client hear a subject from now on."""
        if guest in self._guests:
            self._guests[guest][number] = subject
            self._listening.setdefault(subject, {})[guest, number] = None

    def deafen(self, guest: Guest, number: int) -> None:
        """Have a client hear a subject no longer."""
        subject = self._guests.get(guest, {}).pop(number, None)
        if subject is not None:
            self._listening[subject].pop((guest, number), None)

    def publish(self, subject: str, reply: str, data: bytes, headers: dict[str, str] | None) -> None:
        """Take what a client has sent."""
        if not self.up:
            return
        stream = self._subjects.get(subject)
        if stream is not None:
            self._append(stream, data, (headers or {}).get("Nats-Msg-Id", ""), reply)
        elif subject.startswith(_NEXT):
            self._ask_for_more(subject.removeprefix(_NEXT), reply, data)
        elif subject.startswith(_DIRECT):
            self._block(self.streams[subject.removeprefix(_DIRECT)], reply, data)
        elif not self.tell(subject, reply, data, headers) and reply:
            self.tell(reply, "", b"", _NO_RESPONDERS)

    def tell(self, subject: str, reply: str, data: bytes, headers: dict[str, str] | None = None) -> bool:
        """Hand a message to all who hear its subject; return whether anybody does."""
        message = Message(subject, reply, data, headers)
        heard = False
        for pattern in (subject, subject.rpartition(".")[0] + ".*"):
            for guest, number in list(self._listening.get(pattern, ())):
                heard = True
                guest.hand(number, message)
        return heard

    # Streams.

    def stream(self, name: str) -> Stream | None:
        """Return a stream that answers now."""
        stream = self.streams[name]
        return stream if self.up and stream.has_leader else None

    def _append(self, stream: Stream, data: bytes, block_id: str, inbox: str) -> None:
        if not stream.has_leader:
            if self._chance.happens(0.3):
                self.tell(inbox, "", b"", _NO_RESPONDERS)
            return
        if self.refuses:
            self._refuse(inbox, "insufficient resources")
            return
        known = stream.known(block_id, self.loop.time())
        if known is not None:
            self._ack(stream, inbox, known)
        elif block_id in stream.appending:
            self._refuse(inbox, "duplicate message id is in process")
        else:
            appending = stream.appending[block_id] = Appending(data, block_id, inbox)
            took_s = self._chance.seconds(*self.append_s)
            stream.free_at_s = max(stream.free_at_s, self.loop.time()) + took_s
            self.loop.call_at(stream.free_at_s, self._store, stream, appending)

    def _store(self, stream: Stream, appending: Appending) -> None:
        """Have a block stored, unless its leader was lost meanwhile."""
        if stream.appending.get(appending.block_id) is not appending:
            return
        del stream.appending[appending.block_id]
        sequence = stream.store(appending.data, appending.block_id, self.loop.time())
        if self.acks_to_lose:
            self.acks_to_lose -= 1
        else:
            self._ack(stream, appending.inbox, sequence)
        self._send_all(stream)

    def _ack(self, stream: Stream, inbox: str, sequence: int) -> None:
        self.tell(inbox, "", msgspec.json.encode({"stream": stream.name, "seq": sequence}))

    def _refuse(self, inbox: str, why: str) -> None:
        error = {"code": 503, "err_code": 10_000, "description": why}
        self.tell(inbox, "", msgspec.json.encode({"error": error}))

    def _block(self, stream: Stream, inbox: str, data: bytes) -> None:
        if not stream.has_leader:
            return
        sequence = msgspec.json.decode(data)["seq"]
        found = stream.blocks.get(sequence)
        headers = {"Status": "404"} if found is None else {"Nats-Sequence": str(sequence)}
        self.tell(inbox, "", found or b"", headers)

    # Consumers.

    def add_consumer(self, stream: Stream, config: ConsumerConfig) -> Consumer:
        """Make a consumer that begins where it is told to."""
        self._consumers += 1
        name = f"c{self._consumers}"
        consumer = stream.consumers[name] = Consumer(name, config.opt_start_seq or 1)
        return consumer

    def _ask_for_more(self, path: str, inbox: str, data: bytes) -> None:
        name, _, of = path.rpartition(".")
        stream = self.streams[name]
        consumer = stream.consumers.get(of)
        if consumer is None:
            self.tell(inbox, "", b"", _NO_RESPONDERS)
            return
        wanted = msgspec.json.decode(data)
        asked = Asked(inbox, wanted["batch"], self.loop.time() + wanted["expires"] / 1e9)
        consumer.asked.append(asked)
        if len(consumer.asked) == 1:
            consumer.left = asked.blocks
        self.loop.call_at(asked.until_s, self._expire, consumer, asked)
        self._send(stream, consumer)

    def _expire(self, consumer: Consumer, asked: Asked) -> None:
        if asked not in consumer.asked:
            return
        left = consumer.left if consumer.asked[0] is asked else asked.blocks
        self._done(consumer, asked)
        headers = {"Status": "408", "Description": "Request Timeout", "Nats-Pending-Messages": str(left)}
        self.tell(asked.inbox, "", b"", headers)

    def _done(self, consumer: Consumer, asked: Asked) -> None:
        consumer.asked.remove(asked)
        consumer.left = consumer.asked[0].blocks if consumer.asked else 0

    def _send_all(self, stream: Stream) -> None:
        for consumer in list(stream.consumers.values()):
            self._send(stream, consumer)

    def _send(self, stream: Stream, consumer: Consumer) -> None:
        if not (self.up and stream.has_leader):
            return
        while consumer.asked and consumer.next <= stream.last:
            consumer.next = max(consumer.next, stream.first)
            sequence, asked = consumer.next, consumer.asked[0]
            if sequence > stream.last:
                return
            consumer.next += 1
            consumer.sent += 1
            consumer.left -= 1
            left = stream.last - sequence
            place = f"{stream.name}.{consumer.name}.1.{sequence}.{consumer.sent}.0.{left}"
            if not consumer.left:
                self._done(consumer, asked)
            self.tell(asked.inbox, f"$JS.ACK.{place}", stream.blocks[sequence])

    # Faults.

    def go_down(self) -> None:
        """Die: what was not stored may be, or not, and all connections end."""
        self.up = False
        for stream in self.streams.values():
            self.lose_leader(stream)
        for guest in list(self._guests):
            guest.drop()

    def come_up(self) -> None:
        """Be there again, with all that was stored."""
        self.up = True
        for stream in self.streams.values():
            self.elect(stream)

    def lose_leader(self, stream: Stream) -> None:
        """Have a stream be without a leader: what it had begun to store is decided by the next one."""
        stream.has_leader = False
        if self.replicas == 1 or self._chance.happens(0.5):
            self.lose_consumers(stream)

    def elect(self, stream: Stream) -> None:
        """Give a stream a leader again, who has a beginning of what the last one had begun to store."""
        stream.has_leader = True
        appending, stream.appending = list(stream.appending.values()), {}
        for one in appending[: self._chance.randint(0, len(appending))]:
            stream.store(one.data, one.block_id, self.loop.time())
        for consumer in stream.consumers.values():
            consumer.asked.clear()  # nobody tells those who asked: they notice the silence
        self._send_all(stream)

    def lose_consumers(self, stream: Stream) -> None:
        """Forget all consumers of a stream; who asked one is told, or is not."""
        for consumer in stream.consumers.values():
            for asked in consumer.asked:
                if self._chance.happens(0.5):
                    self.tell(asked.inbox, "", b"", _GONE)
        stream.consumers.clear()

    def drop(self, which: Callable[[Guest], bool]) -> None:
        """End some connections: a server of the cluster has died that they had chosen."""
        for guest in list(self._guests):
            if which(guest):
                guest.drop()

    def bucket(self, name: str) -> Bucket:
        """Return a bucket, made if it is not there."""
        return self.buckets.setdefault(name, Bucket())

    def is_stale(self) -> bool:
        """Whether a read of a bucket comes from a server that has not the newest yet."""
        return self._chance.happens(self.stale_reads)

    def repeat(self, stream: Stream, sequence: int) -> None:
        """Store a block again: a copy of it was on its way for longer than its id is remembered."""
        stream.store(stream.blocks[sequence], f"again-{stream.last}", self.loop.time())
        self._send_all(stream)

    def facts(self) -> dict[str, Any]:
        """Return how far the streams are, for who looks at a history."""
        return {name: (stream.first, stream.last) for name, stream in self.streams.items()}
