"""Against a bucket and a web server of the loopback, fsspec's own memory, and files."""

import os
import tarfile
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import fsspec
import obstore
import pytest

from service.offline.bulk import sources
from service.offline.bulk.inputs import items
from service.scenes import stores
from tests.kit.object_store import served
from tests.kit.serving import standing_in


@pytest.fixture
def web(chips: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with served(chips) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        stores._store.cache_clear()
        yield address


def expected(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("[0-9]*.png"))}


def found(address: str) -> dict[str, bytes]:
    return {item.name: sources.read(item.address, item.offset, item.size) for item in items(address)}


def test_a_bucket_is_listed_and_read(chips: Path, web: str) -> None:
    assert found("s3://bucket") == expected(chips)
    assert found("s3://bucket/inside/") == expected(chips / "inside")


def test_keys_are_any_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, web: str) -> None:
    for name in ("tile#1.png", "a%20b.png", "what?.png", "ä b.png"):
        (tmp_path / name).write_bytes(name.encode())
    with served(tmp_path) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        stores._store.cache_clear()
        assert found("s3://bucket") == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_members_of_a_tar_in_a_bucket_are_read_alone(chips: Path, web: str) -> None:
    with tarfile.open(chips / "shard.tar", "w") as tar:
        for name in ("00.png", "inside/07.png"):
            tar.add(chips / name, name)
    try:
        assert found("s3://bucket/shard.tar") == {
            f"shard.tar/{name}": (chips / name).read_bytes() for name in ("00.png", "inside/07.png")
        }
    finally:
        (chips / "shard.tar").unlink()


def test_a_list_on_the_web_names_chips_beside_it_and_elsewhere(chips: Path, web: str) -> None:
    elsewhere = f"{web}/bucket/inside/01.png"
    (chips / "list.csv").write_text(f"url\n00.png\n{elsewhere}?signature=a%2Fb\ns3://bucket/02.png\n")
    try:
        assert found(f"{web}/bucket/list.csv?signature=c") == {
            "00.png": (chips / "00.png").read_bytes(),
            elsewhere: (chips / "inside" / "01.png").read_bytes(),
            "s3://bucket/02.png": (chips / "02.png").read_bytes(),
        }
    finally:
        (chips / "list.csv").unlink()


def test_a_long_list_takes_few_requests(chips: Path, web: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def counted(*args: Any, start: int, end: int) -> Any:  # noqa: ANN401
        asked.append(end - start)
        return get_range(*args, start=start, end=end)

    get_range = obstore.get_range
    monkeypatch.setattr(obstore, "get_range", counted)
    lines = [f"{number:06}.png" for number in range(200_000)]
    (chips / "list.csv").write_text("\n".join(["path", *lines]))
    try:
        assert [item.name for item in items("s3://bucket/list.csv")] == lines
        assert len(asked) == 3  # for 2.2 MB
    finally:
        (chips / "list.csv").unlink()


def test_a_web_server_may_know_no_ranges(chips: Path) -> None:
    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:  # noqa: ANN401
            super().__init__(*args, directory=str(chips))

        def log_message(self, *_: object) -> None:
            pass

    (chips / "list.csv").write_text("path\n00.png\ninside/01.png\n")
    try:
        with standing_in(Handler) as address:
            assert list(found(f"{address}/list.csv")) == ["00.png", "inside/01.png"]
            (item,) = items(f"{address}/none.tar")
            assert "404" in item.fault
    finally:
        (chips / "list.csv").unlink()


def test_what_fsspec_knows_is_listed_and_read(chips: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.put(f"{chips}/", "/archive/", recursive=True)
    try:
        assert found("memory://archive") == expected(chips)
        with sources.opened("memory://archive/00.png") as stream:
            assert stream.read() == (chips / "00.png").read_bytes()
    finally:
        memory.rm("/archive", recursive=True)


def test_files_have_addresses_too(chips: Path) -> None:
    assert found(f"file://{chips}") == expected(chips)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("s3://bucket/none.png", "the store answers 404 Not Found, NoSuchKey"),
        ("{web}/bucket/none.png?signature=S3CRET", "the store answers 404 Not Found, NoSuchKey"),
        ("memory://none.png", "none.png"),
    ],
)
def test_what_is_not_there_is_an_error_of_the_system(web: str, address: str, said: str) -> None:
    with pytest.raises(OSError, match=said) as read:
        sources.read(address.format(web=web))
    with pytest.raises(OSError, match=said), sources.opened(address.format(web=web)):
        pass
    assert "S3CRET" not in str(read.value)


def test_what_is_larger_than_a_chip_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "scene.tif").open("wb") as scene:
        scene.truncate(sources.MOST_BYTES + 1)
    with pytest.raises(OSError, match="chipvote map"):
        sources.read(str(tmp_path / "scene.tif"))


@pytest.mark.parametrize("kind", ["pipe", "endless"])
def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.png"
    os.mkfifo(path) if kind == "pipe" else path.symlink_to("/dev/zero")
    with pytest.raises(OSError, match="no regular file"):
        sources.read(str(path))
    with pytest.raises(OSError, match="no regular file"), sources.opened(str(path)):
        pass
