"""Large batches: answered as small ones are, in slices that leave others their turn."""

from __future__ import annotations

import asyncio
import json
import re

import pytest

from flux_actors import limits
from flux_actors.errors import Refused, Unavailable
from flux_actors.tenancy.namespace import Visibility, register
from flux_actors.tenancy.principal import ANYONE
from flux_api.answers import batch_answer
from flux_api.incoming import read_batch
from flux_api.publishing import Publisher
from flux_api.slicing import slices_of
from tests.unit.api.hot.two_ways import MADE_UP, TwoWays, alike
from tests.unit.api.standing import Standing, event, settle

MIXED = [
    event("a/1", {"v": 1}),
    event("b/1", {"v": [{"x": 1}, {"y": 2}]}, eventId="mine"),
    5,
    event("flux-core/x", {"v": 1}, eventId="bad"),
    event("a/2", {"v": 2**64}),
    event(None),
    event("a/3", {"v": "},{"}, unknown=1),
    {},
    event("wide/1", {"__deleted__": True}),
]


@pytest.fixture(autouse=True)
def _small_slices(monkeypatch):
    monkeypatch.setattr(limits, "batch_slice_bytes", 600)
    monkeypatch.setattr(limits, "batch_slice_events", 3)
    monkeypatch.setattr(limits, "batch_slices_together", 1)


@pytest.fixture
def batches(standing):
    return standing.door.batches


async def limited(per_minute, *names):
    """Return a door with tokens on and a limit of one moment, and a holder for each of some namespaces."""
    standing = await Standing.up(auth_enabled=True, admin_token="admin", clock=lambda: 0.0)
    limit = {"rate_limit_per_namespace_per_minute": per_minute}
    await standing.door.config.change(limit, "test", standing.door.audit)
    holders = []
    for name in names:
        namespace, token = register(name, Visibility.PUBLIC, 0)
        standing.door.tenancy.registry.apply(namespace)
        holders.append(standing.door.tenancy.known(f"Bearer {token.text}"))
    return standing, holders


def text(value):
    return json.dumps(value).encode()


def without_ids(answer):
    for pattern, word in MADE_UP:
        answer = pattern.sub(word, answer)
    return answer


@pytest.mark.parametrize("bodies", [MIXED * 9, MIXED[:1] * 50, [5] * 51, MIXED[1:2]], ids=len)
async def test_the_answer_is_byte_for_byte_that_of_a_small_one(standing, batches, bodies):
    body = text({"events": bodies})
    events = read_batch(body)
    submission = await standing.door.publisher.publish_all(events, ANYONE, body)
    answer = await batches.publish(body, ANYONE)
    assert without_ids(b"".join(answer.parts)) == without_ids(batch_answer(events, submission))
    assert answer.positions.keys() == submission.positions().keys()


async def test_one_that_nests_too_deep_fails_alone(batches):
    deep = json.loads("[" * 140 + "]" * 140)
    bodies = [event("a/1", {"v": 1})] * 9 + [event("a/1", {"v": deep})] + [event("a/1", {"v": 1})] * 9
    answer = json.loads(b"".join((await batches.publish(text(bodies), ANYONE)).parts))
    assert (answer["successful"], answer["failed"]) == (18, 1)
    assert "levels deep" in answer["results"][9]["error"]


async def test_events_keep_their_order(standing, batches):
    await batches.publish(text([event("a/1", {"v": number}) for number in range(200)]), ANYONE)
    await standing.publish(event("a/1", {"last": True}))
    entity = await standing.door.view.get("a/1")
    assert entity.properties == {"v": 199, "last": True}


async def test_a_body_that_is_broken_at_its_end_publishes_nothing(standing, batches):
    body = text([event("a/1", {"v": 1})] * 50)[:-1] + b",{]"
    with pytest.raises(Refused) as caught:
        await batches.publish(body, ANYONE)
    assert caught.value.status == 400
    assert sum(committer.events_total for committer in standing.door.publisher.committers) == 0


async def test_who_publishes_beside_one_does_not_wait_for_all_of_it(standing, batches):
    large = asyncio.ensure_future(batches.publish(text([event("a/1", {"v": 1})] * 2_000), ANYONE))
    await settle()
    done = await standing.door.publisher.publish(event("a/2", {"v": 1}), ANYONE)
    assert not large.done()
    positions = (await large).positions
    assert done.position < positions[done.partition]


async def test_a_namespace_has_one_under_way_and_others_do_not_wait_for_its_next():
    standing = await Standing.up(auth_enabled=True, admin_token="admin")
    await standing.door.config.change({"rate_limit_enabled": False}, "test", standing.door.audit)
    holders = []
    for name in ("one", "two"):
        namespace, token = register(name, Visibility.PUBLIC, 0)
        standing.door.tenancy.registry.apply(namespace)
        holders.append(standing.door.tenancy.known(f"Bearer {token.text}"))
    done: list[str] = []

    async def publish(number: int, events: int) -> None:
        holder = holders[number]
        body = text([event(f"{holder.namespace}/e", {"v": 1})] * events)
        await standing.door.batches.publish(body, holder)
        done.append(holder.namespace)

    await asyncio.gather(publish(0, 500), publish(0, 500), publish(0, 500), publish(1, 50))
    assert done == ["two", "one", "one", "one"]
    assert not standing.door.batches._lanes  # noqa: SLF001
    await standing.down()


@pytest.mark.parametrize("spent", [True, False])
async def test_those_that_are_refused_are_in_no_hurry_and_hold_up_nobody(monkeypatch, spent):
    monkeypatch.setattr(limits, "heartbeat_s", 0.002)
    standing, holders = await limited(60, "greedy", "greedier", "modest")

    async def publish(holder, count):
        body = text([event(f"{holder.namespace}/e", {"v": 1})] * count)
        return json.loads(b"".join((await standing.door.batches.publish(body, holder)).parts))

    for holder in holders[:2] if spent else ():
        await publish(holder, 70)
    refused = [asyncio.ensure_future(publish(holder, 900)) for holder in holders[:2]]
    await settle()
    assert (await publish(holders[2], 50))["successful"] == 50
    assert not any(one.done() for one in refused)
    for one in refused:  # one event comes in a second
        assert (0 if spent else 60) <= (await one)["successful"] < (10 if spent else 70)
    await standing.down()


async def test_a_batch_of_more_than_may_pass_rests_while_it_is_read_too(monkeypatch):
    """Else it would be read in one go whenever a few events have come in, as they do all the time."""
    standing, (holder,) = await limited(60, "greedy")
    assert standing.door.publisher.refusal(holder) is None
    monkeypatch.setattr(limits, "batch_refused_pause_s", 0.0011)  # no other wait is as long
    slept, real = [], asyncio.sleep

    async def sleep(seconds):
        slept.append(seconds)
        await real(0)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    for count in (60, 600):
        body = text([event("greedy/e", {"v": 1})] * count)
        slices = sum(1 for _ in slices_of(body))
        slept.clear()
        answer = json.loads(b"".join((await standing.door.batches.publish(body, holder)).parts))
        rests = slept.count(limits.batch_refused_pause_s)
        assert answer["successful"] == 60 if count == 60 else answer["successful"] < 10
        assert rests == 0 if count == 60 else rests >= 2 * slices
    await standing.down()


async def test_behind_what_the_log_did_not_take_nothing_is_published(standing, batches, monkeypatch):
    puts = []
    for committer in standing.door.publisher.committers:

        def put(data, count, settled, committer=committer, real=committer.put, **_):
            puts.append(count)
            if len(puts) == 3:
                raise Unavailable("too many publishes are waiting")
            real(data, count, settled)

        monkeypatch.setattr(committer, "put", put)
    answer = json.loads(b"".join((await batches.publish(text([event("a/1", {"v": 1})] * 60), ANYONE)).parts))
    errors = [result["error"] is not None for result in answer["results"]]
    first = errors.index(True)
    assert 0 < first < 20
    assert sum(not error for error in errors[first:]) <= 12  # the one slice that was under way already
    assert answer["failed"] == sum(errors)
    assert errors[-1]


async def test_a_fault_is_an_answer_too(standing, batches, monkeypatch, lines):
    def broken(*_):
        raise ValueError("nobody foresaw this")

    monkeypatch.setattr(Publisher, "check_all", broken)
    heard = asyncio.get_running_loop().create_future()
    batches.begin(text(MIXED), ANYONE, heard.set_result)
    assert isinstance(await heard, Unavailable)
    assert [line for line in lines if line["event"] == "request.fault"]


async def test_both_ways_answer_a_large_batch_alike(standing, monkeypatch):
    monkeypatch.setattr(limits, "batch_at_once_bytes", 4_000)
    ways = TwoWays(standing)
    requests = []
    for bodies in (MIXED * 9, [5] * 3_000, text(MIXED * 9)[:-1]):
        body = bodies if isinstance(bodies, bytes) else text(bodies)
        requests.append(
            b"POST /api/events/batch HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
    hot = ways.hot_way()
    for request in requests:
        expected = alike(await ways.plain_way().send(request))
        assert alike(await hot.send(request)) == expected
        before = ways.hot.answered_hot
        chunks = [request[at : at + 1_500] for at in range(0, len(request), 1_500)]
        assert alike(await hot.send(*chunks)) == expected
        assert ways.hot.answered_hot == before + 1
        assert re.match(rb"HTTP/1.1 (200|400) ", expected)


async def test_a_large_answer_is_written_as_fast_as_it_is_read(standing, monkeypatch):
    monkeypatch.setattr(limits, "batch_at_once_bytes", 1_000)
    monkeypatch.setattr(limits, "answer_piece_bytes", 500)
    ways = TwoWays(standing)
    body = text([event("a/1", {"v": 1}, eventId=f"e{number}") for number in range(300)])
    request = b"POST /api/events/batch HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    read = b"GET /api/state/entities/a/1 HTTP/1.1\r\nHost: x\r\n\r\n"
    hot = ways.hot_way()
    expected = alike(await hot.send(request)) + alike(await hot.send(read))
    await hot.send(request)
    start = len(hot.transport.written)
    hot.protocol.data_received(request)
    hot.protocol.data_received(read)
    write = hot.transport.write

    def write_and_press(data):
        write(data)
        hot.protocol.pause_writing()

    monkeypatch.setattr(hot.transport, "write", write_and_press)
    pieces: list[int] = []
    async with asyncio.timeout(5):
        while len(hot.transport.written) - start < len(expected):
            before = len(hot.transport.written)
            if hot.protocol.flow.write_paused:
                hot.protocol.resume_writing()
            await settle()
            pieces.append(len(hot.transport.written) - before)
    assert max(pieces) <= 1_500
    assert alike(hot.transport.written[start:]) == expected


async def test_of_a_namespace_at_its_limit_the_rest_is_not_even_looked_at(monkeypatch):
    monkeypatch.setattr(limits, "heartbeat_s", 0.002)
    standing, (holder,) = await limited(20, "home")
    checked: list[int] = []
    check_all = standing.door.publisher.check_all
    monkeypatch.setattr(
        standing.door.publisher,
        "check_all",
        lambda some, *rest: checked.append(len(some)) or check_all(some, *rest),
    )
    bodies = [event("home/e", {"v": [number]}, eventId=f"e{number}") for number in range(400)]
    bodies[300] = 5
    answer = json.loads(b"".join((await standing.door.batches.publish(text(bodies), holder)).parts))
    assert (answer["successful"], answer["failed"]) == (20, 380)
    assert [result["eventId"] for result in answer["results"]] == [
        None if number == 300 else f"e{number}" for number in range(400)
    ]
    assert all("20 events per minute" in result["error"] for result in answer["results"][20:])
    assert sum(checked) < 60
    await standing.down()


@pytest.mark.parametrize("together", [2, 7, 1_000])
async def test_slices_that_go_to_the_log_together_are_answered_as_one_by_one(batches, monkeypatch, together):
    bodies = [event("a/1", {"v": n}, eventId=f"e{n}") if n % 7 else n for n in range(60)]
    alone = b"".join((await batches.publish(text(bodies), ANYONE)).parts)
    monkeypatch.setattr(limits, "batch_slices_together", together)
    assert b"".join((await batches.publish(text(bodies), ANYONE)).parts) == alone
