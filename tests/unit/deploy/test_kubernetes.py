"""The Kubernetes manifests: what the API server and KubeRay take, what Flux takes, and what was measured."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import ray
import yaml
from ray.serve.schema import ServeDeploySchema

from flux_actors import limits
from flux_actors.settings_file import read_settings_file
from flux_actors.settings_loading import load_settings
from flux_cluster.nats_server import binary
from flux_cluster.serve_config import serve_config
from tests.certificates import make_pair
from tests.unit.deploy.manifests import (
    KUBERNETES,
    bytes_of,
    documents,
    idle_megabytes,
    one,
    parsed_ray_start,
    pods_of_rayservice,
)

VERSION = "1.30"
SCHEMA = json.loads((Path(__file__).parent / "rayservice.schema.json").read_text())
RAYSERVICE = KUBERNETES / "rayservice.yaml"
MANIFESTS = [KUBERNETES / "nats.yaml", RAYSERVICE]
ORDINARY = [
    document for path in MANIFESTS for document in documents(path) if document["kind"] != "RayService"
]


@pytest.mark.parametrize(
    "document", ORDINARY, ids=lambda document: f"{document['kind']}-{document['metadata']['name']}"
)
def test_kubernetes_takes_it(document) -> None:
    kubernetes_validate.validate(document, VERSION, strict=True)


def test_a_mistake_would_be_found() -> None:
    mistaken = one(KUBERNETES / "nats.yaml", "StatefulSet")
    mistaken["spec"]["template"]["spec"]["containers"][0]["livenessProbes"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(mistaken, VERSION, strict=True)


def test_kuberay_takes_the_rayservice_and_kubernetes_its_pods() -> None:
    jsonschema.validate(one(RAYSERVICE, "RayService"), SCHEMA)
    for name, template in pods_of_rayservice().items():
        metadata = {"name": name, **template["metadata"]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
        kubernetes_validate.validate(pod, VERSION, strict=True)


def test_serve_takes_the_config_and_it_is_that_of_the_settings_file() -> None:
    text = one(RAYSERVICE, "RayService")["spec"]["serveConfigV2"]
    ServeDeploySchema.model_validate(yaml.safe_load(text))
    settings = load_settings({}, {}, read_settings_file(KUBERNETES / "flux.yaml"), read_secrets=False)
    assert text == serve_config(settings)


def test_its_ray_is_the_one_of_the_image() -> None:
    assert one(RAYSERVICE, "RayService")["spec"]["rayClusterConfig"]["rayVersion"] == ray.__version__


def test_ray_takes_the_parameters_of_its_nodes() -> None:
    cluster = one(RAYSERVICE, "RayService")["spec"]["rayClusterConfig"]
    (workers,) = cluster["workerGroupSpecs"]
    told = workers["rayStartParams"] | {"resources": yaml.safe_load(workers["rayStartParams"]["resources"])}
    worker = parsed_ray_start([f"--{name}={value}" for name, value in told.items() if value != "true"])
    assert json.loads(worker["resources"])["flux-door"] == 1
    head = cluster["headGroupSpec"]["rayStartParams"]
    assert parsed_ray_start(["--head", *(f"--{n}={v}" for n, v in head.items() if v != "true")])["head"]
    for name in ("disable-usage-stats",):
        assert parsed_ray_start(["--head", f"--{name}"])


def test_no_secret_is_there_and_every_file_that_settings_name_is_mounted() -> None:
    assert "Secret" not in {document["kind"] for path in MANIFESTS for document in documents(path)}
    settings = read_settings_file(KUBERNETES / "flux.yaml").values
    files = [Path(value) for value in settings.values() if isinstance(value, str) and value.startswith("/")]
    assert len(files) >= 7
    for template in pods_of_rayservice().values():
        (container,) = template["spec"]["containers"]
        mounts = [Path(mount["mountPath"]) for mount in container["volumeMounts"]]
        assert all(any(file.is_relative_to(mount) for mount in mounts) for file in files)


@pytest.mark.parametrize("name", ["head", "nodes"])
def test_a_pod_asks_for_what_was_measured_of_its_parts_and_for_entities(name: str) -> None:
    (container,) = pods_of_rayservice()[name]["spec"]["containers"]
    parts = {"head": ["Ray and the rest", "router"], "nodes": ["Ray and the rest", "door", "shard"]}[name]
    idle = sum(idle_megabytes()[part] for part in parts) * 1_000_000
    entities = {"head": 0, "nodes": 1_000_000 * 830}[name]
    asked = bytes_of(container["resources"]["requests"]["memory"])
    assert idle + entities < asked <= bytes_of(container["resources"]["limits"]["memory"])


def test_every_pod_runs_without_rights_and_has_its_probes() -> None:
    templates = {
        **pods_of_rayservice(),
        "nats": one(KUBERNETES / "nats.yaml", "StatefulSet")["spec"]["template"],
    }
    for name, template in templates.items():
        (container,) = template["spec"]["containers"]
        assert template["spec"]["securityContext"]["runAsNonRoot"], name
        assert container["securityContext"]["allowPrivilegeEscalation"] is False, name
        assert {"readinessProbe", "livenessProbe"} <= set(container), name


def test_budgets_and_services_choose_pods_that_there_are() -> None:
    pods = [*pods_of_rayservice().values(), one(KUBERNETES / "nats.yaml", "StatefulSet")["spec"]["template"]]
    labels = [pod["metadata"]["labels"].items() for pod in pods]
    for document in ORDINARY:
        spec = document["spec"]
        selector = spec.get("podSelector", spec.get("selector"))
        wanted = selector.get("matchLabels", selector)
        assert any(wanted.items() <= found for found in labels), document["metadata"]["name"]
    assert {d["metadata"]["name"] for d in ORDINARY if d["kind"] == "PodDisruptionBudget"} == {
        "flux-nats",
        "flux-nodes",
    }


def test_kustomize_is_told_files_that_there_are() -> None:
    (kustomization,) = documents(KUBERNETES / "kustomization.yaml")
    files = [
        *kustomization["resources"],
        *(f for g in kustomization["configMapGenerator"] for f in g["files"]),
    ]
    assert sorted(files) == ["nats.conf", "nats.yaml", "rayservice.yaml"]
    assert all((KUBERNETES / file).exists() for file in files)


def test_nats_takes_its_configuration(tmp_path: Path) -> None:
    pair = make_pair(tmp_path, "flux-nats-0.flux-nats")
    text = (KUBERNETES / "nats.conf").read_text()
    claim = one(KUBERNETES / "nats.yaml", "StatefulSet")["spec"]["volumeClaimTemplates"][0]
    claimed = bytes_of(claim["spec"]["resources"]["requests"]["storage"])
    assert f"max_file: {claimed * 9 // 10 // 1024**3}GB\n" in text
    for mounted, file in (("tls.crt", pair.certificate), ("tls.key", pair.key), ("ca.crt", pair.certificate)):
        text = text.replace(f"/etc/nats/tls/{mounted}", str(file))
    config = tmp_path / "nats.conf"
    config.write_text(text.replace("/data", str(tmp_path)).replace("/run/nats", str(tmp_path)))
    assert f"max_payload: {limits.nats_payload_bytes_max}\n" in text
    environment = {"PATH": os.environ["PATH"], "POD_NAME": "flux-nats-0", "NATS_PASSWORD": "made-up"}
    checked = subprocess.run(
        [binary(), "-t", "-c", config],
        env=environment,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
