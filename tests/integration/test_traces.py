"""One event through a real Flux, as a collector of traces is told it."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from tests.integration.api.support import event
from tests.unit.tracing.collector import collecting

pytestmark = [pytest.mark.real, pytest.mark.long, pytest.mark.timeout(180)]
TRACE = "ab" * 16
PARENT = {"traceparent": f"00-{TRACE}-{'cd' * 8}-01"}


def test_a_trace_goes_through_door_log_shard_and_watcher(make_flux, eventually):
    with collecting() as collector:
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_EXPORTER_OTLP_HEADERS": "x-key=secret",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "OTEL_TRACES_SAMPLER": "parentbased_always_off",
        }
        flux = make_flux(environment=environment)
        flux.start()
        with connect(flux.ws_url, proxy=None) as socket:
            socket.send(json.dumps({"type": "subscribe", "entity_id": "n/*"}))
            httpx.post(f"{flux.url}/api/events", json=event("n/e", {"v": 1}), headers=PARENT)
            httpx.post(f"{flux.url}/api/events", json=event("n/e", {"v": 2}))  # nobody asks to follow it

            def chain() -> list[tuple[dict[str, str], Any]]:
                found = {span.name: (facts, span) for facts, span in collector.spans()}
                names = ("POST /api/events", "append", "apply", "tell")
                return [found[name] for name in names] if found.keys() >= set(names) else []

            spans = eventually(chain, 20, "the four spans of an event")
        flux.stop()
    assert {span.trace_id.hex() for _, span in collector.spans()} == {TRACE}
    parents = [span.parent_span_id for _, span in spans]
    assert parents == [bytes.fromhex("cd" * 8), *(span.span_id for _, span in spans[:-1])]
    assert [facts["flux.role"] for facts, _ in spans] == ["door", "door", "shard", "door"]
    assert len(collector.spans()) == 4
    assert {headers["x-key"] for headers in collector.headers} == {"secret"}
