"""Baseline B1's server: plain uvicorn with an app that does nothing.

`python -m flux_bench.empty_app PORT`
"""

from __future__ import annotations

import sys
from typing import Any

import uvicorn

_HEADERS = [(b"content-length", b"0")]


async def app(_scope: Any, _receive: Any, send: Any) -> None:
    """Answer 200 with an empty body."""
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": b""})


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="error",
    )
