"""Flux as an application that Serve deploys by itself: where its settings come from, and what it lacks."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ray.serve._private.api import call_user_app_builder_with_args_if_necessary
from ray.serve._private.build_app import build_app

from flux_actors.errors import Refused
from flux_cluster import serving
from flux_cluster.serving import OWNER, build, settings_of

ARGUMENTS = {"nats_url": ["nats://a:4222", "nats://b:4222"], "data": "/srv/flux", "shards": 3}


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch):
    monkeypatch.setattr(serving, "ray", SimpleNamespace(is_initialized=lambda: False))
    monkeypatch.setattr(serving.os, "environ", {})


def arguments_of(app):
    """Return what the doors of an application are made with."""
    return app._bound_deployment.init_args  # noqa: SLF001 - Serve shows it nowhere else


def test_serve_builds_it_from_the_arguments_of_a_config():
    app = call_user_app_builder_with_args_if_necessary(build, ARGUMENTS)
    settings, access, plan = arguments_of(app)
    assert access.servers == ["nats://a:4222", "nats://b:4222"]
    assert (settings.shards, plan.shards, plan.owner) == (3, 3, OWNER)
    assert plan.made_us > 0
    assert [deployment.name for deployment in build_app(app, name="flux").deployments] == ["door"]


def test_serve_build_finds_it_by_name_with_settings_from_the_environment(monkeypatch):
    monkeypatch.setattr(
        serving.os, "environ", {"FLUX_NATS_URL": "nats://a:4222", "FLUX_DATA": "/d", "FLUX_SHARDS": "5"}
    )
    assert arguments_of(serving.app)[0].shards == 5
    with pytest.raises(AttributeError):
        _ = serving.application_of_another_name


def test_the_nodes_of_its_cluster_say_whether_doors_go_by_them(monkeypatch):
    nodes = [{"Alive": True, "Resources": {"flux-door": 1.0}}]
    context = SimpleNamespace(get_session_name=lambda: "session_1")
    joined = SimpleNamespace(is_initialized=lambda: True, get_runtime_context=lambda: context)
    monkeypatch.setattr(serving, "ray", joined)
    monkeypatch.setattr(serving, "nodes_of_cluster", lambda: nodes)
    for asked, resources in ((None, {"flux-door": 1}), (False, None)):
        app = build(ARGUMENTS | {"door_resource": asked})
        options = app._bound_deployment.ray_actor_options  # noqa: SLF001 - as above
        assert options.get("resources") == resources
        assert app._bound_deployment.init_args[1].site == "session_1"  # noqa: SLF001 - as above


def test_variables_of_the_node_win_over_arguments_and_those_over_a_file(tmp_path):
    (tmp_path / "flux.yaml").write_text("shards: 1\ndoors: 2\npartitions: 3\n")
    environment = {"FLUX_CONFIG": str(tmp_path / "flux.yaml"), "FLUX_SHARDS": "9"}
    settings = settings_of(ARGUMENTS | {"doors": 8}, environment)
    assert (settings.shards, settings.doors, settings.partitions) == (9, 8, 3)
    assert settings.config == tmp_path / "flux.yaml"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"data": "/d"}, "needs a NATS of its own: set nats_url"),
        ({"nats_url": "nats://a"}, "set `data` to an absolute path"),
        (ARGUMENTS | {"snapshots": "here"}, "set `snapshots` to an absolute path"),
        (
            ARGUMENTS | {"shard": 1},
            "the arguments of the application: there is no setting `shard`; do you mean",
        ),
        (ARGUMENTS | {"admin_token": "x"}, "is a secret"),
        (ARGUMENTS | {"partitions": 0}, "the arguments of the application: partitions: Input"),
    ],
    ids=["no log", "no data", "snapshots", "unknown", "secret", "does not fit"],
)
def test_what_it_cannot_stand_on_is_refused(arguments, told):
    with pytest.raises(Refused, match=told):
        settings_of(arguments, {})


def test_snapshots_stand_in_the_data_folder_unless_told_otherwise():
    assert settings_of(ARGUMENTS, {}).snapshot_place == "/srv/flux/snapshots"
    assert settings_of(ARGUMENTS | {"snapshots": "s3://b/f"}, {}).snapshot_place == "s3://b/f"
