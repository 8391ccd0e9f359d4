"""Standing: what a ticket is good for, for as long as its introduction is."""

from __future__ import annotations

import asyncio

import pytest

from flux_actors.errors import Refused, Unavailable
from flux_actors.native.standing import Standing
from flux_actors.native.ticket import Ticket
from flux_actors.tenancy.namespace import Scope
from tests.unit.native.twin import holder, introduction


class Router:
    """Introduces, unless it refuses or is away; by a clock that a test moves."""

    def __init__(self):
        self.now = 0.0
        self.asked = 0
        self.answer = introduction(holder("home"), 10.0)

    async def introduce(self):
        self.asked += 1
        await asyncio.sleep(0)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def standing(self, ticket=None, told=None):
        return Standing(ticket or Ticket(), told or self.answer, self.introduce, lambda: self.now)


@pytest.fixture
def router():
    return Router()


async def test_half_of_its_time_an_introduction_is_taken_as_it_is(router):
    standing = router.standing()
    router.now = 4.9
    await standing.current()
    assert router.asked == 0


async def test_then_it_is_asked_for_beside_what_goes_on(router):
    standing = router.standing()
    router.now = 5.0
    router.answer = introduction(holder("home", Scope.READ), 10.0)
    await standing.current()
    await standing.current()
    assert standing.check_write("home/x") == "home/x"
    for _ in range(3):
        await asyncio.sleep(0)
    assert router.asked == 1
    with pytest.raises(Refused, match="scope"):
        standing.check_write("home/x")
    await standing.close()


async def test_a_router_that_is_away_holds_nobody_up_until_the_time_is_over(router, lines):
    standing = router.standing()
    router.answer = Unavailable("away")
    router.now = 9.9
    await standing.current()
    for _ in range(3):
        await asyncio.sleep(0)
    assert [line["event"] for line in lines] == ["native.not_introduced"]
    router.now = 10.0
    with pytest.raises(Unavailable):
        await standing.current()
    router.answer = introduction(holder("home"), 10.0)
    await standing.current()
    await standing.close()


async def test_a_token_that_was_revoked_ends(router):
    standing = router.standing()
    router.answer = Refused("revoked", 401)
    router.now = 6.0
    await standing.current()
    for _ in range(3):
        await asyncio.sleep(0)
    with pytest.raises(Refused, match="revoked"):  # though its time is not over
        await standing.current()
    await standing.close()


async def test_where_tokens_are_off_nobody_is_asked_again(router):
    standing = router.standing(told=introduction())
    router.now = 1e9
    await standing.current()
    assert router.asked == 0
    assert standing.writes() == ""
    assert standing.check_write("any/thing") == "any/thing"


def test_who_narrows_himself_writes_there_alone_and_reads_all(router):
    standing = router.standing(Ticket(namespace="home"), introduction())
    assert standing.writes() == "home/"
    assert standing.check_write("home/x")
    for entity_id in ("homes/x", "work/x", "home"):
        with pytest.raises(Refused):
            standing.check_write(entity_id)
    assert standing.may_read("work/x")


def test_a_token_of_another_namespace_is_refused(router):
    assert router.standing(Ticket("token", "home")).writes() == "home/"
    with pytest.raises(Refused) as refused:
        router.standing(Ticket("token", "work"))
    assert refused.value.status == 403


@pytest.mark.parametrize(
    ("principal", "entity_id", "status"),
    [
        (holder("home", prefix="home/kitchen/"), "home/hall/x", 403),
        (holder("home", Scope.READ), "home/x", 403),
        (holder("home", expires_us=1), "home/x", 401),
        (holder("home"), "work/x", 403),
        (holder("home"), "flux-core/x", 403),
    ],
)
def test_what_may_not_be_written_is_refused(router, principal, entity_id, status):
    standing = router.standing(told=introduction(principal, 10.0))
    with pytest.raises(Refused) as refused:
        standing.check_write(entity_id)
    assert refused.value.status == status
    simple = standing.writes()
    assert simple is None or not entity_id.startswith(simple)


def test_what_is_hidden_is_there_for_its_own_token_alone(router):
    told = introduction(holder("home"), 10.0, "home", "vault")
    standing = router.standing(told=told)
    assert standing.may_read("home/x")
    assert standing.may_read("public/x")
    assert not standing.may_read("vault/x")
    assert standing.check_prefix("va") == "va"
    for ask in (standing.check_read, standing.check_prefix):
        with pytest.raises(Refused) as refused:
            ask("vault/x")
        assert refused.value.status == 404
    with pytest.raises(Refused):
        standing.check_prefix(7)
