"""The dashboard is what its script prints, and every query in it finds what it asks for."""

import json
import math
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from service.metrics import Metrics
from tests.kit.fakes import BLACK, BLUE, GREEN, RED, encoded, picture
from tests.system.test_deploy import ROOT, compose_services, read_yaml

FOLDER = ROOT / "deploy/grafana"
PROMETHEUS = shutil.which("prometheus")
DASHBOARD = json.loads((FOLDER / "dashboards/chipvote.json").read_text(encoding="utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [
    pytest.param(target, id=f"{panel['title']} {target['refId']}")
    for panel in PANELS
    for target in panel["targets"]
]
SELECTOR = re.compile(r"\b([a-z_]+)\{([^}]*)\}")
GROUPED = re.compile(r"by \(([a-z_, ]+)\) \((?:rate\()?([a-z_]+)\{")
FILES = [encoded(picture(colour), "JPEG") for colour in (RED, GREEN, BLUE, BLACK)] + [b"", b"hello"]

Labels = dict[str, str]


def send_chips(client: httpx2.Client) -> None:
    """Good and bad ones, together and one by one."""
    together = client.post("/predict", files=[("chip", ("a.jpg", file)) for file in FILES])
    assert together.status_code == 200
    alone = [client.post("/predict", files={"chip": file}).status_code for file in FILES]
    assert alone == [200] * 4 + [400, 415]


@pytest.fixture(scope="module")
def served(client: httpx2.Client) -> dict[str, list[Labels]]:
    """Every sample's labels by its name, as Prometheus keeps them, after some predictions."""
    send_chips(client)
    on_a_gpu = Metrics().device_memory
    on_a_gpu.set_function(lambda: (1, 2))
    found: dict[str, list[Labels]] = {"up": [{}]}
    for family in (*text_string_to_metric_families(client.get("/metrics").text), *on_a_gpu.collect()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return {
        name: [{"job": "chipvote", "instance": "a", **labels} for labels in series]
        for name, series in found.items()
    }


def test_the_file_is_what_the_script_prints() -> None:
    script = FOLDER / "make_dashboard.py"
    printed = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True).stdout
    assert printed == (FOLDER / "dashboards/chipvote.json").read_text(encoding="utf-8"), (
        "run: python deploy/grafana/make_dashboard.py > deploy/grafana/dashboards/chipvote.json"
    )


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_says_what_it_shows(panel: dict[str, Any]) -> None:
    assert panel["title"] and panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["targets"]


def test_panels_have_places_and_numbers_of_their_own() -> None:
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in DASHBOARD["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells) == 24 * (1 + max(y for _, y in cells))
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


@pytest.mark.parametrize("target", QUERIES)
def test_a_query_asks_for_metrics_and_labels_that_are_served(
    target: dict[str, Any], served: dict[str, list[Labels]]
) -> None:
    selectors = SELECTOR.findall(target["expr"])
    assert selectors, "write every selector with braces, so that this test sees it"
    for metric, matchers in selectors:
        equal = dict(re.findall(r'([a-z_]+)="([^"]*)"', matchers))
        assert equal["job"] == "chipvote"
        assert any(equal.items() <= labels.items() for labels in served[metric]), (metric, equal)
        names = set(re.findall(r"([a-z_]+)(?:=|!=|=~|!~)\"", matchers))
        assert names <= served[metric][0].keys()
    for names, metric in GROUPED.findall(target["expr"]):
        assert set(names.split(", ")) <= served[metric][0].keys()
    told = set(re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", "")))
    kept = [set(names.split(", ")) for names, _ in GROUPED.findall(target["expr"])]
    assert told <= (kept[0] if kept else served[selectors[0][0]][0].keys())


def test_dashboard_and_its_data_source_find_each_other() -> None:
    (source,) = read_yaml("deploy/grafana/provisioning/datasources/prometheus.yml")["datasources"]
    assert {panel["datasource"]["uid"] for panel in PANELS} == {source["uid"]}
    assert source["url"] == "http://prometheus:9090"
    (provider,) = read_yaml("deploy/grafana/provisioning/dashboards/chipvote.yml")["providers"]
    folder = provider["options"]["path"]
    assert f"./deploy/grafana/dashboards:{folder}:ro" in compose_services()["grafana"]["volumes"]


def test_prometheus_scrapes_the_job_that_the_dashboard_shows() -> None:
    (job,) = read_yaml("deploy/prometheus/prometheus.yml")["scrape_configs"]
    assert job["job_name"] == "chipvote"
    (discovery,) = job["dns_sd_configs"]
    assert set(discovery["names"]) <= set(compose_services())


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[httpx2.Client]:
    """Scrape a service every second; yield a client of Prometheus."""
    job = {"job_name": "chipvote", "static_configs": [{"targets": [target]}]}
    config = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": [job]}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    options = {"config.file": "prometheus.yml", "storage.tsdb.path": "data", "web.listen-address": address}
    command = [str(PROMETHEUS), *(f"--{name}={value}" for name, value in options.items())]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL) as process:
        try:
            with httpx2.Client(base_url=f"http://{address}/api/v1", timeout=60) as client:
                yield client
        finally:
            process.terminate()


def values(database: httpx2.Client, expression: str) -> list[float]:
    """What a query finds in the last seconds; nothing while Prometheus starts."""
    for variable, there in (("$instance", ".*"), ("$__rate_interval", "5s"), ("$__range", "1m")):
        expression = expression.replace(variable, there)
    try:
        response = database.get("/query", params={"query": expression})
    except httpx2.TransportError:
        return []
    if response.status_code == 503:
        return []
    body = response.json()
    assert body["status"] == "success", (expression, body)
    return [float(series["value"][1]) for series in body["data"]["result"]]


@pytest.mark.slow
@pytest.mark.skipif(not PROMETHEUS, reason="prometheus is not installed (apt install prometheus)")
def test_every_query_finds_data_in_prometheus(client: httpx2.Client, tmp_path: Path) -> None:
    unit_of = {
        target["expr"]: panel["fieldConfig"]["defaults"]["unit"]
        for panel in PANELS
        for target in panel["targets"]
    }
    (on_a_gpu,) = (expression for expression in unit_of if "chipvote_device_memory_bytes" in expression)
    open_queries, deadline_s = unit_of.keys() - {on_a_gpu}, time.monotonic() + 300
    with prometheus(tmp_path, f"{client.base_url.host}:{client.base_url.port}") as database:
        while open_queries:
            assert time.monotonic() < deadline_s, open_queries
            send_chips(client)
            for expression in list(open_queries):
                found = values(database, expression)
                if found and all(map(math.isfinite, found)):
                    open_queries.remove(expression)
                    assert min(found) >= 0
                    assert max(found) <= 1 + 1e-9 or unit_of[expression] != "percentunit"
        assert values(database, on_a_gpu) == []
