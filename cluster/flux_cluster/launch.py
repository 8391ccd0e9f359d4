"""The launcher: a short-lived Ray driver that puts Flux on a Ray cluster, or takes it off.

`python -m flux_cluster.launch` reads its orders as pickle from standard input (they may hold credentials,
which must not be on a command line), so the slow imports are done while Ray still starts. It answers in
lines of JSON: how far it is, and at last whether it was done. Router, shards and doors are detached and
stay when the launcher ends.
"""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
import sys
import time
import traceback
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

import ray
from ray import serve
from ray.exceptions import GetTimeoutError, RayActorError, RayError
from ray.serve.exceptions import RayServeException

from flux_actors.connectors.names import KEEPER_NAME
from flux_actors.connectors.ray_connectors import ConnectorsPlan, any_configured, keeper
from flux_actors.errors import Corrupt, FluxError, Refused, Unavailable
from flux_actors.places.opening import is_url
from flux_actors.router.founding import plan_of, start_router
from flux_actors.router.handle import router_handle
from flux_actors.router.named_actors import named_actors
from flux_actors.router.names import RAY_NAMESPACE, ROUTER_NAME
from flux_actors.settings import Settings
from flux_actors.snapshot.opening import open_store
from flux_api.deployment import APPLICATION, application
from flux_api.door_count import go_by_nodes, nodes_of_cluster
from flux_cluster.orders import Orders, Site, Start, Stop, Sweep
from flux_cluster.ray_words import words_of
from flux_cluster.serve_start import start_serve

_ROUTER_S: Final = 120.0
_DRAIN_S: Final = 90.0
_ASK_S: Final = 10.0
_TELL_S: Final = 2.0
_POLL_S: Final = 0.02
_STARTERS: Final = frozenset({ROUTER_NAME, KEEPER_NAME})


def start(orders: Start) -> str | None:
    """Start router, shards and doors; return where a door is, if that need not be this machine."""
    if not orders.site.cluster_is_ours:
        sweep(Sweep(orders.site))
    settings = orders.settings
    check_snapshots(settings.snapshot_place)
    router = start_router(orders.access, plan_of(settings, orders.site.owner), or_take=False)
    # Router, shards, Serve's proxy and doors take seconds each to come up: all of them do it at once.
    with ThreadPoolExecutor(1) as pool:
        proxy = pool.submit(start_serve, _proxy_options(settings, orders.serve_port), _tell_progress)
        opened = router.open.remote()
        _wait_for_controller(proxy)
        on_nodes = go_by_nodes(nodes_of_cluster(), asked=settings.door_resource)
        target = serve.RunTarget(
            application(settings, orders.access, on_nodes=on_nodes), name=APPLICATION, route_prefix="/"
        )
        serve.run_many(
            [target], wait_for_ingress_deployment_creation=False, wait_for_applications_running=False
        )
        proxy.result()
    ray.get(opened, timeout=_ROUTER_S)
    _await_recovery(router)
    _start_connectors(orders)
    return None if orders.site.cluster_is_ours else _some_door()


def _some_door() -> str:
    """Return the URL of a door, as that sees it: on a cluster of several nodes none need be here."""
    deadline = time.monotonic() + _ROUTER_S
    while True:
        try:
            url: str = serve.get_app_handle(APPLICATION).url.remote().result(timeout_s=_ROUTER_S)
        except RayActorError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_POLL_S)  # Serve replaces a door that died, and asks another
        else:
            return url


def check_snapshots(place: str) -> None:
    """Return when a place behind a URL can be read; shards would wait for one that cannot.

    Raises:
        Refused: nothing here can read such a URL. Unavailable: it does not answer, or refuses the login.
    """
    if is_url(place):
        open_store(place).sequences(0)


def _start_connectors(orders: Start) -> None:
    """Start the keeper of the connectors if there are any; else a door does when the first is configured.

    It is awaited: Ray forgets an actor whose creator ends before its process runs, even a detached one.
    """
    settings = orders.settings
    if asyncio.run(any_configured(orders.access, settings.log_replicas)):
        _await_ready(keeper(orders.access, ConnectorsPlan.of_settings(settings)))


def _await_ready(actor: Any) -> None:
    """Return when the process of an actor runs."""
    ray.get(actor.__ray_ready__.remote(), timeout=_ROUTER_S)


def _proxy_options(settings: Settings, port: int) -> dict[str, Any]:
    """Return how Serve's own proxy listens: encrypted if the doors are."""
    options: dict[str, Any] = {"host": settings.serve_host, "port": port}
    if settings.tls:
        options |= {"ssl_certfile": str(settings.tls_cert), "ssl_keyfile": str(settings.tls_key)}
    return options


def _await_recovery(router: Any) -> None:
    """Return when all partitions run; tell how far they are, for a long log takes its time.

    Raises:
        Corrupt: a partition has stopped, for its log or its snapshots contradict themselves.
    """
    told_at = time.monotonic()
    while True:
        status = ray.get(router.status.remote(), timeout=_ROUTER_S)
        rows = [row for rows in status["shards"].values() for row in rows]
        errors = [row["error"] for row in rows if row["phase"] == "stopped"]
        if errors:
            raise Corrupt(errors[0])
        running = sum(row["phase"] == "running" for row in rows)
        if running == status["partitions"]:
            return
        if time.monotonic() - told_at >= _TELL_S:
            told_at = time.monotonic()
            left = sum(row["pending"] for row in rows)
            of = status["partitions"]
            _tell_progress(f"recovering: {running} of {of} partitions, {left} blocks left")
        time.sleep(_POLL_S)


def _wait_for_controller(starting: Future[None]) -> None:
    """Return when Serve's controller exists, or when starting it has ended."""
    while not starting.done() and not any(
        actor["namespace"] == "serve" for actor in ray.util.list_named_actors(all_namespaces=True)
    ):
        time.sleep(_POLL_S)


def stop(orders: Stop) -> None:
    """Close the doors, then have the shards leave their snapshots, then end them and the router."""
    router = router_handle()
    _check_owner(router, orders.site)
    _close_doors(orders.site)
    _close_connectors()
    try:
        ray.get(router.drain.remote(), timeout=_DRAIN_S)
    finally:
        _end_actors()


def sweep(orders: Sweep) -> None:
    """End what a supervisor of this data folder left on somebody's Ray cluster when it was killed.

    Raises:
        Refused: the cluster runs another Flux.
    """
    try:
        router = router_handle()
    except Unavailable:
        return
    _check_owner(router, orders.site)
    _close_doors(orders.site)
    _end_actors()


def _check_owner(router: Any, site: Site) -> None:
    owner = ray.get(router.owner.remote(), timeout=_ASK_S)
    if owner != site.owner:
        raise Refused(
            f"the Ray cluster at {site.ray_address} already runs the Flux of {owner}; "
            "stop that with `flux down` there, or use another cluster"
        )


def _close_doors(site: Site) -> None:
    try:
        serve.delete(APPLICATION)
    except RayServeException:
        return  # Serve is gone already, and the doors with it
    if not site.cluster_is_ours and not serve.status().applications:
        serve.shutdown()  # type: ignore[no-untyped-call]  # nobody else's application runs on it


def _close_connectors() -> None:
    """Have the connectors keep what they know; else they only learn some of it again."""
    try:
        actor = ray.get_actor(KEEPER_NAME, namespace=RAY_NAMESPACE)
    except ValueError:
        return  # none is configured
    try:
        ray.get(actor.drain.remote(), timeout=_ASK_S)
    except (RayError, GetTimeoutError):
        return


def _end_actors() -> None:
    """End router, keeper, shards and connectors; the log has everything."""
    for starters in (True, False):  # first those that start others
        for name in named_actors():
            if (name in _STARTERS) is starters:
                ray.kill(ray.get_actor(name, namespace=RAY_NAMESPACE), no_restart=True)


def main() -> None:
    """Obey the orders on standard input."""
    orders: Orders = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the supervisor that started us
    try:
        ray.init(
            address=orders.site.ray_address,
            namespace=RAY_NAMESPACE,
            log_to_driver=False,
            logging_level=logging.ERROR,
            configure_logging=False,
        )
        door = _obey(orders)
    except (FluxError, RayError, OSError, RuntimeError, ValueError) as error:
        if not isinstance(error, FluxError):
            traceback.print_exc()  # where it was; the launcher's log has it
        _tell({"ok": False, "error": _sentence(error)})
        sys.exit(1)
    _tell({"ok": True, "door": door})


def _obey(orders: Orders) -> str | None:
    match orders:
        case Start():
            return start(orders)
        case Stop():
            stop(orders)
        case Sweep():
            sweep(orders)
    return None


def _sentence(error: Exception) -> str:
    cause: Any = getattr(error, "cause", None)
    if isinstance(cause, FluxError):
        return cause.message
    if isinstance(error, FluxError):
        return error.message
    if isinstance(error, GetTimeoutError):
        return Unavailable("the router did not come up in time; its log may say why").message
    return f"{type(error).__name__}: {words_of(error)}"


def _tell_progress(text: str) -> None:
    _tell({"progress": text})


def _tell(value: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
