"""What a message to a behaviour costs, step by step, in a process that does nothing else.

`python -m flux_bench.acting_cost` prints µs per message of each step that a shard and its worker take: the
fold that makes the message, the dispatcher that orders its work, the worker that calls the handler, the
results back, and the fold that takes the message out again. The steps of the shard share one processor, those
of the worker another. Python's collector is off, as in a shard (shard/collector.py). Checked: every message
was handled without a fault, and nothing waits afterwards.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from flux_actors import Behaviour, limits
from flux_actors.behaviour.behaviour import described
from flux_actors.behaviour.code import digest_of, pack
from flux_actors.behaviour.handling import Handling
from flux_actors.behaviour.loads import Outcome, Share, Standing, orders_of, outcome_of
from flux_actors.behaviour.mailbox import Mailbox
from flux_actors.behaviour.watchdog import Watchdog
from flux_actors.behaviour.wire import Results, decode_orders, decode_results, encode
from flux_actors.domain.acting.catalogue import Catalogue, Deployed, Version
from flux_actors.domain.acting.messages import Message
from flux_actors.domain.event import Event, with_terms
from flux_actors.domain.fold import PartitionState
from flux_actors.domain.terms import Terms
from flux_actors.log.block import decode_block_heads, encode_block, encode_event
from flux_bench.log_lab import options, show
from flux_bench.sample import sample_event

_BLOCK_EVENTS: Final = 500
_PULL_BLOCKS: Final = 4
_CLOCK_US: Final = 1_700_000_000_000_000


class Silent(Behaviour):
    """Does nothing."""

    match = "bench/*"

    def on_change(self, entity: Any, change: Any) -> None:
        """Look at what it is told, no more."""


class Emitting(Behaviour):
    """Emits one effect for each hundredth message."""

    match = "bench/*"

    def on_change(self, entity: Any, change: Any) -> None:
        """Emit for some."""
        if change.properties["sequence"] % 100 == 0:
            entity.emit("others/counted", {"sequence": change.properties["sequence"]})


class Code(dict[str, bytes]):
    """The code of a class, as a worker is given it."""

    def __init__(self, made: type[Behaviour]) -> None:
        code = pack(made)
        self.version = _version(made, digest_of(code))
        super().__init__({self.version.digest: code})

    def code(self, digest: str) -> bytes | None:
        """Return packed code."""
        return self.get(digest)


class Step(NamedTuple):
    """What a step takes."""

    name: str
    where: str
    seconds: float


class _Clock:
    """Adds up what steps take."""

    def __init__(self) -> None:
        self.steps: dict[str, Step] = {}

    def time(self, where: str, name: str, work: Callable[..., Any], *arguments: Any) -> Any:
        """Return what `work` returns."""
        started = time.thread_time()  # of the processor: others may run beside it
        made = work(*arguments)
        seconds = time.thread_time() - started
        before = self.steps.get(name)
        self.steps[name] = Step(name, where, seconds + (before.seconds if before else 0.0))
        return made


def measure(made: type[Behaviour], messages: int, entities: int) -> list[Step]:
    """Return the steps of `messages` events to as many entities, in seconds of all together."""
    code, clock, watchdog = Code(made), _Clock(), Watchdog()
    state, plain = PartitionState(0), PartitionState(0)
    state.apply([(1, decode_block_heads(_control(code.version)))])
    plain.apply([(1, decode_block_heads(_control(code.version, nowhere=True)))])
    handling = Handling(code, watchdog)
    sequence, handled = 1, 0
    for first in range(0, messages, _BLOCK_EVENTS * _PULL_BLOCKS):
        blocks = list(_blocks(range(first, min(first + _BLOCK_EVENTS * _PULL_BLOCKS, messages)), entities))
        sequences = range(sequence + 1, sequence + 1 + len(blocks))
        clock.time("–", "for comparison: the fold without behaviours", _apply, plain, sequences, blocks)
        applied = clock.time("shard", "fold, with the messages", _apply, state, sequences, blocks)
        shares = clock.time("shard", "mailboxes", _shares, applied.messages, state, code.version)
        outcome = _carried(clock, shares, handling)
        handled += len(outcome.handled)
        note = clock.time("shard", "the note that it is done", _note, outcome.handled)
        sequence = sequences[-1] + 1
        plain.sequence = sequence
        clock.time("shard", "fold of the note", _apply, state, [sequence], [note])
    watchdog.close()
    assert handled == messages, (handled, messages)
    assert not len(state.acting.outbox)
    return list(clock.steps.values())


def _carried(clock: _Clock, load: list[Share], handling: Handling) -> Outcome:
    orders = clock.time("shard", "encode orders", orders_of, 0, 0, load, _stands)
    decoded = clock.time("worker", "decode orders", decode_orders, orders)
    results = clock.time("worker", "handle", handling.run, decoded)
    data = clock.time("worker", "encode results", encode, results)
    decoded_results: Results = clock.time("shard", "decode results", decode_results, data)
    outcome: Outcome = clock.time("shard", "what came of it", outcome_of, load, decoded_results.runs)
    assert not outcome.faults, outcome.faults[0]
    return outcome


def _apply(state: PartitionState, sequences: Iterable[int], blocks: list[bytes]) -> Any:
    return state.apply(
        (sequence, decode_block_heads(block)) for sequence, block in zip(sequences, blocks, strict=True)
    )


def _shares(messages: Iterable[Message], state: PartitionState, version: Version) -> list[Share]:
    mailboxes: dict[str, Mailbox] = {}
    for message in messages:
        mailbox = mailboxes.get(message.entity_id)
        if mailbox is None:
            mailbox = mailboxes[message.entity_id] = Mailbox(message.entity_id)
        mailbox.items.append(message)
    most = limits.orders_items_max
    return [
        Share(
            mailbox,
            state.acting.binding(state.entities[mailbox.entity_id]),
            version,
            *mailbox.first(most, limits.orders_bytes_max),
        )
        for mailbox in mailboxes.values()
    ]


def _stands(_: str) -> Standing:
    raise AssertionError("nobody asks")


def _blocks(numbers: range, entities: int) -> Iterable[bytes]:
    for first in range(numbers.start, numbers.stop, _BLOCK_EVENTS):
        some = range(first, min(first + _BLOCK_EVENTS, numbers.stop))
        events = [sample_event(number, entities) for number in some]
        yield encode_block(1, first + 1, _CLOCK_US + first, events)


def _note(positions: list[int]) -> bytes:
    event = Event(None, None, "handled", named_by_client=False, source="s", stream="t", timestamp_ms=1)
    encoded = encode_event(with_terms(event, Terms(handled=positions)))
    return encode_block(2, positions[-1], _CLOCK_US, [encoded], termed=True)


def _control(version: Version, *, nowhere: bool = False) -> bytes:
    deployed = [] if nowhere else [Deployed("bench", version)]
    event = Event(None, None, "control", named_by_client=False, source="s", stream="t", timestamp_ms=1)
    encoded = encode_event(with_terms(event, Terms(control=Catalogue(1, deployed))))
    return encode_block(3, 1, _CLOCK_US, [encoded], termed=True)


def _version(made: type[Behaviour], digest: str) -> Version:
    found = described(made)
    return Version(1, digest, found.match, found.handles)


def main() -> None:
    """Print the table."""
    gc.disable()
    messages = 2_000 if options(__doc__).quick else 100_000
    for made in (Silent, Emitting):
        rows = []
        for entities in (messages // 100, messages // 10):
            measure(made, messages // 10, entities // 10)  # what is made once is not what is measured
            steps = measure(made, messages, entities)
            rows += [
                (entities, step.where, step.name, f"{step.seconds / messages * 1e6:.2f}") for step in steps
            ]
            for where in ("shard", "worker"):
                total = sum(step.seconds for step in steps if step.where == where)
                rows.append((entities, where, "all", f"{total / messages * 1e6:.2f}"))
        show(f"{made.__name__}: {messages:,} messages", ("entities", "where", "step", "µs"), rows)


if __name__ == "__main__":
    main()
