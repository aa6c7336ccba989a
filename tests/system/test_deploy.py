"""The files that run the project elsewhere agree with the code; needs no container engine."""

import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from service.settings import Settings

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
# Each of the others has an environment of its own.
OUR_LOCKS = [lock for lock in LOCKS if lock.stem not in ("peers", "generator", "supply", "triton")]


def read_yaml(path: str) -> Any:  # noqa: ANN401
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def compose_services() -> dict[str, dict[str, Any]]:
    services: dict[str, dict[str, Any]] = read_yaml("docker-compose.yml")["services"]
    return services


def pinned(lock: Path) -> dict[str, set[str]]:
    """Return each requirement's versions; one that depends on the Python version has two."""
    versions: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==(\S+)", lock.read_text(encoding="utf-8"), re.MULTILINE):
        versions.setdefault(name, set()).add(version)
    return versions


@pytest.mark.parametrize("name", compose_services())
def test_compose_gives_a_service_no_more_than_it_needs(name: str) -> None:
    service = compose_services()[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert "privileged" not in service
    # The edge is opened without the services behind it.
    opened_by = "EDGE_ADDRESS" if name == "edge" else "BIND_ADDRESS"
    assert all(port.startswith(f"${{{opened_by}:-127.0.0.1}}:") for port in service["ports"])


@pytest.mark.parametrize("name", compose_services())
def test_images_have_a_version_and_can_be_pinned_by_digest(name: str) -> None:
    service = compose_services()[name]
    if "build" in service:
        image = service["build"]["args"]["PYTHON_IMAGE"]
        dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
        assert f"ARG PYTHON_IMAGE={image.split(':-')[1].rstrip('}')}\n" in dockerfile
        assert set(re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)) == {"${PYTHON_IMAGE}"}
    else:
        image = service["image"]
    assert re.fullmatch(r"\$\{[A-Z]+_IMAGE:-[a-z/]+:v?\d[\w.-]+\}", image)


def test_every_image_is_asked_for_its_digest(tmp_path: Path) -> None:
    """By a docker that knows one digest, since the registries are elsewhere."""
    docker = tmp_path / "docker"
    docker.write_text('#!/bin/sh\n[ "$1 $2 $3" = "buildx imagetools inspect" ] && echo sha256:0123\n')
    docker.chmod(0o755)
    done = subprocess.run(
        ["sh", ROOT / "deploy/pin_images.sh"],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    found = dict(line.split("=") for line in done.stdout.splitlines())
    assert found.keys() == {"GRAFANA_IMAGE", "NGINX_IMAGE", "PROMETHEUS_IMAGE", "PYTHON_IMAGE"}
    assert all(image.endswith("@sha256:0123") for image in found.values())


def test_the_edge_waits_for_the_service_and_outlives_its_requests() -> None:
    services = compose_services()
    edge, service = services["edge"], services["chipvote"]
    assert edge["profiles"] == ["edge"]
    assert edge["depends_on"] == {"chipvote": {"condition": "service_healthy"}}
    assert edge["user"] == "101:101"
    assert edge["stop_grace_period"] == service["stop_grace_period"]


def test_bodies_take_at_most_a_quarter_of_the_memory_that_a_service_gets() -> None:
    limits = [service["mem_limit"] for name, service in compose_services().items() if "chipvote" in name]
    assert limits == ["${CHIPVOTE_MEMORY:-4g}"] * 2
    assert Settings().max_inflight_bytes == (4 << 30) // 4


def test_compose_mounts_files_that_exist() -> None:
    mounts = [volume for service in compose_services().values() for volume in service.get("volumes", [])]
    sources = [mount.split(":")[0] for mount in mounts if mount.startswith("./")]
    assert sources
    assert all((ROOT / source).exists() for source in sources)


def test_dockerfile_copies_only_what_the_context_holds() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE)
    copied = {source.rstrip("/") for sources in copies for source in sources.split()}
    in_context = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert copied <= in_context
    assert all((ROOT / source).exists() for source in copied)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_lock_has_hashes_and_no_address(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    assert not re.search(r"https?://|index-url|find-links|@ file", text)
    assert pinned(lock)
    assert all("--hash=sha256:" in entry for entry in re.split(r"\n(?=\S)", text) if entry.strip())


@pytest.mark.parametrize("lock", OUR_LOCKS, ids=lambda lock: lock.stem)
def test_locks_agree_so_that_they_fit_one_environment(lock: Path) -> None:
    ours, training = pinned(lock), pinned(ROOT / "requirements/training.txt")
    assert {name: ours[name] for name in ours.keys() & training.keys() if ours[name] != training[name]} == {}


def test_the_client_asks_for_no_other_versions_than_the_server() -> None:
    text = (ROOT / "service/client/pyproject.toml").read_text(encoding="utf-8")
    wanted = [Requirement(line) for line in tomllib.loads(text)["project"]["dependencies"]]
    server = floors()
    shared = [one for one in wanted if not one.marker]
    assert [one.name for one in shared] == ["httpx2", "anyio", "rich"]
    assert all(one.specifier == server[one.name].specifier for one in shared)


def floors() -> dict[str, Requirement]:
    """Return what pyproject.toml asks for, by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
    ]
    return {wanted.name: wanted for wanted in map(Requirement, lines)}


@pytest.mark.parametrize(
    ("name", "unsafe"),
    [
        ("lightning", "2.6.3"),  # malware
        ("onnx", "1.20.1"),  # CVE-2026-27489, CVE-2026-34446, CVE-2026-34447
        ("pillow", "12.3.0"),  # memory safety
        ("onnxruntime", "1.31.0"),  # answers were not tested
    ],
)
def test_what_is_not_safe_is_below_the_floor(name: str, unsafe: str) -> None:
    assert unsafe not in floors()[name].specifier


@pytest.mark.parametrize("lock", OUR_LOCKS, ids=lambda lock: lock.stem)
def test_locks_keep_the_floors(lock: Path) -> None:
    wanted = floors()
    below = {
        (name, version)
        for name, versions in pinned(lock).items()
        for version in versions
        if name in wanted and version not in wanted[name].specifier
    }
    assert below == set()


@pytest.mark.parametrize("variant", ["cpu", "gpu"])
def test_service_lock_holds_no_training_framework(variant: str) -> None:
    names = pinned(ROOT / f"requirements/service-{variant}.txt").keys()
    assert names.isdisjoint({"torch", "torchvision", "timm", "lightning", "onnx", "scikit-learn"})


def test_build_lock_is_for_the_declared_build_system() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"][
        "requires"
    ]
    wanted = (ROOT / "requirements/build.in").read_text(encoding="utf-8").split("#")[0].split()
    assert wanted == declared


def test_who_runs_the_service_for_others_says_that_it_asks_for_no_key() -> None:
    assert "CHIPVOTE_HOST=0.0.0.0" in (ROOT / "Dockerfile").read_text(encoding="utf-8")
    for name, service in compose_services().items():
        if "chipvote" in name:
            assert service["environment"]["CHIPVOTE_OPEN"] == "true"
