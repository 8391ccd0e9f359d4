from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray.exceptions import GetTimeoutError, RuntimeEnvSetupError, WorkerCrashedError

from flux_actors.behaviour.behaviour import Behaviour
from flux_actors.behaviour.code import pack
from flux_actors.errors import Refused, Unavailable
from flux_actors.native.trying import Failure, try_out, try_to_load

PIP = {"pip": ["x"]}


class Fan(Behaviour):
    match = "home/fan"

    def on_ask(self, entity: Any, message: Any) -> Any:
        return message


class Stubborn(Fan):
    def __init__(self) -> None:
        raise OSError("no such device")


class Tasks:
    """Ray's tasks: with which runtime_env each was run, and what came of it."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.environments: list[Any] = []
        self.timeouts: list[float] = []
        self.outcome: Callable[[Any], Any] = lambda _: None
        patch.setattr(ray, "remote", self._remote)
        patch.setattr(ray, "get", self._get)

    def _remote(self, function: Any) -> Any:
        assert function is try_to_load
        return SimpleNamespace(options=self._options)

    def _options(self, **options: Any) -> Any:
        assert options["num_cpus"] == 0
        return SimpleNamespace(remote=lambda code: options.get("runtime_env"))

    def _get(self, environment: Any, timeout: float) -> Any:
        self.environments.append(environment)
        self.timeouts.append(timeout)
        found = self.outcome(environment)
        if isinstance(found, Exception):
            raise found
        return found


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> Tasks:
    return Tasks(monkeypatch)


def test_code_that_loads_has_no_failure() -> None:
    assert try_to_load(pack(Fan)) is None


def test_code_that_does_not_says_why() -> None:
    assert try_to_load(pack(Stubborn)) == Failure("OSError: no such device")
    failure = try_to_load(b"nonsense")
    assert failure is not None
    assert not failure.missing


def test_module_that_is_not_there_is_named() -> None:
    by_reference = b"\x80\x04\x8c\x0fnowhere_at_all_\x8c\x01X\x93."  # what pickle says of nowhere_at_all_.X
    failure = try_to_load(by_reference)
    assert failure is not None
    assert failure.missing == "nowhere_at_all_"


def test_code_is_tried_where_its_handlers_run_and_where_it_reduces(tasks: Tasks) -> None:
    try_out("Fan", b"code", None, reduces=True)
    try_out("Fan", b"code", PIP, reduces=False)
    assert tasks.environments == [None, PIP]
    assert tasks.timeouts == [60, 600]
    try_out("Fan", b"code", PIP, reduces=True)
    assert tasks.environments[2:] == [PIP, None]


@pytest.mark.parametrize(
    ("environment", "words"),
    [(None, "'numpy' is not installed there; pass runtime_env="), (PIP, "add it to the runtime_env")],
)
def test_module_that_handlers_lack_is_told(tasks: Tasks, environment: Any, words: str) -> None:
    tasks.outcome = lambda _: Failure("No module named 'numpy'", "numpy")
    with pytest.raises(Refused, match=words):
        try_out("Fan", b"code", environment, reduces=False)


def test_module_that_reduce_lacks_is_told(tasks: Tasks) -> None:
    tasks.outcome = lambda environment: None if environment else Failure("No module", "numpy")
    with pytest.raises(Refused, match=r"'numpy' is missing\. Import such modules inside"):
        try_out("Fan", b"code", PIP, reduces=True)


def test_other_faults_are_told_in_their_words(tasks: Tasks) -> None:
    tasks.outcome = lambda _: Failure("OSError: no such device")
    with pytest.raises(Refused, match="Fan does not load on the cluster: OSError: no such device"):
        try_out("Fan", b"code", None, reduces=False)


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        (RuntimeEnvSetupError("pip says no"), Refused, "pip says no"),
        (GetTimeoutError("late"), Unavailable, "in time"),
        (WorkerCrashedError(), Refused, "process that loaded the code ended"),
    ],
)
def test_what_ray_cannot_do_is_told(
    tasks: Tasks, fault: Exception, error: type[Exception], words: str
) -> None:
    tasks.outcome = lambda _: fault
    with pytest.raises(error, match=words):
        try_out("Fan", b"code", PIP, reduces=False)
