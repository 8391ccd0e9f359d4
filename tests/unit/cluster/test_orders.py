"""Orders: they travel to the launcher as pickle, and no text of them shows a secret."""

from __future__ import annotations

import pickle

import pytest
from pydantic import SecretStr

from flux_actors.log.connection import NatsAccess
from flux_actors.settings import Settings
from flux_cluster.orders import Site, Start, Stop, Sweep

SITE = Site("127.0.0.1:6379", cluster_is_ours=True, owner="/data on machine")
ACCESS = NatsAccess("nats://127.0.0.1:4222", "flux", "secret-of-nats")
SETTINGS = Settings(admin_token=SecretStr("secret-of-admin"), nats_password=SecretStr("secret-of-nats"))
ORDERS = [Start(SITE, SETTINGS, ACCESS, 8000), Stop(SITE), Sweep(SITE)]


@pytest.mark.parametrize("orders", ORDERS, ids=lambda orders: type(orders).__name__)
def test_they_arrive_as_they_were_given(orders):
    assert pickle.loads(pickle.dumps(orders)) == orders  # noqa: S301 - our own


def test_they_carry_the_secrets_and_do_not_show_them():
    start = pickle.loads(pickle.dumps(ORDERS[0]))  # noqa: S301 - our own
    assert start.access.password == "secret-of-nats"
    assert start.settings.admin_token.get_secret_value() == "secret-of-admin"
    assert "secret-of" not in repr(start) + str(start)
