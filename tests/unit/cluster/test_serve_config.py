"""The Serve config that is written: one that Serve takes, and that says the same settings again."""

from __future__ import annotations

import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from flux_actors.settings_file import SettingsFile
from flux_actors.settings_loading import load_settings
from flux_cluster.serve_config import serve_config
from flux_cluster.serving import settings_of

FILE = {
    "host": "::",
    "serve_port": 8000,
    "data": "/srv/flux",
    "nats_url": ["nats://a:4222", "nats://b:4222"],
    "log_max_age": "30d",
    "partitions": 8,
    "auth_enabled": True,
    "admin_token_file": "/run/secrets/admin",
}


def written(environment=None, **changes):
    values = {name: value for name, value in (FILE | changes).items() if value is not None}
    settings = load_settings({}, environment or {}, SettingsFile(values), read_secrets=False)
    return serve_config(settings)


def test_serve_takes_it():
    config = ServeDeploySchema.model_validate(yaml.safe_load(written()))
    (application,) = config.applications
    assert (application.name, application.route_prefix) == ("flux", "/")
    assert (config.http_options.host, config.http_options.port) == ("::", 8000)


def test_it_says_what_was_set_and_nothing_else():
    arguments = yaml.safe_load(written({"FLUX_SHARDS": "3"}))["applications"][0]["args"]
    assert set(arguments) == {*FILE, "shards"}
    arguments.pop("admin_token_file")
    again = settings_of(arguments, {})
    assert (again.shards, again.partitions, again.log_max_age) == (3, 8, 30 * 86_400)


def test_serves_proxy_is_as_open_and_as_encrypted_as_was_asked():
    document = yaml.safe_load(written(serve_port=None, tls_cert="/c", tls_key="/k"))
    assert document["http_options"] == {
        "host": "127.0.0.1",
        "port": 8000,
        "ssl_certfile": "/c",
        "ssl_keyfile": "/k",
    }


@pytest.mark.parametrize("name", ["FLUX_ADMIN_TOKEN", "FLUX_NATS_PASSWORD"])
def test_it_holds_no_secret_and_says_which_the_nodes_need(name):
    text = written({name: "made-up-secret"}, admin_token_file=None)
    assert "made-up-secret" not in text
    assert f"give the nodes of the Ray cluster {name}" in text
