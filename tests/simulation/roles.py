"""What clients do, each for a while: count, compare and set, claim, read, and anything at all."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from flux_actors.domain.entity import etag_of
from flux_actors.domain.event import DELETED
from flux_api.claiming import Order
from tests.simulation.ledger import ACKED
from tests.simulation.session import Role, Session

SHARED: Final = ("a/1", "a/2", "b/1", "b/deep/er", "wide/1", "wide/2", "wide/3", "lonely")
_REST_S: Final = 0.25
_RESTS_S: Final = (0.1, 0.5, 3.0)
Number = int


async def count(session: Session, entity_id: str, times: int, rest_s: float) -> None:
    """Write 1, 2, 3, … into an entity of one's own, each once the last is known to be there."""
    for n in range(1, times + 1):
        named = session.chance.happens(0.6)  # who does not name an event cannot send it again
        deed = await session.publish(entity_id, {"n": n, f"n{n % 3}": n}, named=named)
        if deed.outcome != ACKED:
            return
        await session.rest(rest_s)


async def compare_and_set(session: Session, entity_id: str, times: int) -> None:
    """Read a number, and write the next one if nobody else did."""
    for _ in range(times):
        seen = await session.read(entity_id)
        if seen is None:
            continue
        if seen.properties is None:
            await session.publish(entity_id, {"n": 1}, condition={"absent": True})
        else:
            partition = session.doors.rule.of_entity(entity_id)
            etag = etag_of(partition, seen.position)
            await session.publish(entity_id, {"n": seen.properties["n"] + 1}, condition={"etag": etag})
        await session.rest(_REST_S)


async def claim(session: Session, entity_id: str, times: int) -> None:
    """Take a claim, hold it for a while, renew it or let it go."""
    for number in range(times):
        ttl_ms = session.chance.choice((150, 600, 3_000))
        order = Order(entity_id, session.name, ttl_ms, None, f"{session.name}-take-{number}")
        grant = await session.claim(order)
        await session.rest(_REST_S)
        if grant is None:
            continue
        if session.chance.happens(0.5):
            await session.claim(Order(entity_id, session.name, ttl_ms, grant.token))
        if session.chance.happens(0.5):
            await session.release(Order(entity_id, session.name, 0, grant.token))


async def read(session: Session, times: int) -> None:
    """Read what all write, and what nobody does."""
    for _ in range(times):
        await session.read(session.chance.choice((*SHARED, "a/none", "mine/w0", "b/cas")))
        await session.rest(_REST_S)


async def do_anything(session: Session, times: int) -> None:
    """Publish whatever clients publish."""
    for number in range(times):
        entity_id = session.chance.choice(SHARED)
        value = {session.chance.choice("xyz"): [number, session.name]}
        match session.chance.randrange(8):
            case 0 | 1:
                await session.publish(entity_id, value)
            case 2:
                await session.publish(entity_id, value, named=False)
            case 3:
                await session.publish(entity_id, {DELETED: True})
            case 4:
                await session.publish(entity_id, value, ttl_ms=session.chance.choice((50, 400, 2_500)))
            case 5:
                await session.publish(entity_id, value, property_ttl_ms={next(iter(value)): 300})
            case 6:
                drafts = [(one, {"b": number}) for one in session.chance.sample(SHARED, 4)]
                await session.publish_all(drafts, whole=False)
            case _:
                drafts = [("a/1", {"w": number}), ("a/2", {"w": number})]
                await session.publish_all(drafts, whole=True)
        await session.rest(_REST_S)


async def tell(session: Session, who: str, times: int, rest_s: float) -> None:
    """Give a behaviour 1, 2, 3, …, some of which set a reminder."""
    for n in range(1, times + 1):
        rings = session.chance.happens(0.3)
        deed = await session.publish(f"near/in/{who}", {"n": n, "rings": rings})
        if deed.outcome != ACKED:
            return
        await session.rest(rest_s)


def roles_of(chance: Any, *, acts: bool) -> dict[str, Role]:
    """Draw who takes part in a history, by name."""
    found: dict[str, Role] = {}
    for number in range(chance.randint(1, 2)):
        found[f"w{number}"] = partial(
            count, entity_id=f"mine/w{number}", times=chance.randint(4, 16), rest_s=chance.choice(_RESTS_S)
        )
    for number in range(chance.randint(0, 2)):
        found[f"cas{number}"] = partial(compare_and_set, entity_id="b/cas", times=chance.randint(3, 8))
    for number in range(chance.randint(0, 2)):
        found[f"claims{number}"] = partial(claim, entity_id="a/task", times=chance.randint(2, 5))
    for number in range(chance.randint(1, 2)):
        found[f"any{number}"] = partial(do_anything, times=chance.randint(3, 12))
    if chance.happens(0.6):
        found["reader"] = partial(read, times=chance.randint(4, 12))
    if acts:
        for who in ("k", "l")[: chance.randint(1, 2)]:
            found[f"teller-{who}"] = partial(
                tell, who=who, times=chance.randint(3, 12), rest_s=chance.choice(_RESTS_S)
            )
    return found
