from __future__ import annotations

from types import SimpleNamespace

import pytest

from flux_actors.router import named_actors


@pytest.fixture
def killed(monkeypatch):
    """What was ended, on a cluster where one actor is gone by the time it is looked for."""
    killed = []
    named = [("b", "flux"), ("theirs", "serve"), ("a", "flux"), ("gone", "flux")]

    def get_actor(name, namespace):
        if name == "gone":
            raise ValueError(name)
        assert namespace == "flux"
        return name

    listed = [{"name": name, "namespace": namespace} for name, namespace in named]
    util = SimpleNamespace(list_named_actors=lambda *, all_namespaces: listed)
    ray = SimpleNamespace(util=util, get_actor=get_actor, kill=lambda actor, no_restart: killed.append(actor))
    monkeypatch.setattr(named_actors, "ray", ray)
    return killed


def test_those_of_flux_are_told_and_nobody_elses(killed):
    assert named_actors.named_actors() == ["a", "b", "gone"]


def test_all_are_ended_but_one(killed):
    named_actors.end_named_actors(but="b")
    assert killed == ["a"]
