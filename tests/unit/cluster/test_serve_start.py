"""Starting Serve: what befalls its first proxy is no reason to give up while another may come up."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ray.exceptions import ActorDiedError, RayTaskError
from ray.serve.schema import ProxyStatus

from flux_actors.errors import Unavailable
from flux_cluster import serve_start

OPTIONS = {"host": "127.0.0.1", "port": 8000}
TAKEN = RayTaskError("ready", "File …\nRuntimeError: Failed to bind to '127.0.0.1:8000'.\n", RuntimeError())


class FakeServe:
    """Serve whose first start fails in a chosen way, and whose proxies then go through `states`."""

    def __init__(self, fault, *states):
        self._fault = fault
        self._states = iter(states)
        self.options = None
        self.looks = 0

    def start(self, *, http_options):
        self.options = http_options
        if self._fault is not None:
            raise self._fault

    def status(self):
        self.looks += 1
        proxies = next(self._states, [ProxyStatus.UNHEALTHY])
        return SimpleNamespace(proxies=dict(enumerate(proxies)))


@pytest.fixture
def start(monkeypatch):
    """Start a `FakeServe`; return what was told meanwhile."""
    monkeypatch.setattr(serve_start, "_POLL_S", 0.0)

    def start(serve):
        told = []
        monkeypatch.setattr(serve_start, "serve", serve)
        serve_start.start_serve(OPTIONS, told.append)
        return told

    return start


def test_a_start_that_goes_well_is_one_call(start):
    serve = FakeServe(None)
    assert start(serve) == []
    assert serve.options == OPTIONS
    assert serve.looks == 0


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (TAKEN, "RuntimeError: Failed to bind to '127.0.0.1:8000'"),
        (TAKEN.as_instanceof_cause(), "RuntimeError: Failed to bind to '127.0.0.1:8000'"),
        (ActorDiedError(), "The actor died unexpectedly before finishing this task"),
        (TimeoutError("HTTP proxies not available after 60s."), "HTTP proxies not available after 60s"),
        (TimeoutError(), "TimeoutError"),
    ],
    ids=["taken-port", "taken-port-as-cause", "died", "late", "no-text"],
)
def test_another_proxy_is_waited_for_until_all_of_them_are_well(start, fault, words):
    here, there = ProxyStatus.STARTING, ProxyStatus.HEALTHY
    serve = FakeServe(fault, [], [here], [there, here], [there, there])
    assert start(serve) == [f"waiting for another of Serve's proxies ({words})"]
    assert serve.looks == 4


def test_a_proxy_that_never_comes_up_is_told_with_what_may_be_done(start, monkeypatch):
    monkeypatch.setattr(serve_start, "_PROXIES_S", 0.02)
    with pytest.raises(Unavailable) as unavailable:
        start(FakeServe(TAKEN))
    assert unavailable.value.message == (
        "Ray Serve's proxy does not come up: RuntimeError: Failed to bind to '127.0.0.1:8000'; "
        "if another program took its port, choose with FLUX_SERVE_PORT"
    )


def test_other_faults_are_passed_on(start):
    with pytest.raises(ValueError, match="no such option"):
        start(FakeServe(ValueError("no such option")))
