from __future__ import annotations

import pytest

from flux_actors.settings import Settings
from flux_api.whereabouts import url_of


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({"host": "0.0.0.0"}, "http://10.0.0.7:3000"),  # noqa: S104 - nobody listens
        ({"host": "::", "port": 3001}, "http://10.0.0.7:3001"),
        ({"host": "127.0.0.1"}, "http://127.0.0.1:3000"),
        ({"host": "fd00::1", "tls_cert": "c", "tls_key": "k"}, "https://[fd00::1]:3000"),
    ],
)
def test_a_door_is_where_it_listens_and_on_this_node_where_that_is_everywhere(settings, url):
    assert url_of(Settings(**settings), "10.0.0.7") == url
