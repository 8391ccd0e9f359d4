"""TLS: which files are taken, who is trusted, and that a new certificate is used without a start."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

import pytest

from flux_actors.errors import Refused
from flux_actors.tls import Certificate, trust_in, trust_in_authorities
from tests.certificates import Pair, make_pair


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return make_pair(tmp_path)


def greeted(server: ssl.SSLContext, client: ssl.SSLContext, name: str = "localhost") -> bytes:
    """Return the certificate that a client of `name` gets, after a handshake with a server."""
    ours, theirs = socket.socketpair()
    ours.settimeout(5)
    theirs.settimeout(5)

    def serve() -> None:
        try:
            with server.wrap_socket(theirs, server_side=True) as connection:
                connection.recv(1)
        except OSError:
            return  # the client did not like it, which it says itself

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(ours, server_hostname=name) as connection:
            return connection.getpeercert(binary_form=True) or b""
    finally:
        thread.join(5)


def test_a_pair_serves_those_who_trust_its_certificate(pair: Pair) -> None:
    server = Certificate(*pair).context
    assert greeted(server, trust_in_authorities(pair.certificate))
    assert greeted(server, trust_in(pair.certificate), "by.any.name")


def test_those_who_trust_another_certificate_go_away(pair: Pair, tmp_path: Path) -> None:
    server, other = Certificate(*pair).context, make_pair(tmp_path, "other")
    for client in (trust_in(other.certificate), trust_in_authorities(other.certificate)):
        with pytest.raises(ssl.SSLCertVerificationError):
            greeted(server, client)


def test_an_authority_does_not_vouch_for_other_names(pair: Pair) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        greeted(Certificate(*pair).context, trust_in_authorities(pair.certificate), "elsewhere.example")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_are_spoken(pair: Pair, version: ssl.TLSVersion) -> None:
    client = trust_in(pair.certificate)
    client.minimum_version = client.maximum_version = version
    assert greeted(Certificate(*pair).context, client)


def test_a_client_has_nothing_to_read_before_it_is_answered(pair: Pair) -> None:
    assert Certificate(*pair).context.num_tickets == 0


def test_nothing_older_is(pair: Pair) -> None:
    assert Certificate(*pair).context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert Certificate(*pair).context.options & ssl.OP_NO_RENEGOTIATION


@pytest.mark.parametrize(
    ("certificate", "key", "words"),
    [
        ("none.crt", "localhost.key", "certificate .*none.crt cannot be read .*--tls-cert"),
        ("localhost.crt", "none.key", "key .*none.key cannot be read .*--tls-key"),
        ("folder", "localhost.key", "cannot be read .*directory"),
        ("junk", "localhost.key", "junk holds no certificate in PEM form; check --tls-cert"),
        ("localhost.key", "localhost.key", "holds no certificate"),
        ("localhost.crt", "junk", "junk holds no private key in PEM form"),
        ("localhost.crt", "localhost.crt", "holds no private key"),
        ("localhost.crt", "other.key", "other.key does not belong to the certificate"),
        ("localhost.crt", "hidden.key", "hidden.key is encrypted"),
        ("empty", "localhost.key", "empty holds no certificate"),
        ("bytes", "localhost.key", "bytes holds no certificate"),
    ],
)
def test_files_that_do_not_fit_are_refused_by_name(
    pair: Pair, tmp_path: Path, certificate: str, key: str, words: str
) -> None:
    make_pair(tmp_path, "other")
    make_pair(tmp_path, "hidden", b"sesame")
    (tmp_path / "folder").mkdir()
    (tmp_path / "junk").write_text("-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n")
    (tmp_path / "empty").touch()
    (tmp_path / "bytes").write_bytes(bytes(range(256)))
    with pytest.raises(Refused, match=words) as caught:
        Certificate(tmp_path / certificate, tmp_path / key)
    assert "PRIVATE" not in caught.value.message


@pytest.mark.parametrize("trusting", [trust_in, trust_in_authorities])
def test_trust_needs_a_certificate(tmp_path: Path, trusting: object) -> None:
    assert callable(trusting)
    (tmp_path / "junk").write_text("nothing")
    for name in ("none", "junk"):
        with pytest.raises(Refused, match=name):
            trusting(tmp_path / name)


def test_without_a_file_the_authorities_of_the_machine_are_trusted() -> None:
    context = trust_in_authorities(None)
    assert context.check_hostname
    assert context.verify_mode == ssl.CERT_REQUIRED


def test_a_certificate_that_changed_is_used_from_then_on(pair: Pair, tmp_path: Path) -> None:
    certificate = Certificate(*pair)
    assert not certificate.refresh()
    before = greeted(certificate.context, trust_in(pair.certificate))
    renewed = make_pair(tmp_path, "renewed")
    renewed.certificate.replace(pair.certificate)
    renewed.key.replace(pair.key)
    assert certificate.refresh()
    assert not certificate.refresh()
    assert greeted(certificate.context, trust_in(pair.certificate)) != before


def test_a_change_that_does_not_fit_leaves_the_one_in_use(pair: Pair, tmp_path: Path) -> None:
    certificate = Certificate(*pair)
    trusting = trust_in(pair.certificate)
    before = greeted(certificate.context, trusting)
    make_pair(tmp_path, "other").certificate.replace(pair.certificate)
    with pytest.raises(Refused, match="does not belong"):
        certificate.refresh()
    assert greeted(certificate.context, trusting) == before
    assert not certificate.refresh()  # it is not told again each second
