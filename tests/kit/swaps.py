"""A folder of bundles beside a service, and how a test swaps between them."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx2
import numpy as np

from service.contract.bundle import Bundle
from tests.kit.fakes import BLACK, BLUE, GREEN, RED, Linear, encoded, linear_members, make_bundle, picture

COLOURS = (RED, GREEN, BLUE, BLACK)
CHIPS = [encoded(picture(colour), "PNG") for colour in COLOURS]


def make_versions(root: Path, *versions: str, **options: Any) -> list[Bundle]:  # noqa: ANN401
    """Write bundles that differ by their version alone, each in a folder of that name."""
    return [make_bundle(root / version, version=version, **options) for version in versions]


def contrary_members() -> list[Linear]:
    """Members that are sure of every label that the usual ones do not see, and of no other."""
    return [Linear(-member.weights_CL, -member.bias_L) for member in linear_members()]


def hasty_members(labels: Sequence[int] = (3,)) -> list[Linear]:
    """Members that see some labels everywhere."""
    members = []
    for member in linear_members():
        bias_L, weights_CL = member.bias_L.copy(), member.weights_CL.copy()
        bias_L[list(labels)], weights_CL[:, list(labels)] = 9, 0
        members.append(Linear(weights_CL.astype(np.float32), bias_L.astype(np.float32)))
    return members


def ended(client: httpx2.Client, within_s: float = 600) -> dict[str, Any]:
    """Wait until the swap under way is done or refused; return what is loaded then."""
    until_s = time.monotonic() + within_s
    while time.monotonic() < until_s:
        found: dict[str, Any] = client.get("/swap").json()
        if found["job"]["step"] in ("done", "refused"):
            return found
        time.sleep(0.05)
    raise AssertionError(f"the swap did not end: {found}")


def swapped(client: httpx2.Client, bundle: str, path: str = "/swap", **query: float) -> dict[str, Any]:
    """Swap to a bundle, or have it tried, and wait for the end."""
    began = client.post(path, params={"bundle": bundle, **query})
    assert began.status_code == 202, began.text
    return ended(client)


def tried(client: httpx2.Client, chips: int, within_s: float = 600) -> None:
    """Wait until so many chips were answered unseen, too: after their answers were heard."""
    until_s = time.monotonic() + within_s
    while client.get("/shadow").json()["chips"] < chips:
        assert time.monotonic() < until_s, "the chips were not tried"
        time.sleep(0.05)


def predict(client: httpx2.Client, chip: bytes = CHIPS[0], **query: str) -> httpx2.Response:
    """Ask for one chip."""
    return client.post("/predict", content=chip, headers={"content-type": "image/png"}, params=query)


def version(response: httpx2.Response) -> str:
    """Return which version answered."""
    assert response.status_code == 200, response.text
    said: str = response.json()["model"]["version"]
    return said


def sample(client: httpx2.Client, name: str) -> float:
    """Return one of the metrics."""
    lines = client.get("/metrics").text.splitlines()
    return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} "))
