"""What kustomize makes of deploy/kubernetes keeps Kubernetes' schemas and agrees with the code."""

import json
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from service.metrics import Metrics
from service.settings import Settings
from tests.kit.serving import ROOT

FOLDER = ROOT / "deploy/kubernetes"
PROMTOOL = shutil.which("promtool")
SUFFIXES = {"cpu": "-cpu", "gpu": "-gpu"}
KINDS = {"Deployment", "HorizontalPodAutoscaler", "NetworkPolicy", "PodDisruptionBudget", "Service"}
# The oldest that knows a pause as `preStop`, and one of today.
VERSIONS = ("1.30", "1.37")

Object = dict[str, Any]


@cache
def no_kustomize() -> str:
    """Say why nothing can be built here; empty where it can."""
    if not shutil.which("kubectl"):
        return "kubectl is not installed (apt install kubernetes-client)"
    told = subprocess.run(["kubectl", "version", "--client", "-o", "json"], capture_output=True, text=True)
    version = json.loads(told.stdout).get("kustomizeVersion", "v2")
    return "" if int(version.lstrip("v").split(".")[0]) >= 5 else f"kubectl brings kustomize {version}, not 5"


@pytest.fixture(autouse=True)
def needs_kustomize() -> None:
    if reason := no_kustomize():
        pytest.skip(reason)


@cache
def built(folder: Path) -> dict[str, Object]:
    """Build a kustomization; return its objects by kind."""
    made = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    assert made.stderr == "", "kustomize warns of what it will take no more"
    return {found["kind"]: found for found in yaml.safe_load_all(made.stdout)}


def pod(objects: dict[str, Object]) -> Object:
    spec: Object = objects["Deployment"]["spec"]["template"]["spec"]
    return spec


def service(objects: dict[str, Object]) -> Object:
    (container,) = pod(objects)["containers"]
    return dict(container)


def environment(objects: dict[str, Object]) -> dict[str, str]:
    return {one["name"]: one["value"] for one in service(objects)["env"]}


@pytest.fixture(params=SUFFIXES)
def overlay(request: pytest.FixtureRequest) -> dict[str, Object]:
    return built(FOLDER / "overlays" / request.param)


@pytest.fixture(scope="module")
def readme_example(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Object]:
    """What the README's own example makes: the CPU overlay with every component."""
    (text,) = re.findall(r"```yaml\n(.*?)```", (FOLDER / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    place = tmp_path_factory.mktemp("cluster")
    shutil.copytree(FOLDER, place / "deploy/kubernetes")
    (place / "mine").mkdir()
    (place / "mine/kustomization.yaml").write_text(text.replace("sha256:…", f"sha256:{'0' * 64}"))
    return built(place / "mine")


def validate(objects: dict[str, Object]) -> None:
    for found in objects.values():
        for version in VERSIONS:
            kubernetes_validate.validate(found, version, strict=True)


def test_every_object_keeps_kubernetes_schemas(overlay: dict[str, Object]) -> None:
    assert overlay.keys() == KINDS
    validate(overlay)


def test_a_word_that_kubernetes_does_not_know_is_found(overlay: dict[str, Object]) -> None:
    wrong = json.loads(json.dumps(overlay["Deployment"]))
    wrong["spec"]["template"]["spec"]["terminationGracePeriod"] = 40
    with pytest.raises(kubernetes_validate.ValidationError, match="terminationGracePeriod"):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_both_overlays_may_share_a_namespace() -> None:
    cpu, gpu = (built(FOLDER / "overlays" / name) for name in SUFFIXES)
    for kind in KINDS:
        assert cpu[kind]["metadata"]["name"] != gpu[kind]["metadata"]["name"]
    labels = gpu["Deployment"]["spec"]["template"]["metadata"]["labels"].items()
    assert not cpu["Service"]["spec"]["selector"].items() <= labels
    assert not cpu["Deployment"]["spec"]["selector"]["matchLabels"].items() <= labels


def test_whatever_selects_pods_selects_these(overlay: dict[str, Object]) -> None:
    labels = overlay["Deployment"]["spec"]["template"]["metadata"]["labels"]
    selectors = [
        overlay["Deployment"]["spec"]["selector"]["matchLabels"],
        overlay["Service"]["spec"]["selector"],
        overlay["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        overlay["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        *(spread["labelSelector"]["matchLabels"] for spread in pod(overlay)["topologySpreadConstraints"]),
    ]
    assert all(selector == labels for selector in selectors)
    scaled = overlay["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert scaled == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": overlay["Deployment"]["metadata"]["name"],
    }


@pytest.mark.parametrize(("name", "tag", "device"), [("cpu", "cpu", "cpu"), ("gpu", "cuda", "cuda")])
def test_an_overlay_has_the_image_of_its_processor(name: str, tag: str, device: str) -> None:
    objects = built(FOLDER / "overlays" / name)
    assert service(objects)["image"] == f"chipvote:{tag}"
    assert environment(objects)["CHIPVOTE_DEVICE"] == device
    assert ("nvidia.com/gpu" in service(objects)["resources"]["limits"]) == (name == "gpu")


def test_settings_are_known_and_take_their_values(
    overlay: dict[str, Object], readme_example: dict[str, Object]
) -> None:
    for objects in (overlay, readme_example):
        given = {name.removeprefix("CHIPVOTE_").lower(): at for name, at in environment(objects).items()}
        Settings.model_validate(given)


def test_probes_are_routes(overlay: dict[str, Object]) -> None:
    container = service(overlay)
    probes = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")}
    assert {kind: probe["path"] for kind, probe in probes.items()} == {
        "startup": "/health/ready",
        "readiness": "/health/ready",
        "liveness": "/health/live",
    }
    assert {probe["port"] for probe in probes.values()} == {container["ports"][0]["name"]}


def test_a_pod_that_ends_has_time_for_all_it_accepted(overlay: dict[str, Object]) -> None:
    pause_s = service(overlay)["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod(overlay)["terminationGracePeriodSeconds"] >= pause_s + Settings().shutdown_s + 5
    # By then it is known to load balancers, even to those who ask as often as this probe.
    assert pause_s >= service(overlay)["readinessProbe"]["periodSeconds"]


def test_bodies_take_at_most_a_quarter_of_the_memory(overlay: dict[str, Object]) -> None:
    assert service(overlay)["resources"]["limits"]["memory"] == "4Gi"
    assert Settings().max_inflight_bytes == (4 << 30) // 4


def test_a_pod_may_do_no_more_than_it_needs(
    overlay: dict[str, Object], readme_example: dict[str, Object]
) -> None:
    for objects in (overlay, readme_example):
        spec = pod(objects)
        assert spec["securityContext"] == {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "runAsGroup": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        assert spec["automountServiceAccountToken"] is False
        assert {"hostNetwork", "hostPID", "hostIPC"}.isdisjoint(spec)
        for container in (*spec["containers"], *spec.get("initContainers", [])):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"].keys() >= {"memory", "ephemeral-storage"}
        written = {one["name"] for one in service(objects)["volumeMounts"] if not one.get("readOnly")}
        (tmp,) = (volume for volume in spec["volumes"] if volume["name"] in written)
        assert "sizeLimit" in tmp["emptyDir"]


def test_a_pod_is_called_on_one_port_and_calls_nobody(overlay: dict[str, Object]) -> None:
    policy = overlay["NetworkPolicy"]["spec"]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    assert policy["egress"] == []
    (rule,) = policy["ingress"]
    assert rule["from"]
    assert rule["ports"] == [{"protocol": "TCP", "port": service(overlay)["ports"][0]["name"]}]


def test_emptying_a_node_leaves_a_pod(overlay: dict[str, Object]) -> None:
    budget, scaler = (overlay[kind]["spec"] for kind in ("PodDisruptionBudget", "HorizontalPodAutoscaler"))
    assert 1 <= budget["maxUnavailable"] < scaler["minReplicas"] < scaler["maxReplicas"]
    assert "replicas" not in overlay["Deployment"]["spec"]


def test_without_keys_it_says_so_and_with_keys_it_asks(
    overlay: dict[str, Object], readme_example: dict[str, Object]
) -> None:
    assert environment(overlay)["CHIPVOTE_OPEN"] == "true"
    given, mounts = environment(readme_example), service(readme_example)["volumeMounts"]
    assert "CHIPVOTE_OPEN" not in given
    (volume,) = (one for one in pod(readme_example)["volumes"] if "secret" in one)
    (mount,) = (one for one in mounts if one["name"] == volume["name"])
    assert Path(given["CHIPVOTE_KEYS"]).parent == Path(mount["mountPath"])
    assert "readOnly" in mount


def test_another_bundle_is_copied_to_where_it_is_served_from(readme_example: dict[str, Object]) -> None:
    validate(readme_example)
    (copying,) = pod(readme_example)["initContainers"]
    assert copying["image"] == f"registry.example/bundle@sha256:{'0' * 64}"
    place = environment(readme_example)["CHIPVOTE_BUNDLE"]
    assert copying["command"][-1] == place
    (there,), (here,) = (
        [mount for mount in container["volumeMounts"] if mount["mountPath"] == place]
        for container in (copying, service(readme_example))
    )
    assert there["name"] == here["name"]
    assert here["readOnly"]


def adapted() -> Object:
    (rule,) = yaml.safe_load((FOLDER / "monitoring/adapter.yaml").read_text(encoding="utf-8"))["rules"][
        "custom"
    ]
    return dict(rule)


def test_the_autoscaler_asks_for_what_the_adapter_makes_of_a_metric_that_is_served(
    overlay: dict[str, Object],
) -> None:
    rule = adapted()
    (metric,) = overlay["HorizontalPodAutoscaler"]["spec"]["metrics"]
    assert metric["pods"]["metric"]["name"] == rule["name"]["as"]
    series = rule["seriesQuery"].split("{")[0]
    assert f"\n{series} " in Metrics().exposition().decode()
    assert int(metric["pods"]["target"]["averageValue"]) == Settings().max_batch


@pytest.mark.skipif(not PROMTOOL, reason="promtool is not installed (apt install prometheus)")
def test_the_adapter_s_query_is_each_pod_s_mean_of_a_minute(tmp_path: Path) -> None:
    rule = adapted()
    query = rule["metricsQuery"]
    asked = {
        "Series": rule["seriesQuery"].split("{")[0],
        "LabelMatchers": 'namespace="chips"',
        "GroupBy": "pod",
    }
    for name, text in asked.items():
        query = query.replace(f"<<.{name}>>", text)
    assert "<<" not in query
    series = 'chipvote_queue_chips{{job="chipvote", namespace="{}", pod="{}"}}'
    inputs = {("chips", "a"): "30 60 0 60 0", ("chips", "b"): "8x4", ("others", "c"): "99x4"}
    test = {
        "interval": "15s",
        "input_series": [{"series": series.format(*who), "values": said} for who, said in inputs.items()],
        "promql_expr_test": [
            {
                "expr": query,
                "eval_time": "1m",
                "exp_samples": [{"labels": '{pod="a"}', "value": 30}, {"labels": '{pod="b"}', "value": 8}],
            }
        ],
    }
    (tmp_path / "test.yaml").write_text(yaml.safe_dump({"tests": [test]}))
    ran = subprocess.run(
        [str(PROMTOOL), "test", "rules", tmp_path / "test.yaml"], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.skipif(not PROMTOOL, reason="promtool is not installed (apt install prometheus)")
def test_prometheus_takes_the_way_to_the_pods(tmp_path: Path) -> None:
    """Debian's knows no Kubernetes, so the pods are others here; what is told of each is not."""
    text = (FOLDER / "monitoring/scrape.yaml").read_text(encoding="utf-8")
    place = tmp_path / "prometheus.yml"
    place.write_text(text.replace("kubernetes_sd_configs: [{role: pod}]", "static_configs: [{targets: [a]}]"))
    ran = subprocess.run([str(PROMTOOL), "check", "config", place], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (job,) = yaml.safe_load(text)["scrape_configs"]
    assert job["job_name"] == "chipvote"
    assert {rule.get("target_label") for rule in job["relabel_configs"]} >= {"namespace", "pod", "instance"}
