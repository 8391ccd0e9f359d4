"""`flux-core/directory`: an entity like any other that tells which namespaces there are."""

from __future__ import annotations

import pytest

from tests.busy import busy
from tests.integration.api.support import event

pytestmark = pytest.mark.real
DIRECTORY = "flux-core/directory"
STALE_S = 2.0  # as promised
WAY_S = 2.0  # there and back


@pytest.fixture
def directory(api):
    """Return the directory's properties."""

    def directory():
        answer = api.get(f"/api/state/entities/{DIRECTORY}")
        if answer.status_code == 404:  # of a Flux that has just been started
            return {"namespaces": {}}
        return answer.raise_for_status().json()["properties"]

    return directory


def test_the_directory_is_an_entity_with_exactly_these_properties(
    api, namespace, publish, directory, eventually
):
    updated = publish(f"{namespace}/e", {"a": 1}).json()["entity"]["lastUpdated"]
    eventually(lambda: namespace in directory()["namespaces"], STALE_S + WAY_S * busy())
    answer = api.get(f"/api/state/entities/{DIRECTORY}").json()
    assert list(answer) == ["id", "properties", "lastUpdated"]
    assert answer["id"] == DIRECTORY
    assert set(answer["properties"]) == {"namespaces", "totalNamespaces", "totalEntities"}
    assert answer["properties"]["namespaces"][namespace] == {"entities": 1, "lastUpdated": updated}


def test_it_counts_the_entities_of_a_namespace_as_they_come_and_go(api, namespace, directory, eventually):
    api.post("/api/events/batch", json=[event(f"{namespace}/{n}", {"a": 1}) for n in range(25)])
    eventually(
        lambda: directory()["namespaces"].get(namespace, {}).get("entities") == 25, STALE_S + WAY_S * busy()
    )
    api.post("/api/state/entities/delete", json={"prefix": f"{namespace}/1"})
    eventually(
        lambda: directory()["namespaces"].get(namespace, {}).get("entities") == 14, STALE_S + WAY_S * busy()
    )


def test_totals_agree_with_the_lists(api, namespace, publish, directory, eventually):
    publish(f"{namespace}/e", {"a": 1})
    publish(f"lone{namespace}", {"a": 1})

    def agrees():
        told = directory()
        ids = [entity["id"] for entity in api.get("/api/state/entities").json()]
        listed = [entity_id for entity_id in ids if not entity_id.startswith("flux-core/")]
        names = {entity_id.partition("/")[0] for entity_id in listed if "/" in entity_id}
        living = {name for name, facts in told["namespaces"].items() if facts["entities"]}
        return told["totalEntities"] == len(listed) and namespace in living and living <= names

    eventually(agrees, STALE_S + WAY_S * busy())


def test_the_servers_own_namespace_is_not_in_it(namespace, publish, directory, eventually):
    publish(f"{namespace}/e", {"a": 1})
    eventually(lambda: namespace in directory()["namespaces"], STALE_S + WAY_S * busy())
    assert not any(name.startswith("flux-core") for name in directory()["namespaces"])


def test_it_is_listed_like_any_other_entity(api):
    listed = api.get("/api/state/entities", params={"namespace": "flux-core"}).json()
    assert DIRECTORY in [entity["id"] for entity in listed]


def test_it_is_watched_like_any_other_entity(namespace, publish, watch):
    watcher = watch(DIRECTORY)
    publish(f"{namespace}/e", {"a": 1})
    update = watcher.until(lambda m: m.get("property") == "namespaces" and namespace in m["value"])[-1]
    assert update["value"][namespace]["entities"] == 1


def test_it_has_a_history_like_any_other_entity(api, namespace, publish, directory, eventually):
    publish(f"{namespace}/e", {"a": 1})
    eventually(lambda: namespace in directory()["namespaces"], STALE_S + WAY_S * busy())
    newest = api.get("/api/events", params={"entity": DIRECTORY, "limit": 1}).json()[0]
    assert newest["payload"]["entity_id"] == DIRECTORY
