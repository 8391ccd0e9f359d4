"""Spans of requests, on both ways."""

from __future__ import annotations

import pytest
from opentelemetry.trace import StatusCode

from flux_api.tracing.current import request_span
from flux_api.tracing.requests import TracedHotRoutes
from tests.unit.api.hot.test_same_answers import get, post, text
from tests.unit.api.hot.two_ways import TwoWays
from tests.unit.api.standing import event, settle, until

PARENT = {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}
PUBLISH = post("/api/events", text(event("n/e", {"v": 2})))


@pytest.fixture
async def way(followed, kept):
    ways = TwoWays(followed)
    ways.hot = TracedHotRoutes(kept.traces, followed.door)
    return ways.hot_way()


async def test_an_ordinary_request_is_named_by_its_route(browser, kept):
    await browser.get("/api/state/entities/n/some-id", headers=PARENT)
    (span,) = kept.spans
    assert span.name == "GET /api/state/entities/{entity_id}"
    assert f"{span.context.trace_id:x}" == "ab" * 16
    assert span.attributes["http.route"] == "/api/state/entities/{entity_id}"
    assert span.attributes["http.response.status_code"] == 404
    assert span.status.status_code is StatusCode.UNSET


async def test_two_parents_are_none(browser, kept):
    headers = [("traceparent", PARENT["traceparent"]), ("traceparent", PARENT["traceparent"])]
    await browser.get("/api/health", headers=headers)
    assert kept.spans[0].parent is None


async def test_a_fault_ends_its_span(browser, followed, kept, monkeypatch):
    def broken(self):
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr(type(followed.door), "health", broken)
    assert (await browser.get("/api/health")).status_code == 503
    assert kept.spans[0].status.status_code is StatusCode.ERROR


async def test_a_hot_publish_is_followed_too(way, followed, kept):
    await way.send(PUBLISH)
    await settle()
    before = len(kept.named("append"))
    await way.send(PUBLISH)  # its head is known now
    await until(lambda: len(kept.named("append")) == before + 1)
    request, append = kept.named("POST /api/events")[-1], kept.named("append")[-1]
    assert append.parent.span_id == request.context.span_id
    assert request.attributes["http.response.status_code"] == 200
    assert request_span.get() is None


async def test_a_hot_publish_that_is_refused_says_so(way, kept):
    refused = post("/api/events", text(event("n/e", {"v": 2}) | {"stream": "NO"}))
    await way.send(refused)
    await settle()
    await way.send(refused)
    assert kept.spans[-1].status.status_code is StatusCode.ERROR
    assert kept.named("append") == []


async def test_requests_behind_each_other_keep_their_traces(way, kept):
    await way.send(PUBLISH)
    await settle()
    await way.send(PUBLISH + PUBLISH + get("n/e"), answers=3)
    await settle()
    roots = {span.context.span_id for span in kept.named("POST /api/events")}
    parents = [span.parent.span_id for span in kept.named("append")]
    assert set(parents) <= roots
    assert len(parents) == len(set(parents))
