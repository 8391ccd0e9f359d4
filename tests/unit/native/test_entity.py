"""Handles on entities: questions and messages to their behaviours; the rest is told where it is made."""

from __future__ import annotations

import pytest

from flux_actors.behaviour import calls
from flux_actors.behaviour.calls import Answered, Read
from flux_actors.domain.event import terms_in
from flux_actors.domain.position import pack
from flux_actors.errors import NotAskable, Refused
from flux_actors.log.block import decode_block
from tests.unit.native.twin import RULE

PARTITION = RULE.of_entity("home/lamp")


async def answering(twin, answer):
    """Have questions to a partition be answered; reads still go to its shard."""
    heard = []
    own = twin.bus._services[calls.call_subject(PARTITION)]  # noqa: SLF001

    async def both(data):
        request = calls.decode_request(data)
        if isinstance(request, Read):
            return await own(data)
        heard.append(request)
        return calls.encode(answer)

    await twin.bus.serve(calls.call_subject(PARTITION), both)
    return heard


def test_an_answer_comes_back_and_reads_go_on_behind_what_it_caused(twin, fx):
    fx.publish("home/lamp", {"n": 1})
    other = (PARTITION + 1) % len(RULE.all())
    heard = twin.thread.run(answering(twin, Answered({"warm": True}, {other: pack(7, 0)})))
    assert fx.entity("home/lamp").ask(("what", 1)) == {"warm": True}
    (asked,) = heard
    assert (asked.entity_id, asked.content, asked.after) == ("home/lamp", ["what", 1], pack(1, 0))
    assert f"{other}.7.0" in fx.position


async def test_coroutines_ask_and_tell_too(twin, aio):
    heard = await twin.thread.run_async(answering(twin, Answered(1)))
    lamp = aio.entity("home/lamp")
    assert await lamp.ask("what", deadline_s=2) == 1
    assert heard[0].deadline_s <= 2
    receipt = await lamp.tell("hello", event_id="mine")
    assert receipt.event_id == "mine"
    assert receipt.position == aio.position
    assert repr(lamp) == "AsyncEntity('home/lamp')"


def test_what_is_told_is_in_the_log(twin, fx):
    receipt = fx.entity("home/lamp").tell({"do": "it"})
    (event,) = decode_block(twin.thread.run(twin.log.block(PARTITION, 1))).events
    assert (event.entity_id, terms_in(event).told, event.event_id) == (
        "home/lamp",
        {"do": "it"},
        receipt.event_id,
    )
    with pytest.raises(Refused):
        fx.entity("home/lamp").tell(None)


def test_without_a_behaviour_nobody_answers(fx):
    with pytest.raises(NotAskable):
        fx.entity("home/lamp").ask("what")


@pytest.mark.parametrize("deadline_s", [0, -1, "1", float("inf"), float("nan"), None])
def test_a_deadline_is_a_time_in_front_of_us(fx, deadline_s):
    with pytest.raises(Refused, match="deadline_s"):
        fx.entity("home/lamp").ask("what", deadline_s)


@pytest.mark.parametrize("entity_id", ["", 7, None, "flux-core/x"])
def test_what_is_no_entity_of_users_cannot_be_asked(fx, entity_id):
    with pytest.raises(Refused):
        fx.entity(entity_id).ask("what")
