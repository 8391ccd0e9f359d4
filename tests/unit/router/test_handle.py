"""The way to the router."""

from __future__ import annotations

import pytest

from flux_actors.errors import Unavailable
from flux_actors.router import handle
from flux_actors.router.names import RAY_NAMESPACE, ROUTER_NAME


def test_the_handle_is_that_of_the_named_actor(monkeypatch):
    def get_actor(name, namespace):
        return {(ROUTER_NAME, RAY_NAMESPACE): "the router"}[name, namespace]

    monkeypatch.setattr(handle.ray, "get_actor", get_actor)
    assert handle.router_handle() == "the router"


def test_there_is_no_handle_without_a_router(monkeypatch):
    def nobody(*_, **__):
        raise ValueError("no such actor")

    monkeypatch.setattr(handle.ray, "get_actor", nobody)
    with pytest.raises(Unavailable, match="flux up"):
        handle.router_handle()
