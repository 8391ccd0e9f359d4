"""The supervisor: what `flux up` is. Starts everything, watches what must live, stops everything.

lock the data folder ─ sweep what an earlier run left ─ nats-server ─┐
Ray head ─ launcher (router, shards, doors) ─ ready
nats-server dies, or its disk was full: started again.   Ray's head dies: everything on Ray is started again.
Ctrl-C: doors close, shards leave snapshots, every process of the run ends, temporary files go.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import shutil
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Final

import psutil

from flux_actors.errors import FluxError, Unavailable
from flux_actors.log.connection import NatsAccess, check_jetstream
from flux_actors.log.telling_thread import TellingThread
from flux_actors.metering import table
from flux_actors.metering.samples import Sample
from flux_actors.settings import Settings, is_loopback_host, without_secrets
from flux_actors.tls import trust_in
from flux_cluster.data_folder import DataFolder, Run
from flux_cluster.launcher import Launcher
from flux_cluster.log_disk import Turn
from flux_cluster.nats_server import NatsServer
from flux_cluster.orders import Site, Start, Stop, Sweep
from flux_cluster.ports import check_free, free_ports, is_free, wait_free
from flux_cluster.processes import RUN_ID, become_reaper, end_all, of_run, reap, same_process
from flux_cluster.ray_head import RayHead, ray_environment

Report = Callable[[str], None]
_SERVE_PORT: Final = 8000
_LAUNCH_S: Final = 150.0
_READY_S: Final = 120.0
_STOP_S: Final = 120.0
_GRACE_S: Final = 1.0
_PORT_S: Final = 5.0
_LOOK_S: Final = 0.2
_SWEEPS: Final = 5


class Stopped(Exception):
    """Somebody asked Flux to stop while it was starting."""


class Supervisor:
    """One Flux on this machine."""

    def __init__(self, settings: Settings, report: Report) -> None:
        self._settings = settings
        self._report = report
        self._folder = DataFolder(settings.data)
        self._run_id = uuid.uuid4().hex
        self._environment = without_secrets(os.environ) | {RUN_ID: self._run_id}
        self._ray_address = os.environ.get("RAY_ADDRESS", "")
        self._nats: NatsServer | None = None
        self._ray: RayHead | None = None
        self._serve_port = 0
        self._door_url = self._url()
        self._asked_to_stop = threading.Event()
        self._launched = False
        self._serves = False
        self._telling: TellingThread | None = None
        self._nats_starts = 0
        self._ray_starts = 0

    def run(self) -> None:
        """Start, watch, and stop when a signal says so.

        Raises:
            FluxError: it could not be started; nothing is left running.
        """
        signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(signal.SIGTERM, self._on_signal)
        become_reaper()
        self._settings.certificate()  # refuses files that do not fit before anything is started
        self._folder.open()
        try:
            self._sweep()
            self._choose_ports()
            self._start()
            self._watch()
        except Stopped:
            self._report("stopping")
        finally:
            self._stop()
            self._folder.close()

    def _start(self) -> None:
        started = time.monotonic()
        self._write_run(ready=False)
        if self._settings.nats_url is None:
            self._report("starting the log (nats-server)")
            self._nats = NatsServer(self._folder, self._environment)
            self._start_nats(self._nats)
        else:
            asyncio.run(check_jetstream(self._access()))
        self._start_on_ray()
        self._telling = TellingThread(self._access(), "supervisor", self.samples).begin()
        self._write_run(ready=True)
        if not (is_loopback_host(self._settings.host) or self._settings.auth_enabled):
            self._report("without FLUX_AUTH_ENABLED=true everybody who reaches Flux may do everything")
        self._report(
            f"Flux is at {self._door_url} (ready in {time.monotonic() - started:.1f} s; stop with Ctrl-C)"
        )

    def _start_on_ray(self) -> None:
        if self._ray_address:
            self._report(f"joining Ray at {self._ray_address}")
            launcher = Launcher(self._environment | ray_environment(None), self._folder.logs / "launcher.log")
        else:
            self._report("starting Ray")
            self._ray = RayHead(self._folder, self._environment)
            self._write_run(ready=False)
            self._ray.begin()
            launcher = Launcher(self._ray.environment, self._folder.logs / "launcher.log")
            self._ray.wait()
        self._check_stop()
        self._serves = False
        self._report("starting router, shards and doors")
        self._launched = True
        self._ray_starts += 1
        orders = Start(self._site(), self._settings, self._access(), self._serve_port)
        door = launcher.obey(orders, _LAUNCH_S, self._progress)
        self._wait_ready(door)
        self._serves = True

    def _watch(self) -> None:
        """Keep nats-server and Ray alive until somebody asks to stop."""
        while not self._asked_to_stop.wait(_LOOK_S):
            reap([pid] if self._nats is not None and (pid := self._nats.pid) else [])
            self._keep_nats()
            if self._ray is not None and not (self._ray.lives and self._serves):
                self._report("Ray's head died; starting Ray, router, shards and doors again")
                self._restart_ray(self._ray)
        raise Stopped

    def _keep_nats(self) -> None:
        if self._nats is None:
            return
        if not self._nats.lives:
            self._report("nats-server died; starting it again")
            self._start_nats(self._nats)
        match self._nats.disk.look():
            case Turn.FULL:
                self._report("the disk of the log is full; events are refused until there is room")
            case Turn.ROOM:
                self._report("the disk of the log has room again; starting nats-server again")
                self._nats.restart()
                self._nats_starts += 1
            case None:
                pass

    def _start_nats(self, server: NatsServer) -> None:
        server.start()
        self._nats_starts += 1

    def samples(self) -> Iterator[Sample]:
        """Yield what there is to tell now."""
        if self._nats is not None:
            yield table.NATS_STARTS.of(self._nats_starts)
        yield table.RAY_STARTS.of(self._ray_starts)

    def _restart_ray(self, dead: RayHead) -> None:
        keep = self._nats.pid if self._nats is not None else None
        end_all([process for process in of_run(self._run_id) if process.pid != keep], _GRACE_S)
        dead.forget()
        try:
            self._start_on_ray()
        except Unavailable as error:
            self._report(f"{error.message}; trying again")

    def _stop(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if self._telling is not None:
            self._telling.end()
        if self._launched and (self._ray is None or self._ray.lives):
            self._close_gently()
        keep = self._nats.pid if self._nats is not None else None
        end_all([process for process in of_run(self._run_id) if process.pid != keep], _GRACE_S)
        if self._nats is not None:
            self._nats.stop()
        if self._ray is not None:
            self._ray.forget()
        reap([])
        self._folder.forget_run()

    def _close_gently(self) -> None:
        """Let doors finish and shards write snapshots; else nothing is lost, but the next start is slower."""
        self._report("closing doors, leaving snapshots")
        environment = self._ray.environment if self._ray is not None else self._environment
        launcher = Launcher(environment, self._folder.logs / "launcher.log")
        try:
            launcher.obey(Stop(self._site()), _STOP_S)
        except FluxError as error:
            self._report(f"could not close gently ({error.message}); the log has everything")

    def _sweep(self) -> None:
        """End what an earlier run left behind when its supervisor was killed."""
        run = self._folder.run()
        if run is None:
            return
        self._report("ending what an earlier run left")
        try:
            sweep_ray(self._folder, run, self._environment)
        except Unavailable as error:
            self._report(f"Ray at {run.ray_address} was not swept: {error.message}")
        end_run(self._folder, run)
        # The first thread of a killed process is gone a moment before its last one, which lets its ports go.
        settings = self._settings
        wait_free(settings.host, settings.port, _PORT_S)
        if settings.serve_port is not None:
            wait_free(settings.serve_host, settings.serve_port, _PORT_S)

    def _choose_ports(self) -> None:
        settings = self._settings
        check_free(settings.host, settings.port, "--port")
        if settings.serve_port is not None:
            check_free(settings.serve_host, settings.serve_port, "FLUX_SERVE_PORT")
            self._serve_port = settings.serve_port
        elif settings.port != _SERVE_PORT and is_free(settings.serve_host, _SERVE_PORT):
            self._serve_port = _SERVE_PORT
        else:
            (self._serve_port,) = free_ports(1)

    def _site(self) -> Site:
        address = self._ray.address if self._ray is not None else self._ray_address
        return Site(address, self._ray is not None, owner(self._folder))

    def _access(self) -> NatsAccess:
        if self._nats is not None:
            return self._nats.access
        return NatsAccess.of_settings(self._settings)

    def _wait_ready(self, door: str | None) -> None:
        """Return when a door serves: the one here, or `door` where this node has none."""
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline:
            self._check_stop()
            for url in (self._url(), door):
                if url is not None and _answers(f"{url}/api/ready", self._settings.tls_cert):
                    self._door_url = url
                    return
            time.sleep(_LOOK_S / 4)
        raise Unavailable(f"the doors did not become ready; see {self._folder.logs} and Ray's logs")

    def _url(self, host: str | None = None, port: int | None = None) -> str:
        settings = self._settings
        host = host or settings.host
        host = {"0.0.0.0": "localhost", "127.0.0.1": "localhost", "::": "localhost"}.get(host, host)  # noqa: S104
        scheme = "https" if settings.tls else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port or settings.port}"

    def _write_run(self, *, ready: bool) -> None:
        run = Run(
            run_id=self._run_id,
            pid=os.getpid(),
            created=psutil.Process().create_time(),
            url=self._door_url,
            serve_url=self._url(self._settings.serve_host, self._serve_port),
            nats_url=self._settings.nats_url or (self._nats.access.url if self._nats is not None else ""),
            ray_address=self._ray.address if self._ray is not None else self._ray_address,
            ray_folder=str(self._ray.folder) if self._ray is not None else "",
            tls_cert=str(self._settings.tls_cert or ""),
            config=str(self._settings.config.absolute()) if self._settings.config is not None else "",
            ready=ready,
        )
        self._folder.write_run(run)

    def _progress(self, text: str) -> None:
        """Tell how far the start is; on a long way the log is looked after, and somebody may stop it."""
        self._report(text)
        self._keep_nats()
        self._check_stop()

    def _check_stop(self) -> None:
        if self._asked_to_stop.is_set():
            raise Stopped

    def _on_signal(self, _: int, __: FrameType | None) -> None:
        self._asked_to_stop.set()


def down(folder: DataFolder, timeout_s: float) -> bool:
    """Stop the Flux that runs on `folder`; return whether there was one.

    Raises:
        Unavailable: it did not end in time.
    """
    run = folder.run()
    if run is None:
        return False
    supervisor = same_process(run.pid, run.created)
    if supervisor is not None:
        supervisor.send_signal(signal.SIGTERM)
        try:
            supervisor.wait(timeout_s)
        except psutil.TimeoutExpired:
            raise Unavailable(f"Flux (pid {run.pid}) has not ended within {timeout_s:.0f} s") from None
    if folder.run() is not None:
        sweep_ray(folder, run, without_secrets(os.environ))
        end_run(folder, run)
    return True


def sweep_ray(folder: DataFolder, run: Run, environment: dict[str, str]) -> None:
    """Take what a killed supervisor left off a Ray cluster that is not ours.

    Raises:
        Unavailable: the cluster cannot be reached, or runs another Flux by now.
    """
    if run.ray_address and not run.ray_folder:
        launcher = Launcher(environment | ray_environment(None), folder.logs / "launcher.log")
        launcher.obey(Sweep(Site(run.ray_address, cluster_is_ours=False, owner=owner(folder))), _LAUNCH_S)


def end_run(folder: DataFolder, run: Run) -> None:
    """End what is left on this machine of a run whose supervisor is dead."""
    for _ in range(_SWEEPS):  # Ray may start workers in place of those that are being ended
        end_all(of_run(run.run_id), _GRACE_S)
        if not of_run(run.run_id):
            break
    if run.ray_folder:
        shutil.rmtree(run.ray_folder, ignore_errors=True)
    folder.forget_run()


def owner(folder: DataFolder) -> str:
    """Return whose Flux runs on a folder, in words that two machines do not share."""
    return f"{folder.root} on {socket.gethostname()}"


def _answers(url: str, certificate: Path | None) -> bool:
    context = trust_in(certificate) if certificate is not None else None
    direct = urllib.request.ProxyHandler({})  # a proxy of the environment could not reach this machine itself
    opener = urllib.request.build_opener(direct, urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError, http.client.HTTPException):
        return False  # nobody is there, or somebody who speaks something else
