"""Flux over TLS: the hot way, sockets, the command line and the supervisor; and what a start refuses."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from flux_actors.tls import trust_in, trust_in_authorities
from flux_cluster.data_folder import DataFolder
from tests.certificates import Pair, make_pair
from tests.integration.api.support import RawConnection, Watcher, body_of, event, post

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]
SCRIPT = Path(__file__).parents[2] / "scripts" / "flux.sh"
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> Pair:
    return make_pair(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def secured(make_module_flux, pair):
    flux = make_module_flux(["--tls-cert", str(pair.certificate), "--tls-key", str(pair.key)])
    flux.start()
    return flux


@pytest.fixture
def client(secured, pair):
    with httpx.Client(
        base_url=secured.url, verify=trust_in_authorities(pair.certificate), timeout=10
    ) as client:
        yield client


class TlsConnection(RawConnection):
    """A connection that sends exactly the bytes it is told to, encrypted."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        super().__init__(port)
        self.socket = context.wrap_socket(self.socket, server_hostname="localhost")


@pytest.fixture
def raw(secured, pair):
    with TlsConnection(secured.port, trust_in(pair.certificate)) as connection:
        yield connection


def run(secured, *arguments: str, ca: Path | None) -> subprocess.CompletedProcess[str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("FLUX_", "RAY_"))}
    trusting = {"FLUX_URL": secured.url, "FLUX_DATA": str(secured.data)}
    if ca is not None:
        trusting["FLUX_CA"] = str(ca)
    return subprocess.run(
        arguments, env=ours | trusting, capture_output=True, text=True, timeout=60, check=False
    )


def flux_command(secured, *arguments: str, ca: Path | None) -> subprocess.CompletedProcess[str]:
    return run(secured, sys.executable, "-m", "flux_actors", *arguments, ca=ca)


def test_reads_and_writes_go_over_it_the_hot_way_too(client, namespace):
    for number in range(4):  # from the second on their heads are known
        body = event(f"{namespace}/e", {"n": number})
        assert client.post("/api/events", json=body).status_code == 200
        batch = [event(f"{namespace}/b{n}", {"n": number}) for n in range(500)]
        assert client.post("/api/events/batch", json=batch).json()["successful"] == 500
    position = client.post("/api/events", json=event(f"{namespace}/e", {"n": 4})).headers["Flux-Position"]
    at_least = {"Flux-Position": position}
    for headers in (at_least, {}, {}):
        answer = client.get(f"/api/state/entities/{namespace}/e", headers=headers)
        assert answer.json()["properties"] == {"n": 4}


def test_a_large_body_and_a_large_answer_go_over_it(client, namespace):
    text = "x" * (MIB - 1000)
    answer = client.post("/api/events?wait=applied", json=event(f"{namespace}/large", {"text": text}))
    assert answer.json()["entity"]["properties"] == {"text": text}
    for _ in range(3):
        assert client.get(f"/api/state/entities/{namespace}/large").json()["properties"] == {"text": text}


def test_pipelined_requests_are_answered_in_order(raw, namespace):
    read = b"GET /api/state/entities/%s/e HTTP/1.1\r\nHost: a\r\n\r\n" % namespace.encode()
    raw.send(b"".join(post(body_of(namespace, n), path=b"/api/events?wait=applied") + read for n in range(9)))
    for n in range(9):
        assert raw.answer().json()["entity"]["properties"] == {"n": n}
        assert raw.answer().json()["properties"] == {"n": n}


def test_what_is_no_http_is_refused_in_the_shape_of_errors(raw):
    raw.send(b"nonsense\r\n\r\n")
    answer = raw.answer()
    assert (answer.status_code, list(answer.json())) == (400, ["error"])
    assert raw.closed_by_server()


def test_a_socket_watches_and_publishes(secured, pair, client, namespace):
    trusting = trust_in(pair.certificate)
    with connect(secured.ws_url, ssl=trusting, proxy=None) as connection:
        watcher = Watcher(connection)
        watcher.subscribe(f"{namespace}/*")
        client.post("/api/events", json=event(f"{namespace}/e", {"a": 1}))
        assert watcher.next()["value"] == 1
        watcher.send(type="publish", id=7, **event(f"{namespace}/e", {"a": 2}))
        assert {watcher.next()["type"], watcher.next()["type"]} == {"ack", "state_update"}


def test_the_command_line_works_with_the_authority_and_says_what_is_missing_without(secured, pair, namespace):
    published = flux_command(secured, "publish", f"{namespace}/e", "a:=1", "--wait", ca=pair.certificate)
    assert published.returncode == 0, published.stderr
    got = flux_command(secured, "get", f"{namespace}/e", "-o", "json", ca=pair.certificate)
    assert json.loads(got.stdout)["properties"] == {"a": 1}
    strange = flux_command(secured, "get", f"{namespace}/e", ca=None)
    assert strange.returncode == 1
    assert "is not trusted" in strange.stderr
    assert "FLUX_CA" in strange.stderr
    missing = flux_command(secured, "get", f"{namespace}/e", ca=pair.certificate.with_name("none"))
    assert "none cannot be read" in missing.stderr


def test_a_watch_works_with_the_authority_and_says_what_is_missing_without(secured, pair, namespace, client):
    strange = flux_command(secured, "watch", f"{namespace}/*", ca=None)
    assert "is not trusted" in strange.stderr
    client.post("/api/events?wait=applied", json=event(f"{namespace}/e", {"a": 1}))
    watching = flux_command(
        *(secured, "watch", f"{namespace}/*", "-o", "json", "--limit", "1"), ca=pair.certificate
    )
    assert f"{namespace}/e" in watching.stdout, watching.stderr


def test_the_script_for_shells_works_with_the_authority_and_says_what_is_missing_without(secured, pair):
    healthy = run(secured, str(SCRIPT), "health", ca=pair.certificate)
    assert json.loads(healthy.stdout)["status"] == "ok", healthy.stderr
    strange = run(secured, str(SCRIPT), "health", ca=None)
    assert strange.returncode == 1
    assert "FLUX_CA" in strange.stderr


def test_status_needs_no_authority_for_the_flux_of_this_machine(secured):
    status = flux_command(secured, "status", "-o", "json", ca=None)
    assert status.returncode == 0, status.stderr
    facts = json.loads(status.stdout)
    assert facts["url"] == f"https://localhost:{secured.port}"
    assert facts["serve"] == f"https://localhost:{secured.serve_port}"


def test_nothing_is_answered_in_the_clear_at_any_entrance(secured):
    for port in (secured.port, secured.serve_port):
        with RawConnection(port) as plain:
            plain.send(b"GET /api/health HTTP/1.1\r\nHost: a\r\n\r\n")
            try:
                assert b"HTTP" not in plain.socket.recv(65536)
            except ConnectionResetError:
                continue


def test_the_second_entrance_is_encrypted_with_the_same_certificate(secured, pair):
    url = f"https://localhost:{secured.serve_port}/api/health"
    assert httpx.get(url, verify=trust_in_authorities(pair.certificate)).json()["status"] == "ok"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_tls_is_refused(secured, pair, version):
    context = trust_in(pair.certificate)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with socket.create_connection(("127.0.0.1", secured.port), 10) as plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain, server_hostname="localhost")


def test_a_renewed_certificate_is_used_without_a_start(secured, pair, tmp_path, eventually):
    def served() -> str:
        with socket.create_connection(("127.0.0.1", secured.port), 10) as plain:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            with context.wrap_socket(plain, server_hostname="localhost") as connection:
                return ssl.DER_cert_to_PEM_cert(connection.getpeercert(binary_form=True) or b"")

    renewed = make_pair(tmp_path)
    wanted = renewed.certificate.read_text()
    before = served()
    renewed.key.replace(pair.key)
    renewed.certificate.replace(pair.certificate)
    eventually(lambda: served().strip() == wanted.strip(), 10)
    assert before.strip() != wanted.strip()
    assert flux_command(secured, "status", ca=None).returncode == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--tls-cert", "{0}/localhost.crt"], "both --tls-cert and --tls-key"),
        (["--tls-key", "{0}/localhost.key"], "both --tls-cert and --tls-key"),
        (["--tls-cert", "{0}/none", "--tls-key", "{0}/localhost.key"], "none cannot be read"),
        (["--tls-cert", "{0}/localhost.crt", "--tls-key", "{0}/none"], "none cannot be read"),
        (["--tls-cert", "{0}/localhost.crt", "--tls-key", "{0}/other.key"], "does not belong"),
        (["--tls-cert", "{0}/localhost.crt", "--tls-key", "{0}/other.key", "--detach"], "does not belong"),
    ],
    ids=["no key", "no certificate", "certificate missing", "key missing", "another key", "detached"],
)
def test_files_that_do_not_fit_stop_the_start_with_one_sentence(tmp_path, options, words):
    make_pair(tmp_path)
    make_pair(tmp_path, "other")
    given = [option.format(tmp_path) for option in options]
    command = [sys.executable, "-m", "flux_actors", "up", "--data", str(tmp_path / "data"), *given]
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("FLUX_", "RAY_"))}
    result = subprocess.run(command, env=ours, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    assert words in result.stderr
    assert "Traceback" not in result.stderr + result.stdout
    assert DataFolder(tmp_path / "data").run() is None
