"""The claims of docs/security.md that need a whole Flux: with tokens, tight bounds and a loose umask."""

from __future__ import annotations

import base64
import pickle
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import grpc
import httpx
import psutil
import pytest
from ray.serve.generated.serve_pb2 import ASGIRequest
from ray.serve.generated.serve_pb2_grpc import ASGIServiceStub
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from flux_cluster.processes import of_run
from flux_cluster.ray_head import ray_environment
from tests.busy import busy
from tests.conftest import clean_environment
from tests.integration.api.support import RawConnection, Watcher, event, post
from tests.integration.odd_requests import odd_requests, send_odd_bytes

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]
ADMIN = "admin-sekret-0123456789"
KEY = base64.b64encode(bytes(range(100, 132))).decode()
HEALTH = b"GET /api/health HTTP/1.1\r\nHost: a\r\n\r\n"
CONFIG = "/api/admin/config"
AUDIT = "/api/state/entities/flux-core/audit"
CONNECTIONS, SOCKETS = 24, 6


@pytest.fixture(scope="module")
def guarded(make_module_flux):
    flux = make_module_flux(
        ["--doors", "1"],
        {
            "FLUX_ADMIN_TOKEN": ADMIN,
            "FLUX_ENCRYPTION_KEY": KEY,
            "FLUX_AUTH_ENABLED": "true",
            "FLUX_CORS_ORIGINS": "https://mine.example",
            "FLUX_CONNECTIONS_MAX": str(CONNECTIONS),
            "FLUX_ADDRESS_CONNECTIONS_MAX": str(CONNECTIONS),
            "FLUX_SOCKETS_MAX": str(SOCKETS),
            "FLUX_MEMORY_BYTES": "2000000",
        },
    )
    flux.umask = 0
    flux.start()
    return flux


@pytest.fixture
def client(guarded):
    with httpx.Client(base_url=guarded.url, timeout=10) as client:
        yield client


def as_admin(token: str = ADMIN) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="module")
def token(guarded) -> str:
    """A token of the namespace `guarded`."""
    made = httpx.post(f"{guarded.url}/api/namespaces", json={"name": "guarded"}, headers=as_admin())
    assert made.status_code == 200, made.text
    return made.json()["token"]


def logs_of(flux) -> dict[Path, str]:
    """Return all that Flux and Ray have written for people."""
    paths = [*(flux.data / "logs").rglob("*"), *Path(flux.run.ray_folder).glob("ray/session_*/logs/**/*")]
    return {path: path.read_text(errors="replace") for path in [*paths, flux.output] if path.is_file()}


# -- files and processes ---------------------------------------------------------------------------


def test_every_file_is_for_its_owner_alone(guarded, client, token):
    for number in range(20):
        body = event(f"guarded/{number}", {"text": "x" * 200_000})
        client.post("/api/events", json=body, headers=as_admin(token))
    guarded.stop()  # it leaves snapshots
    guarded.start()
    made = [guarded.data, *guarded.data.rglob("*")]
    modes = {}
    for path in made:
        with suppress(FileNotFoundError):  # NATS goes on
            modes[str(path)] = path.stat().st_mode
    assert {path: oct(mode) for path, mode in modes.items() if mode & 0o077} == {}
    names = {path.name for path in made}
    assert names >= {"lock", "run.json", "ray-token", "server.conf", "nats.log", "launcher.log", "snapshots"}
    assert any(name.endswith(".flux") for name in names)
    ray_folder = Path(guarded.run.ray_folder)
    assert ray_folder.stat().st_mode & 0o077 == 0  # nobody else gets to what Ray opens to all below it
    assert [path.name for path in ray_folder.iterdir()] == ["ray"]


def test_no_secret_is_in_a_log_an_answer_or_the_list_of_processes(guarded, client, token):
    password = (
        (guarded.data / "nats" / "server.conf").read_text().partition('password: "')[2].partition('"')[0]
    )
    ray_token = (guarded.data / "ray-token").read_text()
    secrets = {"admin": ADMIN, "token": token, "password": password, "ray": ray_token, "key": KEY}
    secrets |= {"wrong": "wrong-sekret-4711", "half": token[: len(token) // 2]}
    with httpx.Client(base_url=f"http://127.0.0.1:{guarded.serve_port}", timeout=10) as proxy:
        answers = [
            answer.text + str(answer.headers)
            for value in (ADMIN, token, secrets["wrong"])
            for entrance in (client, proxy)
            for answer in odd_requests(entrance, value)
        ]
    for value in (ADMIN, token, secrets["wrong"]):
        send_odd_bytes(guarded, value.encode())
    lines, variables = [], []
    for process in of_run(guarded.run.run_id):
        with suppress(psutil.NoSuchProcess):  # Ray ends workers that idle
            lines.append(" ".join(process.cmdline()))
            variables.append(str(process.environ()))
    logged = logs_of(guarded)
    assert lines
    assert len(logged) > 5
    for name, secret in secrets.items():
        assert len(secret) > 15
        assert [answer for answer in answers if secret in answer] == [], name
        assert [line for line in lines if secret in line] == [], name
        assert [text for text in variables if secret in text] == [], name
        assert [path for path, text in logged.items() if secret in text] == [], name


@pytest.mark.parametrize("name", ["token", "access_token", "authorization", "bearer", "api_key"])
def test_a_token_in_a_url_is_none(guarded, client, token, name):
    body = event("guarded/e", {"a": 1})
    assert client.post(f"/api/events?{name}={token}", json=body).status_code == 401
    assert client.put(f"{CONFIG}?{name}={ADMIN}", json={}).status_code == 401
    with connect(f"{guarded.ws_url}?{name}={token}", proxy=None) as connection:
        watcher = Watcher(connection)
        watcher.subscribe("nobody/at-all")
        watcher.send(type="publish", id=1, **body)
        assert watcher.next()["type"] == "error"


def test_no_process_has_hashes_that_can_be_foreseen(guarded):
    seeds = set()
    for process in of_run(guarded.run.run_id):
        with suppress(psutil.NoSuchProcess):  # Ray ends workers that idle
            seeds.add(process.environ().get("PYTHONHASHSEED"))
    assert seeds
    assert seeds <= {None, "random"}


# -- who can be reached without a secret -----------------------------------------------------------


def nats_port(flux) -> int:
    return int(flux.run.nats_url.rpartition(":")[2])


@pytest.mark.parametrize(
    "greeting",
    [
        b'CONNECT {"verbose":false}\r\nPING\r\n',
        b'CONNECT {"user":"flux","pass":""}\r\nPING\r\n',
        b'CONNECT {"user":"flux","pass":"flux"}\r\nPING\r\n',
        b"SUB > 1\r\nPING\r\n",
        b"PUB flux.events.0 1\r\nx\r\nPING\r\n",
    ],
    ids=["nobody", "no password", "a wrong password", "a subscription", "an event"],
)
def test_the_log_is_not_reachable_without_its_password(guarded, greeting):
    with socket.create_connection(("127.0.0.1", nats_port(guarded)), 5) as connection:
        assert b'"auth_required":true' in connection.recv(65_536)
        connection.sendall(greeting)
        heard = b""
        while part := connection.recv(65_536):
            heard += part
    assert b"Authorization Violation" in heard
    assert b"PONG" not in heard


def test_the_log_listens_for_this_machine_alone(guarded):
    config = (guarded.data / "nats" / "server.conf").read_text()
    assert "host: 127.0.0.1" in config
    assert "http" not in config  # no monitoring port, which asks for no password


def test_ray_is_not_reachable_without_its_token(guarded):
    code = f"import ray; ray.init(address={guarded.run.ray_address!r}); print(ray.nodes())"
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=clean_environment() | ray_environment(Path("none")) | {"RAY_AUTH_MODE": "disabled"},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert run.returncode != 0
    assert "NodeID" not in run.stdout


def test_everything_listens_on_this_machine_alone(guarded):
    """Ray makes the machine's own address of 127.0.0.1 if it is let, and Serve's replicas listen on all."""
    found = {(one.laddr.ip, one.laddr.port) for one in listening_of(guarded)}
    assert (guarded.host, guarded.port) in found
    assert len(found) > 8
    assert {ip for ip, _ in found} <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def listening_of(flux) -> list[Any]:
    """Return the listening sockets of all processes of a run."""
    found = []
    for process in of_run(flux.run.run_id):
        with suppress(psutil.NoSuchProcess):
            found += [s for s in process.net_connections(kind="inet") if s.status == psutil.CONN_LISTEN]
    return found


def test_no_port_unpickles_what_a_stranger_sends(guarded, tmp_path):
    """Replicas of Serve would do so for whoever has Ray's token, or for everybody where Ray asks for none."""
    exploded = tmp_path / "exploded"
    request = ASGIRequest(pickled_request_metadata=pickle.dumps(Bomb(exploded)))
    for port in sorted({one.laddr.port for one in listening_of(guarded)}):
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, pytest.raises(grpc.RpcError):
            ASGIServiceStub(channel).HandleRequest(request, timeout=2)
    assert not exploded.exists()


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self._path,))


def test_a_pickle_of_a_client_is_never_loaded(guarded, client, tmp_path):
    bomb = pickle.dumps(Bomb(tmp_path / "exploded"))
    for path in ("/api/events", "/api/events/batch", "/api/state/entities/get", "/api/namespaces"):
        for kind in ("application/octet-stream", "application/x-python-pickle", "application/json"):
            answer = client.post(path, content=bomb, headers=as_admin() | {"Content-Type": kind})
            assert answer.status_code in {400, 401}
    assert not (tmp_path / "exploded").exists()
    pickle.loads(bomb)  # noqa: S301 - it would have worked
    assert (tmp_path / "exploded").exists()


# -- the admin -------------------------------------------------------------------------------------


@pytest.mark.parametrize("entrance", ["port", "serve_port"])
def test_this_machine_too_needs_the_token_once_there_is_one(guarded, entrance):
    url = f"http://127.0.0.1:{getattr(guarded, entrance)}{CONFIG}"
    for headers in ({}, as_admin("wrong"), {"Authorization": ADMIN}, {"X-Forwarded-For": "127.0.0.1"}):
        assert httpx.put(url, json={"rate_limit_enabled": False}, headers=headers).status_code == 401
    assert httpx.put(url, json={}, headers=as_admin()).status_code == 200


def test_what_a_proxy_passes_on_does_not_come_from_this_machine(flux):
    """At both entrances; Serve's own proxy believes what a proxy on this machine says of its client."""
    for port in (flux.port, flux.serve_port):
        url = f"http://127.0.0.1:{port}{CONFIG}"
        for headers in ({"X-Forwarded-For": "203.0.113.7"}, {"X-Forwarded-For": "127.0.0.1"}):
            answer = httpx.put(url, json={"rate_limit_enabled": False}, headers=headers)
            assert answer.status_code == 403, (port, headers)
        assert httpx.put(url, json={}).status_code == 200
    assert httpx.get(f"{flux.url}{CONFIG}").json()["rate_limit_enabled"] is True


def test_a_change_of_the_config_is_in_the_audit_record_and_its_history(guarded, client, eventually):
    for value in (777, 10_000):
        change = {"rate_limit_per_namespace_per_minute": value}
        assert client.put(CONFIG, json=change, headers=as_admin()).status_code == 200

    def newest() -> dict:
        return client.get(AUDIT, headers=as_admin()).json().get("properties", {})

    name = "rate_limit_per_namespace_per_minute"
    eventually(lambda: newest().get("details") == {name: {"from": 777, "to": 10_000}})
    assert (newest()["who"], newest()["what"]) == ("admin token", "config.change")
    events = client.get("/api/events?entity=flux-core/audit", headers=as_admin()).json()
    told = [event["payload"]["properties"]["details"] for event in events[:2]]
    assert told == [{name: {"from": 777, "to": 10_000}}, {name: {"from": 10_000, "to": 777}}]
    assert {event["stream"] for event in events} == {"flux.audit"}


# -- browsers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("entrance", ["port", "serve_port"])
def test_pages_of_the_named_origins_alone_may_read(guarded, entrance):
    url = f"http://127.0.0.1:{getattr(guarded, entrance)}/api/health"
    for origin, allowed in (
        ("https://mine.example", "https://mine.example"),
        ("https://other.example", None),
    ):
        answer = httpx.get(url, headers={"Origin": origin})
        assert answer.headers.get("access-control-allow-origin") == allowed
        asked = {"Origin": origin, "Access-Control-Request-Method": "PUT"}
        assert (httpx.options(url, headers=asked).status_code == 200) == (allowed is not None)


@pytest.mark.parametrize("entrance", ["port", "serve_port"])
@pytest.mark.parametrize("path", ["/api/health", "/nowhere", "/docs", AUDIT, "/openapi.json"])
def test_browsers_are_told_what_they_must_not_do(guarded, entrance, path):
    answer = httpx.get(f"http://127.0.0.1:{getattr(guarded, entrance)}{path}")
    assert answer.headers.get_list("x-content-type-options") == ["nosniff"]
    assert answer.headers.get_list("cache-control") == ["no-store"]
    assert ("content-security-policy" in answer.headers) == (path == "/docs")
    assert "server" not in answer.headers or answer.headers["server"] == "uvicorn"  # Serve's proxy says so


def test_a_refusal_of_the_protocol_bears_the_headers_as_well(guarded):
    with RawConnection(guarded.port) as connection:
        connection.send(b"nonsense\r\n\r\n")
        headers = connection.answer().headers
    assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")
    assert "date" in headers


# -- crowds ----------------------------------------------------------------------------------------


def test_connections_beyond_the_bound_are_503_and_the_others_go_on(guarded, eventually):
    with ExitStack() as stack:
        inside = []
        while len(inside) < CONNECTIONS:  # other tests' connections may still be leaving
            connection = RawConnection(guarded.port)
            connection.send(HEALTH)
            if connection.answer().status_code == 200:
                inside.append(stack.enter_context(connection))
            else:
                connection.socket.close()
        for _ in range(10):
            with RawConnection(guarded.port) as outside:
                answer = outside.answer()  # before anything was asked
                assert answer.status_code == 503
                assert answer.headers["retry-after"] == "5"
                assert "all the connections it can take" in answer.json()["error"]
                assert outside.closed_by_server()
        for connection in inside:
            connection.send(HEALTH)
            assert connection.answer().status_code == 200
    eventually(lambda: _answers(guarded.url), 10)


def test_sockets_beyond_their_bound_are_503_and_leave_room_for_requests(guarded, client, eventually):
    with ExitStack() as stack:
        for _ in range(SOCKETS):
            stack.enter_context(connect(guarded.ws_url, proxy=None))
        with pytest.raises(InvalidStatus) as refused:
            connect(guarded.ws_url, proxy=None)
        assert refused.value.response.status_code == 503
        assert refused.value.response.headers["Retry-After"] == "5"
        assert client.get("/api/live").status_code == 200

    def opens() -> bool:
        try:
            with connect(guarded.ws_url, proxy=None):
                return True
        except InvalidStatus:
            return False

    eventually(opens, 10)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/health").status_code == 200
    except httpx.TransportError:
        return False


def test_a_publish_that_trickles_in_holds_up_nobody(guarded, client, token):
    body = b'{"stream":"a","source":"b","payload":{"entity_id":"guarded/e","properties":{"n":1}}}'
    whole = post(body, b"Authorization: Bearer " + token.encode())
    with RawConnection(guarded.port) as slow:
        slow.send(whole[:-1])
        for _ in range(3):
            assert client.get("/api/live").elapsed.total_seconds() < busy()
        slow.send(whole[-1:])
        assert slow.answer().status_code == 200
