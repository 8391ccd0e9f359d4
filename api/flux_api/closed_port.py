"""A port of Ray Serve that nobody needs, and that should not be open.

Every replica of Serve listens on a random port of all interfaces for calls of other deployments, and
unpickles what it is sent: for whoever has Ray's token, and on a cluster without one for everybody. Flux has
one deployment, which Serve's proxy reaches through Ray itself. So the port is not opened.
"""

from __future__ import annotations

from ray.serve._private import replica

_NO_PORT = 0


def close_replica_port() -> None:
    """Have the replica in this process open no port of its own; call it before the replica is ready.

    Raises:
        RuntimeError: this version of Ray opens the port in another way, and it would stay open.
    """
    if not hasattr(replica, "add_port_to_grpc_server"):
        raise RuntimeError("this version of Ray Serve opens its replicas' port in a way unknown to Flux")
    replica.add_port_to_grpc_server = _open_nothing


def _open_nothing(_: object, __: str) -> int:
    return _NO_PORT
