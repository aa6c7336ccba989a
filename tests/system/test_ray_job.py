"""The manifests for bulk work on Ray: pods keep Kubernetes' schemas, all else KubeRay's fields."""

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer.main

import service.cli  # noqa: F401 - its commands
from service.cli.console import app
from tests.kit.serving import ROOT
from tests.system.test_deploy import pinned
from tests.system.test_kubernetes import VERSIONS, built, no_kustomize

FOLDER = ROOT / "deploy/ray"
# What of KubeRay's ray.io/v1 is used here, with its types; templates are Kubernetes' own.
SPEC: dict[str, type] = {
    "entrypoint": str,
    "backoffLimit": int,
    "shutdownAfterJobFinishes": bool,
    "ttlSecondsAfterFinished": int,
    "rayClusterSpec": dict,
}
CLUSTER: dict[str, type] = {
    "rayVersion": str,
    "authOptions": dict,
    "enableInTreeAutoscaling": bool,
    "autoscalerOptions": dict,
    "headGroupSpec": dict,
    "workerGroupSpecs": list,
}
HEAD: dict[str, type] = {"rayStartParams": dict, "template": dict}
GROUP: dict[str, type] = HEAD | {
    "groupName": str,
    "replicas": int,
    "minReplicas": int,
    "maxReplicas": int,
}

Object = dict[str, Any]


@pytest.fixture(params=["base", "gpu", "README.md"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Object]:
    """Both kustomizations, and the README's example."""
    if reason := no_kustomize():
        pytest.skip(reason)
    if request.param != "README.md":
        return built(FOLDER / request.param)
    (text,) = re.findall(r"```yaml\n(.*?)```", (FOLDER / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    shutil.copytree(FOLDER, tmp_path / "deploy/ray")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/kustomization.yaml").write_text(text)
    return built(tmp_path / "mine")


@pytest.fixture
def cluster(objects: dict[str, Object]) -> Object:
    spec: Object = objects["RayJob"]["spec"]["rayClusterSpec"]
    return spec


def is_made_of(found: Object, fields: dict[str, type]) -> None:
    assert found.keys() == fields.keys()
    assert {name: type(found[name]) for name in found} == fields


def test_it_is_what_kuberay_knows(objects: dict[str, Object], cluster: Object) -> None:
    assert objects["RayJob"]["apiVersion"] == "ray.io/v1"
    is_made_of(objects["RayJob"]["spec"], SPEC)
    is_made_of(cluster, CLUSTER)
    is_made_of(cluster["headGroupSpec"], HEAD)
    for group in cluster["workerGroupSpecs"]:
        is_made_of(group, GROUP)
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())


def test_its_pods_and_its_volume_keep_kubernetes_schemas(objects: dict[str, Object], cluster: Object) -> None:
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = {"apiVersion": "v1", "kind": "Pod", **group["template"]}
        pod["metadata"] = {"name": "one", **pod["metadata"]}
        for version in VERSIONS:
            kubernetes_validate.validate(pod, version, strict=True)
    kubernetes_validate.validate(objects["PersistentVolumeClaim"], VERSIONS[-1], strict=True)
    (volume,) = cluster["headGroupSpec"]["template"]["spec"]["volumes"]
    claim = volume["persistentVolumeClaim"]["claimName"]
    assert claim == objects["PersistentVolumeClaim"]["metadata"]["name"]


def test_its_pods_may_do_no_more_than_they_need(cluster: Object) -> None:
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        spec = group["template"]["spec"]
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        (container,) = spec["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "memory" in container["resources"]["limits"]
    # The autoscaler, beside the head, asks Kubernetes for workers; they ask for nothing.
    workers = [group["template"]["spec"] for group in cluster["workerGroupSpecs"]]
    assert all(spec["automountServiceAccountToken"] is False for spec in workers)
    assert cluster["authOptions"] == {"mode": "token"}


def test_the_command_is_one_of_ours_and_writes_on_the_volume(
    objects: dict[str, Object], cluster: Object
) -> None:
    program, name, *words = shlex.split(objects["RayJob"]["spec"]["entrypoint"])
    assert program == "chipvote"
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    options = command.make_context(name, words).params
    assert options["ray"]
    (container,) = cluster["headGroupSpec"]["template"]["spec"]["containers"]
    (mount,) = container["volumeMounts"]
    assert Path(options["out"]).is_relative_to(mount["mountPath"])
    groups = {group["groupName"]: group for group in cluster["workerGroupSpecs"]}
    voting = groups.get("gpu", groups["cpu"])
    assert options["processes"] == voting["maxReplicas"]
    assert voting["minReplicas"] >= 1, "the command looks for them at its start"
    assert container["env"] == [
        {"name": "CHIPVOTE_DEVICE", "value": "cuda" if voting is groups.get("gpu") else "cpu"}
    ]


def test_the_image_s_ray_is_the_locked_one(cluster: Object) -> None:
    (locked,) = pinned(ROOT / "requirements/training.txt")["ray"]
    assert cluster["rayVersion"] == locked
    dockerfile = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
    assert f"ARG RAY_IMAGE=rayproject/ray:{locked}-py311\n" in dockerfile
