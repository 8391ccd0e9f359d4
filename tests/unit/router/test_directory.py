"""The directory: namespaces of all partitions added up, the server's own left out."""

from __future__ import annotations

from flux_actors.router import directory
from flux_actors.router.directory import directory_properties

SECOND_US = 1_000_000


def test_without_entities_it_is_empty():
    assert directory_properties([]) == {"namespaces": {}, "totalNamespaces": 0, "totalEntities": 0}


def test_a_namespace_over_several_partitions_is_added_up_and_as_new_as_its_newest():
    rows = [("wide", 2, 5 * SECOND_US), ("home", 1, 1), ("wide", 3, 4 * SECOND_US)]
    assert directory_properties(rows) == {
        "namespaces": {
            "home": {"entities": 1, "lastUpdated": "1970-01-01T00:00:00.000001+00:00"},
            "wide": {"entities": 5, "lastUpdated": "1970-01-01T00:00:05+00:00"},
        },
        "totalNamespaces": 2,
        "totalEntities": 6,
    }


def test_the_servers_own_namespaces_are_left_out():
    found = directory_properties([("flux-core", 1, 1), ("flux-core-x", 1, 1), ("flux", 1, 1)])
    assert list(found["namespaces"]) == ["flux"]
    assert (found["totalNamespaces"], found["totalEntities"]) == (1, 1)


def test_entities_without_a_namespace_count_in_the_total_alone():
    found = directory_properties([("", 3, 1), ("home", 1, 1)])
    assert list(found["namespaces"]) == ["home"]
    assert (found["totalNamespaces"], found["totalEntities"]) == (1, 4)


def test_of_too_many_namespaces_it_lists_the_most_active_and_counts_all(monkeypatch):
    monkeypatch.setattr(directory, "_LISTED_MAX", 2)
    found = directory_properties([("a", 1, 30), ("b", 1, 10), ("c", 1, 20)])
    assert list(found["namespaces"]) == ["a", "c"]
    assert (found["totalNamespaces"], found["totalEntities"]) == (3, 3)


def test_it_lists_a_thousand():
    found = directory_properties((f"n{number}", 1, number) for number in range(1_200))
    assert len(found["namespaces"]) == 1_000
    assert "n199" not in found["namespaces"]
    assert found["totalNamespaces"] == 1_200


def test_equal_rows_make_equal_directories_in_any_order():
    rows = [("b", 1, 5), ("a", 2, 5), ("c", 1, 7)]
    assert list(directory_properties(rows)["namespaces"]) == ["a", "b", "c"]
    assert directory_properties(rows) == directory_properties(reversed(rows))


def test_hidden_namespaces_are_left_out_of_the_totals_too():
    found = directory_properties([("vault", 5, 1), ("home", 1, 1)], hidden={"vault"})
    assert list(found["namespaces"]) == ["home"]
    assert (found["totalNamespaces"], found["totalEntities"]) == (1, 1)
