"""The real engine behind its HTTP door: a crash is `kill -9` of every process."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import Sequence
from typing import Any

import httpx

from flux_actors.domain.partitioning import Partitioning
from flux_actors.domain.position import Packed, highest, pack, text_of_all
from flux_actors.log.connection import NatsAccess, connect
from flux_actors.log.jetstream import JetStreamLog
from tests.conftest import RunningFlux
from tests.model.world import Acked, Draft, Observed, Place, Seen, place_of, text_of

PARTITIONS = 4
READ_S = 60.0
_CREDENTIALS = re.compile(r'user: (\S+), password: "([^"]+)"')


class RealDriver:
    """A Flux of its own processes; each driver keeps to namespaces that no other uses."""

    restarts_max = 1
    tells_refusals = True
    writes_without_shards = False

    def __init__(self, flux: RunningFlux) -> None:
        self._flux = flux
        self._prefix = f"m{uuid.uuid4().hex[:8]}"
        self._client = httpx.Client(timeout=15)
        self._written: dict[int, Packed] = {}

    def publish(self, draft: Draft, *, answer_lost: bool) -> Acked:
        answers = [self._post("/api/events", draft.body(self._id(draft.entity_id)))]
        if answer_lost:
            self._post("/api/events", draft.body(self._id(draft.entity_id)))
        return self._acked(answers[0])

    def publish_batch(self, drafts: Sequence[Draft]) -> list[Acked]:
        bodies = [draft.body(self._id(draft.entity_id)) for draft in drafts]
        answer = self._post("/api/events/batch", {"events": bodies})
        results = answer.json()["results"]
        assert [result["error"] for result in results] == [None] * len(drafts)
        lasts = {partition: (sequence, offset) for partition, sequence, offset in self._remember(answer)}
        groups = [self._partition(draft.entity_id) for draft in drafts]
        # Nobody else writes, so what goes to one partition is one block, in the order of the request.
        assert all(offset == groups.count(partition) - 1 for partition, (_, offset) in lasts.items())
        return [
            Acked(result["eventId"], (partition, lasts[partition][0], groups[:index].count(partition)))
            for index, (partition, result) in enumerate(zip(groups, results, strict=True))
        ]

    def publish_if(self, draft: Draft) -> Acked | None:
        body = draft.body(self._id(draft.entity_id))
        answer = self._client.post(self._url("/api/events"), json=body)
        if answer.status_code == 412:
            return None
        assert answer.status_code == 200, answer.text
        return self._acked(answer)

    def publish_whole(self, drafts: Sequence[Draft]) -> list[Acked] | None:
        bodies = [draft.body(self._id(draft.entity_id)) for draft in drafts]
        answer = self._post("/api/events/batch?atomic=true", {"events": bodies})
        results = answer.json()["results"]
        ((partition, sequence, last),) = self._remember(answer)
        if answer.json()["successful"] == 0:
            return None
        assert (answer.json()["failed"], last) == (0, len(drafts) - 1)
        return [Acked(one["eventId"], (partition, sequence, index)) for index, one in enumerate(results)]

    def delete(self, entity_id: str) -> Acked:
        answer = self._client.delete(self._url(f"/api/state/entities/{self._id(entity_id)}"))
        assert answer.status_code == 200, answer.text
        return self._acked(answer)

    def resend_block(self, entity_id: str) -> None:
        asyncio.run(self._resend(self._partition(entity_id)))

    def read(self, entity_id: str) -> Seen | None:
        return _seen(self._get(f"/api/state/entities/{self._id(entity_id)}"))

    def read_at(self, entity_id: str, place: Place) -> Seen | None:
        return _seen(self._get(f"/api/state/entities/{self._id(entity_id)}?at={'.'.join(map(str, place))}"))

    def deliver(self, turn: int, blocks: int) -> None:
        """The shards deliver by themselves, each partition at its own pace."""

    def snapshot(self, turn: int, slices: int) -> None:
        """Shards leave snapshots when they are stopped gently, and begin from them."""
        self._flux.stop()
        self._flux.start()
        self._reconnect()

    def crash(self) -> None:
        self._flux.kill_everything()

    def restart(self) -> None:
        self._flux.start()
        self._reconnect()

    def observe(self, entity_ids: Sequence[str]) -> Observed:
        found = {name: self.read(name) for name in entity_ids}
        entities = {name: seen for name, seen in found.items() if seen is not None}
        histories = {name: self._history(name) for name in entity_ids}
        return Observed(entities, histories, None)

    def close(self) -> None:
        self._client.close()

    def _id(self, entity_id: str) -> str:
        return f"{self._prefix}{entity_id}"

    def _partition(self, entity_id: str) -> int:
        return Partitioning(PARTITIONS).of_entity(self._id(entity_id))

    def _url(self, path: str) -> str:
        return f"{self._flux.url}{path}"

    def _reconnect(self) -> None:
        self._client.close()
        self._client = httpx.Client(timeout=15)

    def _post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        answer = self._client.post(self._url(path), json=body)
        assert answer.status_code == 200, answer.text
        return answer

    def _get(self, path: str) -> httpx.Response:
        """Read all that was acknowledged; 503 says to ask again."""
        headers = {"Flux-Position": text_of_all(self._written)} if self._written else {}
        deadline = time.monotonic() + READ_S
        while True:
            answer = self._client.get(self._url(path), headers=headers)
            if answer.status_code != 503:
                assert answer.status_code in {200, 404}, answer.text
                return answer
            assert time.monotonic() < deadline, answer.text

    def _history(self, entity_id: str) -> list[str]:
        return [event["eventId"] for event in reversed(self._events(entity_id))]

    def _events(self, entity_id: str) -> list[Any]:
        return self._get(f"/api/events?entity={self._id(entity_id)}&limit=500").json()

    def _acked(self, answer: httpx.Response) -> Acked:
        (place,) = self._remember(answer)
        return Acked(answer.json()["eventId"], place)

    def _remember(self, answer: httpx.Response) -> list[Place]:
        texts = answer.headers["flux-position"].split("~")
        places = [place_of(text) for text in texts]
        new = [(partition, pack(sequence, offset)) for partition, sequence, offset in places]
        self._written = highest([*self._written.items(), *new])
        return places

    async def _resend(self, partition: int) -> None:
        config = (self._flux.data / "nats" / "server.conf").read_text()
        found = _CREDENTIALS.search(config)
        assert found is not None
        client = await connect(NatsAccess(self._flux.run.nats_url, *found.groups()), "model")
        try:
            log = JetStreamLog(client)
            data = await log.block(partition, (await log.bounds(partition)).last)
            last = await log.append(partition, data, uuid.uuid4().hex, 5.0)
        finally:
            await client.close()
        self._written = highest([*self._written.items(), (partition, pack(last, 0))])


def _seen(answer: httpx.Response) -> Seen | None:
    if answer.status_code == 404:
        return None
    entity = answer.json()
    return Seen(text_of(entity["properties"]), answer.headers["etag"], entity["lastUpdated"])
