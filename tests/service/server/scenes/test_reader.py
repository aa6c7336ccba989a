"""Whatever a scene does to its process costs this scene an error."""

import asyncio
import socket
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from service.contract.errors import ClientGone, OutOfMemory, ServiceError
from service.contract.manifest import InputSpec
from service.server.scenes import reader as module
from service.server.scenes.errors import LostScene
from service.server.scenes.reader import SceneReader, Wanted
from service.server.scenes.spool import Spool, new_file

SPEC = InputSpec(bands=("red", "green", "blue"), height=64, width=64)


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MODULE", "tests.kit.hostile_scene")


def read(text: str, seen: Callable[[SceneReader], None] = lambda _: None) -> int:
    """Read a scene that does so; return how many windows came."""

    async def scenario() -> int:
        count = 0
        with new_file() as file:
            file.write(text.encode())
            reader = await SceneReader.open(Spool("b.tif", file), Wanted(SPEC, 1.0, None))
            try:
                assert reader.scene["filename"] == "b.tif"
                async for window in reader.windows():
                    assert not isinstance(window.chip, ServiceError)
                    assert window.chip.shape == (64, 64, 3)
                    count += 1
                    seen(reader)
            finally:
                await reader.end()
        return count

    return asyncio.run(asyncio.wait_for(scenario(), 120))


@pytest.mark.usefixtures("hostile")
def test_one_that_behaves_gives_all_its_windows() -> None:
    assert read("never") == 4


@pytest.mark.usefixtures("hostile")
@pytest.mark.parametrize(
    ("what", "kind", "said"),
    [
        ("first crash", LostScene, "does not survive it"),
        ("later crash", LostScene, "does not survive it"),
        ("later exit", LostScene, "does not survive it"),
        ("later spin", LostScene, "far too long"),
        ("later kill", OutOfMemory, "ended for lack of memory"),
        ("later short", OutOfMemory, "no memory is left"),
        ("first babble", LostScene, "chipvote map FILE"),
        ("later nan", LostScene, "gdal_translate"),
        ("first unknown", LostScene, "corrupt"),
        ("first picture", LostScene, "corrupt"),
    ],
)
def test_what_ends_it_is_the_scene_s_error(what: str, kind: type[ServiceError], said: str) -> None:
    seen: list[SceneReader] = []
    with pytest.raises(kind, match=said) as raised:
        read(what, seen.append)
    assert type(raised.value) is kind
    assert len(seen) == (0 if what.startswith("first") else 2)


@pytest.mark.usefixtures("hostile")
def test_one_that_is_stopped_is_nobody_s_fault() -> None:
    with pytest.raises(ClientGone):
        read("later hang", SceneReader.stop)


def test_one_that_cannot_start_may_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object, **__: object) -> None:
        raise OSError("too many open files")

    for name, lacking in {
        "environment": none,
        "socket": SimpleNamespace(socketpair=none, socket=socket.socket),
    }.items():
        with monkeypatch.context() as patched:
            patched.setattr(module, name, lacking)
            with pytest.raises(OutOfMemory, match="no reader for scenes can start"):
                read("never")
