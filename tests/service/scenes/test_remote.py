"""Scenes behind HTTP, from a real server that answers ranges."""

import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest

from service.contract.errors import ServiceError
from service.contract.manifest import InputSpec
from service.scenes import remote
from service.scenes.errors import NotAScene, SceneError
from service.scenes.grid import Grid
from service.scenes.opening import open_tiff, state
from service.scenes.reading import read_chips
from service.scenes.scene import open_scene
from service.scenes.stores import SCHEMES
from tests.kit.object_store import CLOSED
from tests.kit.scenes import noise, write_scene
from tests.kit.serving import standing_in

RGB = InputSpec(bands=("red", "green", "blue"), height=64, width=64)
SIGNATURE = "until=2030&sign=S3CR%2BT"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, list[int]]]:
    """A folder's address, and how many bytes each answer had."""
    sent: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            file = tmp_path / unquote(path).lstrip("/")
            if (tmp_path / CLOSED).exists():
                self.send_error(403)
                return
            if not file.is_file() or (file.parent.name == "signed" and query != SIGNATURE):
                self.send_error(404)
                return
            data, asked = file.read_bytes(), re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            first, last = (int(asked[1]), min(int(asked[2] or len(data)), len(data) - 1)) if asked else (0, len(data) - 1)  # fmt: skip  # noqa: E501
            self.send_response(206 if asked else 200)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
            self.send_header("Content-Length", str(last - first + 1))
            self.send_header("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
            self.send_header("ETag", f'"{hash(data)}"')
            self.end_headers()
            self.wfile.write(data[first : last + 1])
            sent.append(last - first + 1)

        def log_message(self, *_: object) -> None:
            pass

    with standing_in(Handler) as address:
        yield address, sent


def test_a_scene_elsewhere_gives_the_chips_of_the_one_here(
    tmp_path: Path, served: tuple[str, list[int]]
) -> None:
    tiles: dict[str, Any] = {"tiled": True, "blockxsize": 256, "blockysize": 256}
    file, (root, sent) = write_scene(tmp_path / "a.tif", noise(1024, 1024), **tiles), served
    found = []
    for address in (str(file), f"{root}/a.tif"):
        grid = Grid(open_scene(address, RGB), RGB)
        chips = [chip for _, chip in read_chips(grid, RGB, 2, first=200)]
        assert not any(isinstance(chip, ServiceError) for chip in chips)
        found.append(np.stack(chips))  # type: ignore[arg-type]
    here, elsewhere = found
    np.testing.assert_array_equal(here, elsewhere)
    assert sum(sent) < file.stat().st_size  # parts of it
    before = state(f"{root}/a.tif")
    write_scene(file, noise(512, 512))
    assert state(f"{root}/a.tif") != before


def test_what_is_not_there_is_no_scene(served: tuple[str, list[int]]) -> None:
    root, _ = served
    with pytest.raises(NotAScene):
        open_tiff(f"{root}/gone.tif")


def test_a_signed_address_is_opened_and_its_secret_stays_one(
    tmp_path: Path, served: tuple[str, list[int]]
) -> None:
    (tmp_path / "signed").mkdir()
    write_scene(tmp_path / "signed" / "a.tif", noise(64, 64))
    address = f"{served[0]}/signed/a.tif"
    with pytest.raises(NotAScene, match="cannot be fetched"):
        open_tiff(address)
    scene = open_scene(f"{address}?{SIGNATURE}", RGB)
    assert (scene.name, len(list(read_chips(Grid(scene, RGB), RGB, 1)))) == (address, 1)
    assert state(scene.address)[0] == (tmp_path / "signed" / "a.tif").stat().st_size
    with pytest.raises(NotAScene) as refused:
        open_scene(f"{address.replace('//', '//me:S3CRET@')}?sign=S3CRET", RGB)
    assert str(refused.value).startswith(f"{address}: it cannot be fetched")


def test_an_address_may_have_escapes(tmp_path: Path, served: tuple[str, list[int]]) -> None:
    write_scene(tmp_path / "a b%20.tif", noise(64, 64))
    with open_tiff(f"{served[0]}/a%20b%2520.tif") as dataset:
        assert dataset.width == 64


def test_a_store_that_refuses_midway_ends_it_and_is_no_damage(
    tmp_path: Path, served: tuple[str, list[int]]
) -> None:
    tiles: dict[str, Any] = {"tiled": True, "blockxsize": 64, "blockysize": 64}
    write_scene(tmp_path / "a.tif", noise(2048, 2048), **tiles)
    grid = Grid(open_scene(f"{served[0]}/a.tif", RGB), RGB)
    chips = read_chips(grid, RGB, 1)
    next(chips)
    (tmp_path / CLOSED).touch()
    with pytest.raises(SceneError, match=r"/a\.tif: it cannot be fetched any more \("):
        list(chips)
    (tmp_path / CLOSED).unlink()
    assert not any(isinstance(chip, ServiceError) for _, chip in read_chips(grid, RGB, 1, first=1000))


@pytest.mark.parametrize(
    "address", ["https://", "http:///", "http://[::1/a.tif", "http://a:99999/b", "s3://"]
)
def test_what_is_no_address_is_no_scene(address: str) -> None:
    with pytest.raises(NotAScene, match="cannot be fetched"):
        open_tiff(address)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_an_opener_opens_its_own_address_alone(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    address = f"{scheme}://place/folder/scene.tif"
    with pytest.raises(FileNotFoundError):
        remote.opener(address)(f"{address}.ovr", "rb")
