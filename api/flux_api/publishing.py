"""From a client's events to durable ones: the one implementation of the rules, for every way in."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from flux_actors.domain.entity_id import namespace_of
from flux_actors.domain.event import Envelope, Event, TermedEvent, terms_in, tombstone, with_terms
from flux_actors.domain.event_reader import EventReader
from flux_actors.domain.json_text import check_depth, check_numbers
from flux_actors.domain.partitioning import Partitioning
from flux_actors.domain.position import Packed
from flux_actors.domain.terms import Condition, Terms
from flux_actors.errors import FluxError, Refused, Unavailable
from flux_actors.feed.decisions import Decided
from flux_actors.log import committer as committing
from flux_actors.log.block import encode_event, encode_events
from flux_actors.log.commit_meter import CommitMeter
from flux_actors.log.committer import Committer
from flux_actors.log.event_ids import EventIds
from flux_actors.log.ports import EventLog
from flux_actors.tenancy.authorising import Action, authorise, sift
from flux_actors.tenancy.principal import UNKNOWN, Kind, Principal
from flux_actors.tenancy.registry import Registry
from flux_api.atomic import made_whole
from flux_api.deciding import Deciding, together_in
from flux_api.incoming import envelope_of, too_deep
from flux_api.rates import Rates, unlimited
from flux_api.slow_refusals import SlowRefusals
from flux_api.submission import Published, Submission

_API_SOURCE: Final = "flux-api"
_T = TypeVar("_T")


Outcome = Published | FluxError


class Publisher:
    """Checks events and commits them through one committer per partition."""

    def __init__(
        self,
        log: EventLog,
        partitioning: Partitioning,
        registry: Registry,
        rates: Rates | None = None,
        decided: Decided | None = None,
    ) -> None:
        self._partitioning = partitioning
        self._registry = registry
        self._deciding = Deciding(decided)
        self._rates = rates or unlimited()
        self._ids = EventIds()
        self._reader = EventReader()
        identity = secrets.randbits(63)
        self._refusals = SlowRefusals()
        self.meter = CommitMeter()
        self.committers = [self._committer(log, partition, identity) for partition in partitioning.all()]

    def _committer(self, log: EventLog, partition: int, identity: int) -> Committer:
        return Committer(log, partition, identity, _now_us, meter=self.meter)

    def read(self, envelope: Envelope) -> Event:
        """Return the event of an envelope; raises `Refused` for one that breaks a rule."""
        now_ms = time.time_ns() // 1_000_000
        return self._reader.read(envelope, now_ms, self._ids.take(now_ms))

    def submit(self, envelope: Envelope, principal: Principal, done: Callable[[Outcome], None]) -> None:
        """Publish one event; `done` hears what became of it, later.

        Raises:
            Refused: the event breaks a rule, or `principal` may not write there. Unavailable: nothing more
                is taken now.
        """
        self.submit_event(self.read(envelope), principal, done)

    def submit_event(self, event: Event, principal: Principal, done: Callable[[Outcome], None]) -> None:
        """Publish an event that keeps the rules; else as `submit`."""
        entity_id = event.entity_id
        if principal.kind is not Kind.ANYONE:
            principal, now_us = self._now(principal), _now_us()
            if not principal.may_write(entity_id, now_us):
                namespace = namespace_of(entity_id or "")
                authorise(principal, Action.WRITE, namespace, entity_id, self._registry, now_us)
            if not self._rates.off:
                self._submit_within_rate(principal, event, done)
                return
        self._submit(event, done)

    def may_write(self, principal: Principal, entity_id: str) -> bool:
        """Whether a principal may still write an entity."""
        return principal.kind is Kind.ANYONE or self._now(principal).may_write(entity_id, _now_us())

    def _now(self, principal: Principal) -> Principal:
        """Return whom a principal is by now: a token may have been revoked since it was looked up."""
        revoked = principal.kind is Kind.HOLDER and not self._registry.has_token(principal.token_id)
        return UNKNOWN if revoked else principal

    def _submit_within_rate(
        self, principal: Principal, event: Event, done: Callable[[Outcome], None]
    ) -> None:
        """Publish an event of a namespace that may publish only so many, once it may."""
        rates, namespace = self._rates, principal.namespace
        if rates.take(namespace):
            try:
                self._submit(event, done)
            except FluxError:
                rates.give_back(namespace, 1)
                raise
        elif rates.refuses(namespace):
            self._refusals.later(partial(done, rates.refusal(namespace)))
        else:
            rates.admit(namespace, 1, partial(self._go_on, principal, event, done))

    def _go_on(
        self, principal: Principal, event: Event, done: Callable[[Outcome], None], passed: int
    ) -> None:
        """Publish an event that had to wait for an answer of the budgets, or tell that it may not pass."""
        namespace = principal.namespace
        if not passed:
            self._refusals.later(partial(done, self._rates.refusal(namespace)))
            return
        try:
            if self._now(principal) is UNKNOWN:
                authorise(UNKNOWN, Action.WRITE, namespace, event.entity_id, self._registry, 0)
            self._submit(event, done)
        except FluxError as error:
            self._rates.give_back(namespace, 1)
            done(error)

    def _submit(self, event: Event, done: Callable[[Outcome], None]) -> None:
        try:
            encoded = encode_event(event)
        except OverflowError:
            raise _number_error(event) from None
        partition = self._partitioning.of_entity(event.entity_id or "")
        terms = terms_in(event)

        def settled(outcome: committing.Outcome) -> None:
            if isinstance(outcome, Unavailable):
                done(outcome)
            elif terms is not None and terms.decides:
                published = Published(event, partition, Packed(outcome))
                self._deciding.tell(published, terms, done)
            else:
                done(Published(event, partition, Packed(outcome)))

        self.committers[partition].put(encoded, 1, settled, termed=terms is not None)

    def submit_all(
        self,
        bodies: Sequence[Any],
        principal: Principal,
        done: Callable[[Submission], None],
        text: bytes | bytearray | None = None,
    ) -> None:
        """Publish many; each fails or lands alone, and `done` hears of all of them at once, maybe at once.

        `bodies` are envelopes or JSON values; `text` is the JSON that envelopes were read from, for the
        depth of each is measured there.
        """
        self.submit_events(self.check_all(bodies, principal, text), principal, done)

    def refusal(self, principal: Principal) -> Refused | None:
        """Return why nothing that `principal` publishes would pass now, `None` when it may."""
        rates, namespace = self._rates, principal.namespace
        if rates.off or principal.kind is not Kind.HOLDER or not rates.refuses(namespace):
            return None
        return rates.refusal(namespace)

    def short_of(self, principal: Principal, count: int) -> bool:
        """Whether fewer than `count` events that `principal` publishes would pass now."""
        rates = self._rates
        if rates.off or principal.kind is not Kind.HOLDER:
            return False
        return rates.short_of(principal.namespace, count)

    def check_all(
        self, bodies: Sequence[Any], principal: Principal, text: bytes | bytearray | None = None
    ) -> list[Event | FluxError]:
        """Return the event of each body, or why it is refused; `text` is as for `submit_all`."""
        now_ms = time.time_ns() // 1_000_000
        if bodies and all(isinstance(body, Envelope) for body in bodies):
            ids = self._ids.take_many(now_ms, len(bodies))
            events: list[Event | FluxError] = list(self._reader.read_all(bodies, now_ms, ids))
        else:
            events = [self._checked(body, now_ms) for body in bodies]
        if text is not None and isinstance(bodies[0], Envelope):
            for number, refusal in too_deep(text, events).items():
                events[number] = refusal
        return sift(self._now(principal), events, self._registry, now_ms * 1_000)

    def submit_events(
        self, events: list[Event | FluxError], principal: Principal, done: Callable[[Submission], None]
    ) -> None:
        """Commit events that were checked; those that were refused stay what they are."""
        termed = TermedEvent in set(map(type, events))
        submission = Submission(events, partial(self._deciding.tell_all, done=done) if termed else done)
        if self._rates.off or principal.kind is not Kind.HOLDER:
            self._commit_all(submission)
            return
        good = [index for index, event in enumerate(events) if isinstance(event, Event)]
        namespace, rates = principal.namespace, self._rates  # whose all of them are: the others were refused

        def go(passed: int) -> None:
            if passed < together_in(submission.events):
                rates.give_back(namespace, passed)
                passed = 0
            if self._now(principal) is UNKNOWN:
                rates.give_back(namespace, passed)
                passed = 0
                sift(UNKNOWN, submission.events, self._registry, 0)
            elif not passed and good:
                submission.fail(good, rates.refusal(namespace))
                self._refusals.later(submission.begun)
                return
            elif passed < len(good):
                submission.fail(good[passed:], rates.refusal(namespace))
            before = submission.given_up
            self._commit_all(submission, lambda: rates.give_back(namespace, submission.given_up - before))

        rates.admit(namespace, len(good), go)

    def _commit_all(self, submission: Submission, begun: Callable[[], None] = lambda: None) -> None:
        for partition, indexes in self._groups(submission.events).items():
            self._commit(submission, partition, indexes)
        begun()
        submission.begun()

    async def publish(self, body: Any, principal: Principal) -> Published:
        """Publish one event of a client, an envelope or a JSON value.

        Raises:
            Refused: the event breaks a rule. Unavailable: it is not known to be durable.
        """
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.submit(envelope_of(body), principal, into(answer))
        outcome = await answer
        if isinstance(outcome, FluxError):
            raise outcome
        return outcome

    async def publish_all(
        self, bodies: Sequence[Any], principal: Principal, text: bytes | bytearray | None = None
    ) -> Submission:
        """Publish many and return what became of them."""
        answer: asyncio.Future[Submission] = asyncio.get_running_loop().create_future()
        self.submit_all(bodies, principal, into(answer), text)
        return await answer

    async def publish_whole(
        self, bodies: Sequence[Any], principal: Principal, text: bytes | bytearray | None = None
    ) -> Submission:
        """Publish an atomic batch and return what became of it.

        Raises:
            Refused: its events cannot be kept together.
        """
        events = made_whole(self.check_all(bodies, principal, text), self._partitioning, self.committers[0])
        answer: asyncio.Future[Submission] = asyncio.get_running_loop().create_future()
        self.submit_events(events, principal, into(answer))
        return await answer

    async def delete_all(
        self, ids: Iterable[str], principal: Principal, condition: Condition | None = None
    ) -> Submission:
        """Publish a tombstone for each id, maybe on a condition; those it may not write fail alone."""
        now_ms = time.time_ns() // 1_000_000
        tombs: list[Event | FluxError] = [
            tombstone(entity_id, self._ids.take(now_ms), now_ms, _API_SOURCE) for entity_id in ids
        ]
        if condition is not None:
            tombs = [
                with_terms(tomb, Terms(condition=condition)) for tomb in tombs if isinstance(tomb, Event)
            ]
        answer: asyncio.Future[Submission] = asyncio.get_running_loop().create_future()
        found = sift(self._now(principal), tombs, self._registry, now_ms * 1_000)
        self.submit_events(found, principal, into(answer))
        return await answer

    async def publish_own(self, event: Event) -> Published:
        """Publish an event that the server made itself.

        Raises:
            Unavailable: it is not known to be durable.
        """
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._submit(event, into(answer))
        outcome = await answer
        if isinstance(outcome, FluxError):
            raise outcome
        return outcome

    async def close(self) -> None:
        """Let what is queued finish, take nothing new."""
        await asyncio.gather(*(committer.close() for committer in self.committers))
        await self._deciding.close()

    def _checked(self, body: Any, now_ms: int) -> Event | FluxError:
        try:
            if not isinstance(body, Envelope):
                check_depth(body)
            return self._reader.read(envelope_of(body), now_ms, self._ids.take(now_ms))
        except Refused as error:
            return error

    def _groups(self, events: Sequence[Event | FluxError]) -> dict[int, Sequence[int]]:
        """Return the indexes of the good events of each partition."""
        if all(type(event) is Event for event in events):
            good: Sequence[int] = range(len(events))
        else:
            good = [index for index, event in enumerate(events) if isinstance(event, Event)]
        partitions = self._partitioning.of_entities([events[index].entity_id for index in good])  # type: ignore[union-attr]
        if len(set(partitions)) == 1:
            return {partitions[0]: good}
        groups: dict[int, list[int]] = {}
        for index, partition in zip(good, partitions, strict=True):
            groups.setdefault(partition, []).append(index)
        return dict(groups)

    def _commit(self, submission: Submission, partition: int, indexes: Sequence[int]) -> None:
        """Put the events of one partition into its committer, in pieces that fit into a block."""
        size = self.committers[partition].piece_events_max
        for first in range(0, len(indexes), size):
            full = self._put(submission, partition, indexes[first : first + size])
            if full is not None:
                submission.fail(indexes[first + size :], full)
                return

    def _put(self, submission: Submission, partition: int, indexes: Sequence[int]) -> Unavailable | None:
        """Commit some events; when nothing more is taken, they fail, and so must all behind them.

        A later event that was taken would be overtaken by the earlier one when its client sends that again.
        """
        events: list[Event] = [submission.events[index] for index in indexes]  # type: ignore[misc]
        committer = self.committers[partition]
        try:
            encoded = encode_events(events)
        except OverflowError:
            encoded = None
        if len(indexes) > 1 and (encoded is None or len(encoded) > committer.piece_bytes_max):
            middle = len(indexes) // 2
            full = self._put(submission, partition, indexes[:middle])
            if full is None:
                return self._put(submission, partition, indexes[middle:])
            submission.fail(indexes[middle:], full)
            return full
        if encoded is None:
            submission.fail(indexes, _number_error(events[0]))
            return None
        settled = submission.expect(partition, indexes)
        try:
            committer.put(encoded, len(indexes), settled, termed=TermedEvent in set(map(type, events)))
        except Unavailable as error:
            settled(error)
            return error
        except FluxError as error:
            submission.refuse(indexes, error)
        return None


def into(answer: asyncio.Future[_T]) -> Callable[[_T], None]:
    """Return what fills a future, unless whoever waited for it has gone."""

    def fill(value: _T) -> None:
        if not answer.done():
            answer.set_result(value)

    return fill


def _number_error(event: Event) -> Refused:
    try:
        check_numbers(event.payload())
    except Refused as error:
        return error
    return Refused("integers must fit in 64 bits")


def _now_us() -> int:
    return time.time_ns() // 1_000
