"""Spans of publishes on a socket, on both transports."""

from __future__ import annotations

import pytest
from opentelemetry.trace import StatusCode

from flux_api.tracing.current import request_span
from tests.unit.api.sockets import CLIENTS
from tests.unit.api.standing import event, until

TRACE = "ab" * 16
PARENT = f"00-{TRACE}-{'cd' * 8}-01"


@pytest.fixture(params=CLIENTS)
async def client(request, followed):
    client = CLIENTS[request.param](followed)
    await until(lambda: followed.door.hub.watchers)
    yield client
    await client.close()


async def test_a_publish_continues_the_trace_in_its_message_and_ends_with_its_ack(client, kept):
    client.say(type="publish", id=1, traceparent=PARENT, **event("n/e", {"v": 1}))
    await until(lambda: client.kinds("ack"))
    (publish,), (append,) = kept.named("publish"), kept.named("append")
    assert f"{publish.context.trace_id:x}" == f"{append.context.trace_id:x}" == TRACE
    assert append.parent.span_id == publish.context.span_id
    assert publish.status.status_code is StatusCode.UNSET
    assert request_span.get() is None


@pytest.mark.parametrize("parent", [None, 7, "no parent at all"])
async def test_without_a_good_one_it_begins_a_trace(client, kept, parent):
    client.say(type="publish", id=1, traceparent=parent, **event("n/e", {"v": 1}))
    await until(lambda: client.kinds("ack"))
    assert kept.named("publish")[0].parent is None


async def test_each_of_many_has_a_span_of_its_own(client, kept):
    for number in range(5):
        client.say(type="publish", id=number, **event("n/e", {"v": number}))
    await until(lambda: len(client.kinds("ack")) == 5)
    roots = {span.context.span_id for span in kept.named("publish")}
    assert len(roots) == 5
    assert {span.parent.span_id for span in kept.named("append")} <= roots


async def test_one_that_is_refused_says_so(client, kept):
    client.say(type="publish", id=1, **(event("n/e", {"v": 1}) | {"stream": "NO"}))
    await until(lambda: client.kinds("error"))
    assert kept.named("publish")[0].status.status_code is StatusCode.ERROR
    assert kept.named("append") == []
