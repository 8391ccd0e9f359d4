"""Heads that could be read in two ways are refused, whatever else they hold."""

from __future__ import annotations

import pytest

from flux_api.framing import framing_of, refusal_of

HOST = (b"host", b"x")


@pytest.mark.parametrize(
    ("version", "headers"),
    [
        ("0.9", [HOST]),
        ("2.0", [HOST]),
        ("1.1", [HOST, HOST]),
        ("1.1", [HOST, (b"x", b"y"), (b"host", b"other")]),
        ("1.1", [HOST, (b"transfer-encoding", b"gzip, chunked")]),
        ("1.1", [HOST, (b"transfer-encoding", b"identity, chunked")]),
        ("1.1", [HOST, (b"transfer-encoding", b"chunked;q=1")]),
        ("1.1", [HOST, (b"transfer-encoding", b"")]),
        ("1.0", [HOST, (b"transfer-encoding", b"chunked")]),
    ],
)
def test_a_head_that_is_not_plain_is_refused(version, headers):
    refused = refusal_of(version, headers)
    assert refused is not None
    assert refused.status == 400  # headers of any bytes are no fault of the server


@pytest.mark.parametrize(
    ("version", "headers"),
    [
        ("1.1", [HOST]),
        ("1.0", []),
        ("1.1", [HOST, (b"transfer-encoding", b"Chunked ")]),
        ("1.1", [HOST, (b"x-host", b"other"), (b"transfer_encoding", b"gzip")]),
        ("1.1", [HOST, (b"content-length", b"5")]),
    ],
)
def test_a_plain_head_is_taken(version, headers):
    assert refusal_of(version, headers) is None


def test_what_says_how_long_a_body_is():
    headers = [HOST, (b"content-length", b"5"), (b"te", b"chunked"), (b"transfer-encoding", b"chunked")]
    assert framing_of(headers) == [(b"content-length", b"5"), (b"transfer-encoding", b"chunked")]
