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
TRACE, ON_SOCKET = "ab" * 16, "ef" * 16
PARENTS = {trace: f"00-{trace}-{'cd' * 8}-01" for trace in (TRACE, ON_SOCKET)}
FIRST = {TRACE: "POST /api/events", ON_SOCKET: "publish"}


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
            headers = {"traceparent": PARENTS[TRACE]}
            httpx.post(f"{flux.url}/api/events", json=event("n/e", {"v": 1}), headers=headers)
            httpx.post(f"{flux.url}/api/events", json=event("n/e", {"v": 2}))  # nobody asks to follow it
            said = {"type": "publish", "traceparent": PARENTS[ON_SOCKET], **event("n/e", {"v": 3})}
            socket.send(json.dumps(said))

            def chain(trace: str) -> list[tuple[dict[str, str], Any]]:
                spans = [(facts, span) for facts, span in collector.spans() if span.trace_id.hex() == trace]
                found = {span.name: (facts, span) for facts, span in spans}
                names = (FIRST[trace], "append", "apply", "tell")
                return [found[name] for name in names] if found.keys() >= set(names) else []

            chains = [
                eventually(lambda trace=trace: chain(trace), 20, f"the four spans of {FIRST[trace]}")
                for trace in FIRST
            ]
        flux.stop()
    for spans in chains:
        parents = [span.parent_span_id for _, span in spans]
        assert parents == [bytes.fromhex("cd" * 8), *(span.span_id for _, span in spans[:-1])]
        assert [facts["flux.role"] for facts, _ in spans] == ["door", "door", "shard", "door"]
    assert len(collector.spans()) == 8
    assert {headers["x-key"] for headers in collector.headers} == {"secret"}
