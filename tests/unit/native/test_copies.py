"""Copies and what is live: filled without a gap, moved by each change, whole while others read."""

from __future__ import annotations

import asyncio
import threading

import pytest

from flux_actors import limits
from flux_actors.domain.entity import EntityRow
from flux_actors.domain.partitioning import Partitioning
from flux_actors.domain.position import pack
from flux_actors.errors import Refused, Unavailable
from flux_actors.log.memory import MemoryBus
from flux_actors.native import copies as copies_module
from flux_actors.native.copies import Copies
from flux_actors.native.following import Following
from flux_actors.native.session import Session
from flux_actors.native.standing import Standing
from flux_actors.native.ticket import Ticket
from flux_actors.shard import reads
from tests.conftest import wait_for
from tests.unit.api.standing import FakeCalls, change, feed, say, settle, until
from tests.unit.native.twin import RULE, holder, introduction


def test_it_has_all_that_begin_so_and_follows(fx):
    fx.publish_many(
        [(f"home/{n}", {"n": n}) for n in range(1_500)] + [("homes/x", {"n": 1}), ("work/x", {"n": 1})]
    )
    with fx.live("home/") as home:
        assert len(home) == 1_500
        assert home["home/7"] == {"n": 7}
        assert set(home) == set(home.keys()) == {f"home/{n}" for n in range(1_500)}
        assert "homes/x" not in home
        position = fx.publish("home/7", {"m": 1}).position
        fx.delete("home/8")
        assert home.wait(fx.position) is home
        assert home["home/7"] == {"n": 7, "m": 1}
        assert "home/8" not in home
        with pytest.raises(KeyError):
            home["home/8"]
        assert home.get("home/8") is None
        assert home.position_of("home/7") == position
        assert dict(home.items()) == home.snapshot()
        assert len(list(home.values())) == 1_499
        assert repr(home).startswith("Live('home/', 1499 entities, position='")


def test_all_namespaces_and_spread_ones_have_their_partitions(fx):
    fx.publish_many([(f"wide/{n}", {"n": n}) for n in range(100)] + [("home/x", {"n": 1})])
    with fx.live("") as world, fx.live("wide/1") as some:
        assert len(world) == 101
        assert set(some) == {"wide/1", *(f"wide/1{n}" for n in range(10))}
        assert world.position.count("~") == 2


def test_what_it_gives_is_the_readers_own(fx):
    fx.publish("home/x", {"n": 1})
    with fx.live("home/") as home:
        home["home/x"]["n"] = 7
        home.snapshot()["home/x"]["n"] = 7
        home.snapshot().clear()
        assert dict(home) == {"home/x": {"n": 1}}


def test_a_position_that_does_not_come_is_unavailable(fx):
    with fx.live("home/") as home:
        partition = RULE.of_entity("home/x")
        with pytest.raises(Unavailable):
            home.wait(f"{partition}.1000.0", 0.01)
        home.wait(f"{(partition + 1) % 3}.1000.0", 0.01)  # that of another namespace is not its own
        with pytest.raises(Refused):
            home.wait("nonsense")


async def test_coroutines_have_it_too(aio):
    await aio.publish("home/x", {"n": 1})
    async with await aio.live("home/") as home:
        await aio.publish("home/x", {"n": 2})
        assert (await home.wait_async(aio.position))["home/x"] == {"n": 2}


def test_when_it_is_closed_what_was_read_stays(fx):
    fx.publish("home/x", {"n": 1})
    home = fx.live("home/")
    home.close()
    fx.publish("home/x", {"n": 2})
    assert home["home/x"] == {"n": 1}


def test_what_comes_while_it_is_filled_is_taken_once(fx, twin):
    fx.publish_many([(f"home/{n:04}", {"n": n}) for n in range(2_500)])
    calls, writer = [], twin.aio()

    async def write_meanwhile(method):
        calls.append(method)
        if method == "rows":
            await writer._core.publish("home/0001", {f"early{len(calls)}": 1}, None, None)  # noqa: SLF001
            await writer._core.publish("home/2499", {f"late{len(calls)}": 1}, None, None)  # noqa: SLF001
            await writer._core.delete("home/1200", None)  # noqa: SLF001

    twin.shards.before = write_meanwhile
    with fx.live("home/") as home:
        assert calls.count("rows") >= 3
        home.wait(writer.position)
        twin.shards.before = None
        expected = fx.states(list(home))
        assert home.snapshot() == expected
        assert len(home["home/0001"]) == len(home["home/2499"]) == 1 + calls.count("rows")
        assert "home/1200" not in home


async def test_what_a_page_has_in_it_is_not_taken_again():
    """A change that the feed brings late, of an entity whose page is here and newer."""
    rule, go_on, pages = Partitioning(1), asyncio.Event(), []

    async def rows(_, __, after):
        pages.append(after)
        if after is None:
            return reads.encode(reads.Rows(9, [EntityRow("home/a", {"n": 9}, pack(9, 0), 1)], "home/b"))
        await go_on.wait()
        return reads.encode(reads.Rows(9, [], None))

    async def way():
        return FakeCalls({"announce": None, "rows": rows})

    bus = MemoryBus()
    following = Following(rule, bus, way)
    standing = Standing(Ticket(), introduction(), way)
    copies = Copies("home/", following, standing, Session())
    opening = asyncio.create_task(copies.open())
    await settle()
    await say(bus, [feed(4, 4)])
    await until(lambda: len(pages) == 2)
    await say(bus, [feed(4, 5, change("home/a", {"n": 5}, 5)), feed(5, 9, change("home/z", {"n": 1}, 6))])
    assert copies.rows["home/a"].properties == {"n": 9}
    await say(bus, [feed(9, 10, change("home/a", {"n": 10}, 10))])
    assert copies.rows["home/a"].properties == {"n": 10}
    go_on.set()
    await opening
    assert list(copies.rows) == ["home/a"]  # the second page has it in it that home/z is not there any more
    await copies.close()
    await following.close()


def test_where_the_log_has_a_next_generation_it_says_that_it_gets_no_newer(fx, twin, monkeypatch):
    monkeypatch.setattr("flux_actors.native.copies._LOOK_S", 0.01)
    fx.publish("home/x", {"n": 1})
    with fx.live("home/") as home:
        assert home["home/x"] == {"n": 1}
        home._copies._following.ended = Unavailable("the log was repartitioned; open this again")  # noqa: SLF001
        wait_for(lambda: home._copies.error is not None, 5, "the end")  # noqa: SLF001
        with pytest.raises(Unavailable, match="open this again"):
            home.snapshot()
        home._copies._following.ended = None  # noqa: SLF001 - others share it


def test_a_shard_that_is_behind_the_feed_is_asked_again(fx, twin, monkeypatch):
    fx.publish("home/x", {"n": 1})
    rows = twin.shard.rows
    tries = []

    async def behind(partition, prefix, after):
        tries.append(partition)
        found = await rows(partition, prefix, after)
        if len(tries) > 2:
            return found
        return reads.encode(reads.Rows(0, [], None))

    monkeypatch.setattr(twin.shard, "rows", behind)
    with fx.live("home/") as home:
        assert home["home/x"] == {"n": 1}
    assert len(tries) == 3


def test_a_loss_is_made_good_by_what_changed(fx, twin):
    fx.publish_many([("home/a", {"n": 1}), ("home/b", {"n": 1}), ("home/c", {"n": 1})])
    partition = RULE.of_entity("home/a")
    with fx.live("home/") as home, fx.live("work/") as other:
        copies = home._copies  # noqa: SLF001
        rows = [
            EntityRow("home/a", {"n": 9}, pack(900, 0), 1),
            EntityRow("home/b", None, pack(900, 1), 1),
            EntityRow("home/c", {"n": 0}, 0, 1),  # older than what is known
            EntityRow("homes/x", {"n": 9}, pack(900, 2), 1),
        ]
        twin.thread.run(_called(copies.on_lost, partition, rows))
        twin.thread.run(_called(other._copies.on_lost, partition, rows))  # noqa: SLF001
        assert home.snapshot() == {"home/a": {"n": 9}, "home/c": {"n": 1}}
        assert dict(other) == {}


def test_a_loss_while_it_is_filled_begins_it_anew(fx, twin):
    fx.publish_many([(f"home/{n:04}", {"n": n}) for n in range(2_500)])
    partition, begun = RULE.of_entity("home/a"), []

    async def lose(method):
        begun.append(method)
        if begun.count("rows") == 2:
            (link,) = [one for one in twin.links.values() if one.following.listens]
            link.following.on_lost(partition, [])

    twin.shards.before = lose
    with fx.live("home/") as home:
        assert len(home) == 2_500
    assert begun.count("rows") >= 5


def test_too_much_that_waits_begins_it_anew(fx, twin, monkeypatch):
    monkeypatch.setattr(limits, "held_changes_max", 3)
    fx.publish_many([(f"home/{n:04}", {"n": n}) for n in range(1_500)])
    writer, calls = twin.aio(), []

    async def write_meanwhile(method):
        calls.append(method)
        if calls.count("rows") == 1 and method == "rows":
            await asyncio.shield(asyncio.create_task(write()))

    async def write():
        for number in range(6):
            await writer._core.publish("home/1400", {"m": number}, None, None)  # noqa: SLF001
        (link,) = [one for one in twin.links.values() if one.following.listens]
        await link.following.parts[RULE.of_entity("home/a")].reached(7, 20.0)

    twin.shards.before = write_meanwhile
    with fx.live("home/") as home:
        _until(lambda: writer.position.endswith(".7.0"))
        home.wait(writer.position)
        assert home["home/1400"] == {"n": 1400, "m": 5}
    assert calls.count("rows") > 2


def test_entities_that_do_not_come_in_time_are_unavailable(fx, twin):
    async def away(method):
        if method == "rows":
            raise Unavailable("recovers")

    twin.shards.before = away
    with pytest.raises(Unavailable, match="could not be read"):
        fx.live("home/", timeout_s=0.05)
    (link,) = twin.links.values()
    assert not link.following.listens


def test_a_fault_is_told_to_who_waits(fx, twin, lines):
    async def broken(method):
        if method == "rows":
            raise ValueError("nobody foresaw this")

    twin.shards.before = broken
    with pytest.raises(Unavailable, match="ValueError"):
        fx.live("home/")
    assert "copies.fault" in [line["event"] for line in lines]


def test_a_token_that_ends_ends_it(twin, monkeypatch):
    writer = twin.flux()
    writer.publish_many([("home/x", {"n": 1}), ("vault/x", {"n": 1})])
    assert all(one is not None for one in writer.states(["home/x", "vault/x"]).values())
    monkeypatch.setattr(copies_module, "_LOOK_S", 0.005)
    twin.introduction = introduction(holder("home"), 0.01, "none")
    fx = twin.flux(Ticket("token"))
    world = fx.live("")
    assert len(world) == 2
    twin.introduction = introduction(holder("home"), 0.01, "vault")  # made private meanwhile
    _until(lambda: set(world) == {"home/x"})

    async def refuses():
        raise Refused("revoked", 401)

    link = twin.links[Ticket("token")]
    monkeypatch.setattr(link.standing, "_introduce", refuses)
    _until(lambda: _refuses(world))
    for read in (lambda: world["home/x"], lambda: len(world), world.snapshot, lambda: list(world)):
        with pytest.raises(Refused):
            read()


def test_threads_read_while_it_is_written(fx, twin):
    fx.publish_many([(f"home/{n}", {"a": 0, "b": 0}) for n in range(200)])
    stop, wrong = threading.Event(), []

    def read(home):
        while not stop.is_set():
            for entity_id, properties in home.items():
                if properties["a"] != properties["b"]:
                    wrong.append(entity_id)
            for entity_id in home:
                home.get(entity_id)

    with fx.live("home/") as home:
        readers = [threading.Thread(target=read, args=(home,)) for _ in range(2)]
        for reader in readers:
            reader.start()
        for number in range(1, 12):
            fx.publish_many([(f"home/{n}", {"a": number, "b": number}) for n in range(200)])
            fx.delete(f"home/{number}")
        home.wait(fx.position)
        stop.set()
        for reader in readers:
            reader.join(5)
        assert len(home) == 199
    assert wrong == []


async def _called(function, *arguments):
    await asyncio.sleep(0)
    return function(*arguments)


def _refuses(live):
    try:
        len(live)
    except Refused:
        return True
    return False


def _until(condition, timeout_s=20.0):
    done = threading.Event()
    for _ in range(int(timeout_s / 0.002)):
        if condition():
            return
        done.wait(0.002)
    pytest.fail("waited in vain")
