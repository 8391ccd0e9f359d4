"""A server that speaks S3, in a process of its own that ends when its standard input does.

Prints its URL when it answers. The bucket `flux` is there.
"""

from __future__ import annotations

import sys
import urllib.request

from moto.server import ThreadedMotoServer


def main() -> None:
    """Serve until whoever started this one goes."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    urllib.request.urlopen(urllib.request.Request(f"{url}/flux", method="PUT"))  # noqa: S310 - our own
    sys.stdout.write(f"{url}\n")
    sys.stdout.flush()
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main()
