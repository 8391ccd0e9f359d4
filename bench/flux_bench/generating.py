"""The generator's process, as the rest of the benchmark holds it."""

from __future__ import annotations

import subprocess
import sys
from typing import IO, Self, cast

import msgspec

from flux_actors.errors import Unavailable
from flux_bench.generator.jobs import Job, Told
from flux_bench.generator.wire import read_message, write_message


class _Answer(msgspec.Struct):
    told: Told | None = None
    failed: str = ""


_decode = msgspec.msgpack.Decoder(_Answer).decode
_encode = msgspec.msgpack.Encoder().encode


class Generator:
    """One process that makes load; it ends with the benchmark."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "flux_bench.generator"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the benchmark, which ends this process itself
        )

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def run(self, job: Job) -> Told:
        """Do a job and return what came of it.

        Raises:
            Unavailable: the server did not do its part.
        """
        self.begin(job)
        return self.end()

    def begin(self, job: Job) -> None:
        """Hand a job over; `end` waits for it."""
        write_message(cast("IO[bytes]", self._process.stdin), _encode(job))

    def end(self) -> Told:
        """Wait for the job that was begun."""
        data = read_message(cast("IO[bytes]", self._process.stdout))
        if data is None:
            raise Unavailable("the load generator ended; its own words are above")
        answer = _decode(data)
        if answer.told is None:
            raise Unavailable(answer.failed)
        return answer.told

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
