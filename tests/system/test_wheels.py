"""The two wheels: what is inside, and that neither needs a checkout. Nothing is fetched."""

import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from tests.kit.serving import ROOT

pytestmark = pytest.mark.slow

CACHES = shutil.ignore_patterns("__pycache__", "build", "*.egg-info")


def python(folder: Path, *arguments: str | Path) -> str:
    """Run this Python in a folder; return what it prints."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def build(source: Path, folder: Path) -> Path:
    """Build a source tree's wheel into a new folder, by the setuptools that is installed."""
    python(source, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ".")
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("server")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("service", "training", "models"):
        shutil.copytree(ROOT / name, source / name, ignore=CACHES)
    return build(source, source / "wheel")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("client") / "source"
    shutil.copytree(ROOT / "service/client", source, ignore=CACHES)
    return build(source, source / "wheel")


def files(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def requirements(wheel: Path) -> set[str]:
    """Return the names that a wheel asks for without an extra."""
    with zipfile.ZipFile(wheel) as archive:
        (path,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        lines = archive.read(path).decode().splitlines()
    wanted = (line.removeprefix("Requires-Dist: ") for line in lines if line.startswith("Requires-Dist: "))
    return {line.partition(">")[0] for line in wanted if "extra ==" not in line}


def test_the_servers_wheel_holds_every_module_the_page_and_the_default_bundle(server: Path) -> None:
    modules = {file for half in ("service", "training") for file in (ROOT / half).rglob("*.py")}
    page = set((ROOT / "service/web").iterdir())
    expected = {str(file.relative_to(ROOT)) for file in modules | page if "build" not in file.parts}
    assert expected <= files(server)
    bundle = {path.partition("/share/")[2] for path in files(server) if "/share/" in path}
    sealed = (ROOT / "models/uc-merced").iterdir()
    assert bundle == {f"chipvote/models/uc-merced/{file.name}" for file in sealed}


def test_the_clients_wheel_holds_the_client_alone(client: Path) -> None:
    modules = {f"chipvote/{file.name}" for file in (ROOT / "service/client").glob("*.py")}
    assert {path for path in files(client) if ".dist-info/" not in path} == modules | {"chipvote/py.typed"}
    assert requirements(client) == {"httpx2", "anyio", "rich", "typing-extensions"}


def is_installed() -> bool:
    return any(found.name == "chipvote" for found in metadata.distributions())


def install(wheel: Path, folder: Path) -> None:
    # Or pip would take the project out of the environment that the tests run in.
    options = ("--quiet", "--no-deps", "--no-index", "--ignore-installed", "--prefix", folder)
    before = is_installed()
    python(folder, "-m", "pip", "install", *options, wheel)
    assert is_installed() == before


def run_installed(folder: Path, script: str) -> str:
    """Run a script in an empty folder; the installed modules come before all others."""
    (site,) = folder.glob("lib/python*/site-packages")
    empty = folder / "empty"
    empty.mkdir(exist_ok=True)
    return python(empty, "-c", f"import sys; sys.path.insert(0, {str(site)!r}); {script}")


def test_the_server_finds_its_bundle_in_an_empty_folder(server: Path, tmp_path: Path) -> None:
    install(server, tmp_path)
    script = "from service import cli; print(cli.__file__); cli.main(['labels', '--json'])"
    where, _, labels = run_installed(tmp_path, script).partition("\n")
    assert Path(where).is_relative_to(tmp_path)
    assert '"name": "uc-merced"' in labels


def test_the_client_runs_without_the_server(client: Path, tmp_path: Path) -> None:
    install(client, tmp_path)
    script = "import chipvote; print(chipvote.__file__, *{m.partition('.')[0] for m in sys.modules})"
    where, *loaded = run_installed(tmp_path, script).split()
    assert Path(where).is_relative_to(tmp_path)
    assert {"service", "fastapi", "numpy", "pydantic", "onnxruntime"}.isdisjoint(loaded)
