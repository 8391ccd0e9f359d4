"""Asking the router: what it refuses is refused, one that restarts is waited for, all else is unavailable."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from ray.exceptions import RayActorError, RaySystemError, RayTaskError

from flux_actors.errors import Refused, Unavailable
from flux_actors.native import introducing
from flux_actors.native.introducing import cluster, introduce


class Router:
    """Answers one thing after the other."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.tokens = []
        self.introduce = self

    def remote(self, token):
        self.tokens.append(token)
        return self._answer(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])

    async def _answer(self, answer):
        await asyncio.sleep(0)
        if isinstance(answer, Exception):
            raise answer
        if answer == "silence":
            await asyncio.Event().wait()
        return answer


@pytest.fixture
def router(monkeypatch):
    monkeypatch.setattr(introducing, "_RETRY_S", 0.001)

    def use(*answers):
        router = Router(*answers)
        monkeypatch.setattr(introducing, "router_handle", lambda: router)
        return router

    return use


async def test_it_is_told_what_the_router_says(router):
    asked = router("the introduction")
    assert await introduce("token") == "the introduction"
    assert asked.tokens == ["token"]


async def test_a_router_that_restarts_is_waited_for(router):
    asked = router(RayActorError(), RayActorError(), "the introduction")
    assert await introduce(None) == "the introduction"
    assert len(asked.tokens) == 3


@pytest.mark.parametrize(
    ("answer", "error", "word"),
    [
        (RayTaskError("introduce", "trace", Refused("unknown", 401)), Refused, "unknown"),
        (RayTaskError("introduce", "trace", ValueError("secret")), Unavailable, "its log"),
        (RayActorError(), Unavailable, "away"),
        (RaySystemError("broken"), Unavailable, "RaySystemError"),
        ("silence", Unavailable, "does not answer"),
    ],
)
async def test_every_other_end_is_an_error_of_ours(router, monkeypatch, answer, error, word):
    monkeypatch.setattr(introducing, "_CALL_S", 0.01 if answer == "silence" else 10.0)
    monkeypatch.setattr(introducing, "_RESTART_S", 0.01)
    router(answer)
    with pytest.raises(error, match=word) as failed:
        await introduce("token")
    assert "secret" not in failed.value.message


def test_a_process_knows_its_cluster(monkeypatch):
    ray = SimpleNamespace(
        is_initialized=lambda: False,
        get_runtime_context=lambda: SimpleNamespace(gcs_address="127.0.0.1:1"),
    )
    monkeypatch.setattr(introducing, "ray", ray)
    assert cluster() == ""
    ray.is_initialized = lambda: True
    assert cluster() == "127.0.0.1:1"
