"""The acting part of a running partition: its dispatcher is replaced when it fails."""

from __future__ import annotations

from flux_actors.behaviour.calls import AWAY, REFUSED, Ask, decode_answer, encode
from flux_actors.shard.acting import Acting


class OneDispatcher:
    """Stands for a dispatcher that may fail."""

    def __init__(self):
        self.fault = None
        self.is_closed = False
        self.asked_meanwhile = None
        self.meanwhile = None

    async def close(self):
        self.is_closed = True
        if self.meanwhile is not None:
            self.asked_meanwhile = await self.meanwhile()


class Dispatchers(list):
    """Stands for the equipment: makes dispatchers."""

    def dispatcher(self, state):
        self.append(OneDispatcher())
        return self[-1]


async def begun(hosting):
    host = await hosting.recovered()
    host.equipment = Dispatchers()
    return host, await Acting.begin(host)


async def test_dispatcher_that_failed_is_replaced(hosting):
    host, acting = await begun(hosting)
    await acting.mend()
    (first,) = host.equipment
    first.fault = RuntimeError("a bug")
    await acting.mend()
    assert first.is_closed
    assert acting.dispatcher is host.dispatcher is host.equipment[1]
    await acting.mend()
    assert len(host.equipment) == 2


async def test_who_asks_while_it_is_replaced_is_told_to_ask_again(hosting):
    host, acting = await begun(hosting)
    host.phase = "running"
    first = host.equipment[0]
    first.fault = RuntimeError("a bug")
    first.meanwhile = lambda: acting.answer(encode(Ask("n/e", "?", "1")))
    await acting.mend()
    assert decode_answer(first.asked_meanwhile).kind == AWAY


async def test_call_that_cannot_be_read_is_refused_in_words(hosting):
    _, acting = await begun(hosting)
    answer = decode_answer(await acting.answer(b"\xc1 no call"))
    assert answer.kind == REFUSED
    assert "cannot be read" in answer.text
