"""A replica of Serve opens no port of its own."""

from __future__ import annotations

import pytest
from ray.serve._private import replica

from flux_api.closed_port import close_replica_port


class Server:
    """A gRPC server that must not be given a port."""

    def __getattr__(self, name):
        pytest.fail(f"{name} was asked of the server")


def test_a_replica_that_would_open_its_port_opens_none(monkeypatch):
    monkeypatch.setattr(
        replica, "add_port_to_grpc_server", replica.add_port_to_grpc_server
    )  # put it back after
    close_replica_port()
    assert replica.add_port_to_grpc_server(Server(), "[::]:0") == 0


def test_another_way_to_open_it_stops_the_door(monkeypatch):
    monkeypatch.delattr(replica, "add_port_to_grpc_server")
    with pytest.raises(RuntimeError, match="unknown to Flux"):
        close_replica_port()
