"""Places in S3 for tests: a server of this run, and a prefix of its bucket that nobody else uses."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "made-up",
    "AWS_SECRET_ACCESS_KEY": "made-up",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@contextmanager
def s3_server() -> Iterator[dict[str, str]]:
    """Run a server; give the variables by which its clients find it."""
    command = [sys.executable, str(Path(__file__).parent / "s3_server.py")]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    with process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert url, "the S3 server did not start"
            yield CREDENTIALS | {"AWS_ENDPOINT_URL": url}
        finally:
            process.kill()


@contextmanager
def in_environment(variables: dict[str, str]) -> Iterator[None]:
    """Have this process use a server."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield


def fresh_url() -> str:
    """Return a place in which nothing is."""
    return f"s3://flux/{uuid.uuid4().hex}"
