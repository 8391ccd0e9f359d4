"""One entity in a view: it takes what is newer, once, and renders once."""

from __future__ import annotations

import json

from flux_actors.domain.position import pack
from flux_api.cached import CachedEntity
from tests.unit.api.standing import change, row


def cached(properties, sequence=1):
    return CachedEntity.of("n/e", 2, pack(sequence, 4095), row("n/e", properties, sequence))


def test_its_body_and_etag_are_those_of_the_shard():
    entity = cached({"v": 1})
    assert json.loads(entity.body()) == {
        "id": "n/e",
        "properties": {"v": 1},
        "lastUpdated": "1970-01-01T00:00:00+00:00",
    }
    assert entity.etag == '"2.1.0"'


def test_a_newer_change_is_merged():
    entity = cached({"v": 1, "w": 1})
    entity.apply(change("n/e", {"v": 2}, 2, clock_us=1_000_000))
    assert json.loads(entity.body())["properties"] == {"v": 2, "w": 1}
    assert json.loads(entity.body())["lastUpdated"] == "1970-01-01T00:00:01+00:00"
    assert entity.etag == '"2.2.0"'


def test_a_change_that_is_in_already_is_not_taken_again():
    entity = cached({"v": 2}, 2)
    entity.apply(change("n/e", {"v": 1}, 1))
    entity.apply(change("n/e", {"v": 9}, 2))
    assert (entity.properties, entity.etag) == ({"v": 2}, '"2.2.0"')


def test_it_dies_and_comes_back_without_its_former_properties():
    entity = cached({"v": 1})
    entity.apply(change("n/e", None, 2))
    assert not entity.lives
    entity.apply(change("n/e", {"w": 3}, 3))
    assert (entity.lives, entity.properties) == (True, {"w": 3})


def test_one_that_is_not_there_can_come():
    entity = CachedEntity.of("n/e", 2, pack(1, 4095), None)
    assert not entity.lives
    entity.apply(change("n/e", {"v": 1}, 2))
    assert entity.properties == {"v": 1}


def test_what_a_change_holds_is_not_changed_through_it():
    entity, first = CachedEntity.of("n/e", 2, 0, None), change("n/e", {"v": 1})
    entity.apply(first)
    entity.apply(change("n/e", {"v": 2}, 2))
    assert first.properties == {"v": 1}


def test_it_is_rendered_once_until_it_changes():
    entity = cached({"v": 1})
    assert entity.body() is entity.body()
    before = entity.body()
    entity.apply(change("n/e", {"v": 2}, 2))
    assert entity.body() != before
