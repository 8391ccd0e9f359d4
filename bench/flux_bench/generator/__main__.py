"""The generator's process: jobs come in on standard input, what came of them goes out on standard output.

Messages are msgpack. The collector is off: a pause of it would be told as a
latency of the server.
"""

from __future__ import annotations

import gc
import sys
import time

import msgspec
import uvloop

from flux_bench.generator.fan_out import fan_out
from flux_bench.generator.fetching import fetch
from flux_bench.generator.jobs import (
    Failed,
    FanOut,
    Fetch,
    Job,
    Publish,
    PublishOnSocket,
    Read,
    ReadBack,
    Seen,
    Told,
)
from flux_bench.generator.load import publish, read
from flux_bench.generator.seeing import read_back, see
from flux_bench.generator.socket_publisher import publish_on_socket
from flux_bench.generator.wire import read_message, write_message

_decode = msgspec.msgpack.Decoder(Job).decode
_encode = msgspec.msgpack.Encoder().encode


async def do(job: Job) -> Told:
    """Do one job."""
    match job:
        case Publish():
            return await publish(job)
        case Read():
            return await read(job)
        case PublishOnSocket():
            return await publish_on_socket(job)
        case FanOut():
            return await fan_out(job)
        case Seen():
            return await see(job)
        case ReadBack():
            return await read_back(job)
        case Fetch():
            return await fetch(job)


def obey(data: bytes) -> bytes:
    """Do the job in `data`, return the answer's bytes."""
    gc.collect()
    gc.disable()
    started = time.process_time()
    try:
        told = uvloop.run(do(_decode(data)))
        return _encode({"told": msgspec.structs.replace(told, cpu_s=time.process_time() - started)})
    except Failed as failure:
        return _encode({"failed": str(failure)})
    finally:
        gc.enable()


def main() -> None:
    """Serve until standard input ends."""
    while (data := read_message(sys.stdin.buffer)) is not None:
        write_message(sys.stdout.buffer, obey(data))


if __name__ == "__main__":
    main()
