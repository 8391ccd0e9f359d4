"""TLS of a door: its certificate and key, checked at the start and read again when they change.

Whoever runs on this machine (the supervisor, `flux status`) asks the door under the address it listens on,
which a certificate need not name. They trust that one certificate and nothing else, whatever it names.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

from flux_actors.errors import Refused

_ENCRYPTED: Final = "ENCRYPTED"
_PROTOCOLS: Final = ["http/1.1"]


class Certificate:
    """A certificate chain and its key, in PEM files, and the context of the connections that use them.

    Raises:
        Refused: a file is missing or unreadable, holds something else, or the key is another's.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = (certificate, key)
        self._stamps = self._stamps_now()
        self.context = _context(certificate, key)

    def refresh(self) -> bool:
        """Use the files as they are now, for connections from now on; return whether they had changed.

        Raises:
            Refused: they do not fit; what was in use stays.
        """
        stamps = self._stamps_now()
        if stamps == self._stamps:
            return False
        self._stamps = stamps
        _context(*self._files)  # refuses what does not fit before the context in use is touched
        self.context.load_cert_chain(*self._files)
        return True

    def _stamps_now(self) -> tuple[tuple[int, int, int], ...]:
        """Return what changes when a file is replaced or written."""
        stats = [path.stat() for path in self._files if path.exists()]
        return tuple((stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in stats)


def trust_in(certificate: Path) -> ssl.SSLContext:
    """Return a client's context that takes the server with just this certificate, under any name.

    Raises:
        Refused: the file cannot be read, or holds no certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # it need not be its own authority
    _load(context, _text(certificate, "certificate", "--tls-cert"), certificate, "--tls-cert")
    return context


def trust_in_authorities(file: Path | None) -> ssl.SSLContext:
    """Return a client's context that trusts the authorities in `file`, or those of this machine.

    Raises:
        Refused: the file cannot be read, or holds no certificate.
    """
    if file is None:
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _load(context, _text(file, "certificate", "FLUX_CA"), file, "FLUX_CA")
    return context


def client_context(authorities: Path | None, certificate: Path | None, key: Path | None) -> ssl.SSLContext:
    """Return the context of connections to NATS: by whom its servers are checked, and this client by them.

    Raises:
        Refused: a file cannot be read, or holds something else.
    """
    context = ssl.create_default_context() if authorities is None else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if authorities is not None:
        text = _text(authorities, "certificate", "FLUX_NATS_CA")
        _load(context, text, authorities, "FLUX_NATS_CA")
    if certificate is not None and key is not None:
        _text(certificate, "certificate", "FLUX_NATS_CERT")
        if _ENCRYPTED in _text(key, "key", "FLUX_NATS_KEY"):
            raise Refused(f"the key {key} is encrypted; give FLUX_NATS_KEY one without a passphrase")
        try:
            context.load_cert_chain(certificate, key)
        except ssl.SSLError:
            raise Refused(
                f"{certificate} and {key} are no certificate and its key in PEM form; check FLUX_NATS_CERT "
                "and FLUX_NATS_KEY"
            ) from None
    return context


def _context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    # Without tickets a client has nothing to read before it is answered. A threaded client of Python may
    # lose what it writes while it reads them: 1 of 360 WebSocket handshakes hung, without them none of 1,080.
    context.num_tickets = 0
    context.set_alpn_protocols(_PROTOCOLS)
    text = _text(certificate, "certificate", "--tls-cert")
    if _ENCRYPTED in _text(key, "key", "--tls-key"):
        raise Refused(f"the TLS key {key} is encrypted; give --tls-key one without a passphrase")
    _load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), text, certificate, "--tls-cert")
    try:
        context.load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        raise Refused(_reason(error, certificate, key)) from None
    return context


def _reason(error: ssl.SSLError, certificate: Path, key: Path) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"the TLS key {key} does not belong to the certificate {certificate}; check --tls-key"
    return f"the TLS key {key} holds no private key in PEM form that can be used; check --tls-key"


def _load(context: ssl.SSLContext, text: str, file: Path, option: str) -> None:
    try:
        context.load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError):
        raise Refused(f"{file} holds no certificate in PEM form; check {option}") from None


def _text(file: Path, what: str, option: str) -> str:
    try:
        return file.read_text("ascii", errors="ignore")
    except OSError as error:
        raise Refused(f"the TLS {what} {file} cannot be read ({error.strerror}); check {option}") from None
