"""Claims: one holder at a time, renewed while it is wanted, never held longer than the log says."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from flux_actors.errors import AlreadyClaimed, Refused, Unavailable
from flux_actors.native import claiming
from flux_actors.native.claiming import Claiming, new_holder
from flux_actors.native.ticket import Ticket

LONG_S = 600.0


def claim_of(fx, entity_id="work/task"):
    return (fx.entity(entity_id).state() or {}).get("claim")


def until(condition, timeout_s=20.0):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_one_at_a_time_and_the_next_token_is_greater(fx, twin):
    other = twin.flux()
    with fx.entity("work/task").claim(ttl_s=LONG_S) as first:
        assert not first.lost
        assert claim_of(other)["holder"] == first.holder
        assert claim_of(other)["expires_at"] == first.expires_at
        with pytest.raises(AlreadyClaimed) as refused, other.entity("work/task").claim():
            pass
        assert (refused.value.holder, refused.value.status) == (first.holder, 409)
        assert repr(first) == f"Claimed('work/task', holder={first.holder!r}, token={first.token})"
    assert first.lost
    assert claim_of(fx) is None
    with other.entity("work/task").claim(holder="next", ttl_s=LONG_S) as second:
        assert second.token > first.token
        assert (second.entity_id, second.holder) == ("work/task", "next")


async def test_coroutines_claim_too(aio):
    async with aio.entity("work/task").claim() as claimed:
        assert not claimed.lost
        with pytest.raises(AlreadyClaimed):
            await aio.entity("work/task").claim().__aenter__()
    assert (await aio.entity("work/task").state())["claim"] is None


def test_a_holder_takes_its_own_claim_again(fx, twin):
    mine = fx.entity("work/task").claim(holder="me", ttl_s=LONG_S)
    same = twin.flux().entity("work/task").claim(holder="me", ttl_s=LONG_S)
    with mine as first, same as again:
        assert again.token == first.token
        assert not again.lost


def test_the_block_that_fails_lets_it_go(fx):
    with pytest.raises(ValueError, match="work"), fx.entity("work/task").claim():
        raise ValueError("work")
    assert claim_of(fx) is None


def test_it_is_renewed_for_as_long_as_it_is_wanted(fx):
    with fx.entity("work/task").claim(ttl_s=3.0) as claimed:
        first = claimed.expires_at
        until(lambda: claimed.expires_at != first)
        second = claimed.expires_at
        until(lambda: claimed.expires_at != second)
        assert not claimed.lost


def test_it_is_lost_when_somebody_else_ends_it(fx, twin, lines):
    with fx.entity("work/task").claim(ttl_s=3.0) as claimed:
        fx.delete("work/task")
        until(lambda: claimed.lost)
    assert "claim.lost" in [line["event"] for line in lines]


def test_it_is_lost_when_it_cannot_be_renewed(fx, twin):
    with fx.entity("work/task").claim(ttl_s=0.2) as claimed:
        twin.log.away = True
        until(lambda: claimed.lost)
        twin.log.away = False


def test_it_is_never_held_longer_than_was_asked_for(twin):
    async def late(link):
        claim = Claiming(link, "work/task", None, 0.05)
        held = claim._held  # noqa: SLF001

        async def slow(position):
            found = await held(position)
            await asyncio.sleep(0.06)
            return found

        claim._held = slow  # noqa: SLF001
        await claim.take()
        lost = claim.lost
        await claim.close()
        return lost

    assert twin.thread.run(late(twin.thread.run(twin.link(Ticket()))))


def test_one_that_ends_before_it_is_seen_is_tried_again_and_given_up(fx, twin, monkeypatch):
    async def nobody(self, position):
        await asyncio.sleep(0)

    monkeypatch.setattr(Claiming, "_held", nobody)
    with pytest.raises(Unavailable, match="changes hands"):
        fx.entity("work/task").claim().__enter__()


def test_a_renewal_that_changed_nothing_is_none(fx, twin):
    """A claim that ran out shows until its end is in the log; to renew it is refused there."""

    async def stale(link):
        claim = Claiming(link, "work/task", "me", LONG_S)
        taken_at = await claim.take()

        async def refused(_):
            return taken_at

        publish, claim._publish = claim._publish, refused  # noqa: SLF001
        with pytest.raises(AlreadyClaimed, match="over"):
            await claim._renew()  # noqa: SLF001
        claim._publish = publish  # noqa: SLF001
        await claim._renew()  # noqa: SLF001
        await claim.close()

    twin.thread.run(stale(twin.thread.run(twin.link(Ticket()))))


@pytest.mark.parametrize(("holder", "ttl_s"), [("", 1), (7, 1), ("x", 0), ("x", -1), ("x", "1"), ("x", 1e12)])
def test_what_can_be_no_claim_is_refused(fx, holder, ttl_s):
    with pytest.raises(Refused):
        fx.entity("work/task").claim(holder, ttl_s).__enter__()


def test_a_log_that_is_away_at_the_end_does_no_harm(fx, twin, lines, monkeypatch):
    monkeypatch.setattr(claiming, "commit", _away)
    with pytest.raises(Unavailable):
        fx.entity("work/other").claim().__enter__()
    monkeypatch.undo()
    with fx.entity("work/task").claim(ttl_s=LONG_S):
        monkeypatch.setattr(claiming, "commit", _away)
    assert "claim.not_released" in [line["event"] for line in lines]


async def _away(*_):
    raise Unavailable("away")


def test_many_threads_get_it_one_after_the_other(fx, twin):
    inside, most, done = [0], [0], []

    def work(number):
        mine = twin.flux()
        while True:
            try:
                with mine.entity("work/task").claim(ttl_s=LONG_S):
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                    mine.publish("work/done", {f"by{number}": True})
                    inside[0] -= 1
                    done.append(number)
                    return
            except AlreadyClaimed:
                time.sleep(0.001)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert (sorted(done), most[0]) == ([0, 1, 2, 3], 1)


def test_names_of_holders_never_come_twice():
    assert len({new_holder() for _ in range(100)}) == 100
