"""Real Flux for tests: a supervisor on free ports and a folder of its own, ended by pid."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import psutil
import pytest

from flux_cluster.data_folder import DataFolder, Run
from flux_cluster.ports import free_ports
from flux_cluster.processes import lives, of_run
from flux_cluster.ray_head import ray_environment

# A busy machine is no fault of what is tested; pytest's timeout bounds each test.
hypothesis.settings.register_profile("flux", deadline=None)
hypothesis.settings.load_profile("flux")

READ_WAIT_MS = 4_000  # the default is for people; here all of a machine may be busy with tests
START_S = 90.0
STOP_S = 60.0


@dataclass
class RunningFlux:
    """`flux up` as a user runs it, in a process of its own."""

    data: Path
    options: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    umask: int = -1  # that of the tests
    port: int = 0
    serve_port: int = 0
    host: str = "127.0.0.1"
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.port, self.serve_port = free_ports(2)

    @property
    def url(self) -> str:
        return f"http{self._s}://{self.host}:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws{self._s}://{self.host}:{self.port}/api/ws"

    @property
    def _s(self) -> str:
        return "s" if "--tls-cert" in self.options else ""

    @property
    def output(self) -> Path:
        return self.data.parent / f"{self.data.name}.out"

    def start(self) -> float:
        """Start and return the seconds until it was ready."""
        started = time.monotonic()
        with self.output.open("ab") as out:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "flux_actors", "up"),
                    *("--port", str(self.port), "--data", str(self.data), *self.options),
                ],
                env=clean_environment()
                | {"FLUX_SERVE_PORT": str(self.serve_port), "FLUX_READ_WAIT_MS": str(READ_WAIT_MS)}
                | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                umask=self.umask,
            )
        wait_for(lambda: self._ready() or self._ended(), START_S, f"Flux to start; see {self.output}")
        assert not self._ended(), self._words()
        return time.monotonic() - started

    def _words(self) -> str:
        """What it said, and what Ray said to the launcher."""
        launcher = self.data / "logs" / "launcher.log"
        return self.output.read_text() + (launcher.read_text() if launcher.exists() else "")

    def stop(self) -> None:
        """Stop as Ctrl-C does; nothing may be left."""
        assert self.process is not None
        run = self.run
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(STOP_S)
        assert code == 0, self.output.read_text()
        assert of_run(run.run_id) == []
        assert not run.ray_folder or not Path(run.ray_folder).exists()

    def kill_everything(self) -> None:
        """`kill -9` of every process at once."""
        assert self.process is not None
        victims = [*of_run(self.run.run_id), psutil.Process(self.process.pid)]
        for victim in victims:
            with suppress(psutil.NoSuchProcess):  # Ray ends some of its own when others die
                victim.kill()
        self.process.wait(STOP_S)
        wait_for(lambda: not any(map(lives, victims)), STOP_S, "the killed processes to end")

    def as_driver(self, code: str, timeout_s: float = 90) -> None:
        """Run a line of Python that may use `ray`, connected to this Flux's cluster."""
        subprocess.run(
            [sys.executable, "-c", f"import ray\nray.init(address={self.run.ray_address!r})\n{code}"],
            env=clean_environment() | ray_environment(self.data.absolute() / "ray-token"),
            check=True,
            capture_output=True,
            timeout=timeout_s,
        )

    def pid_of(self, role: str) -> int:
        """Return the process whose title or name holds `role`, e.g. `ray::ShardProcess`."""

        def find() -> int | None:
            for process in of_run(self.run.run_id):
                try:
                    if role in process.name() or role in " ".join(process.cmdline()[:1]):
                        return process.pid
                except psutil.NoSuchProcess:
                    continue
            return None

        return wait_for(find, START_S, f"a process called {role}")

    @property
    def run(self) -> Run:
        run = DataFolder(self.data).run()
        assert run is not None
        return run

    def _ready(self) -> bool:
        run = DataFolder(self.data).run()
        return run is not None and run.ready and self.process is not None and run.pid == self.process.pid

    def _ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None


def clean_environment() -> dict[str, str]:
    """Return the environment without settings of a Flux or Ray outside the tests."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("FLUX_", "RAY_"))}


def wait_for(condition: Callable[[], Any], timeout_s: float, what: str) -> Any:
    """Return the first truth of `condition`; fail after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    pytest.fail(f"waited {timeout_s:.0f} s in vain for {what}")


def _running(folder: Path) -> Iterator[RunningFlux]:
    flux = RunningFlux(folder / "data")
    flux.start()
    try:
        yield flux
        flux.stop()
    finally:
        if flux.process is not None and flux.process.poll() is None:
            flux.kill_everything()


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """A run in the background of a shell ignores Ctrl-C, and its children would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def flux(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFlux]:
    """One Flux that all integration tests share; they keep to namespaces of their own."""
    yield from _running(tmp_path_factory.mktemp("flux"))


@pytest.fixture(scope="session")
def restartable_flux(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFlux]:
    """Another Flux, for tests that kill parts of it or all of it."""
    yield from _running(tmp_path_factory.mktemp("restartable"))


def makers(folder: Path) -> Iterator[Callable[..., RunningFlux]]:
    """Yield a maker of Fluxes below `folder`; stop them at last, and end what did not stop."""
    made: list[RunningFlux] = []

    def make(options: list[str] | None = None, environment: dict[str, str] | None = None) -> RunningFlux:
        made.append(RunningFlux(folder / f"data-{len(made)}", options or [], environment or {}))
        return made[-1]

    try:
        yield make
        for flux in made:
            if flux.process is not None and flux.process.poll() is None:
                flux.stop()
    finally:
        for flux in made:
            if flux.process is not None and flux.process.poll() is None:
                flux.kill_everything()


@pytest.fixture
def make_flux(tmp_path: Path) -> Iterator[Callable[..., RunningFlux]]:
    """Make a Flux of one test's own, not started yet: `make_flux(options, environment)`."""
    yield from makers(tmp_path)


@pytest.fixture(scope="module")
def make_module_flux(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., RunningFlux]]:
    """Make a Flux that the tests of one module share."""
    yield from makers(tmp_path_factory.mktemp("module"))


@pytest.fixture
def namespace() -> str:
    """A namespace that no other test uses."""
    return f"t{uuid.uuid4().hex[:12]}"


@pytest.fixture
def eventually():
    """Wait for a condition with a deadline: `eventually(lambda: …, timeout_s)`."""
    return lambda condition, timeout_s=20.0, what="the condition": wait_for(condition, timeout_s, what)


@pytest.fixture
def api(flux: RunningFlux) -> Iterator[httpx.Client]:
    """A client of the shared Flux."""
    with httpx.Client(base_url=flux.url, timeout=20) as client:
        yield client
