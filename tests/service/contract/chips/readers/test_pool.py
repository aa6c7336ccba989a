"""Readers that crash, hang, swallow memory or babble cost one chip, and nothing else."""

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx2
import numpy as np
import pytest
import tifffile

from service.contract.chips.readers import pool
from service.contract.chips.readers.pool import Readers
from service.contract.errors import CorruptChip, OutOfMemory, ServiceError
from service.contract.manifest import InputSpec
from tests.kit.fakes import RED, picture

SPEC = InputSpec(bands=("red", "green", "blue"), height=64, width=64)
ROOT = Path(__file__).parents[5]


def tiff(compression: str | None = None) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, np.asarray(picture(RED)), photometric="rgb", compression=compression)
    return stream.getvalue()


@pytest.fixture
def hostile() -> Iterator[Readers]:
    with closing(Readers(2, "tests.kit.hostile_reader")) as readers:
        yield readers


def reader_of(readers: Readers) -> int:
    """Tell which process answers."""
    return int(readers.read(b"who", SPEC)[0][0, 0, 0])


@pytest.mark.parametrize("end", [b"crash", b"exit", b"raise", b"babble", b"huge", b"odd"])
def test_what_ends_a_reader_is_refused_and_the_next_chip_gets_another(hostile: Readers, end: bytes) -> None:
    first = reader_of(hostile)
    assert reader_of(hostile) == first
    with pytest.raises(CorruptChip, match="its decoder does not survive it"):
        hostile.read(end, SPEC)
    assert reader_of(hostile) != first


def test_neighbours_of_a_crash_are_answered(hostile: Readers) -> None:
    chips = [b"who", b"crash", b"who", b"who", b"crash"] * 4
    with ThreadPoolExecutor(8) as threads:
        answers = [threads.submit(hostile.read, chip, SPEC) for chip in chips]
    failed = [answer.exception() is not None for answer in answers]
    assert failed == [chip == b"crash" for chip in chips]


def test_a_chip_has_its_time(hostile: Readers, monkeypatch: pytest.MonkeyPatch) -> None:
    reader_of(hostile)
    monkeypatch.setattr(pool, "LIMIT_S", 0.3)
    began_s = time.monotonic()
    with pytest.raises(CorruptChip, match=r"takes longer than 0\.3 s"):
        hostile.read(b"hang", SPEC)
    assert time.monotonic() - began_s < 30
    monkeypatch.undo()
    reader_of(hostile)


def test_a_chip_has_the_processor_for_as_long_as_its_size_explains(hostile: Readers) -> None:
    first = reader_of(hostile)
    began_s = time.monotonic()
    with pytest.raises(CorruptChip, match="far longer to read than others of its size"):
        hostile.read(b"spin", SPEC)
    assert time.monotonic() - began_s < pool.LIMIT_S
    assert reader_of(hostile) != first


def test_a_chip_has_its_memory(hostile: Readers) -> None:
    first = reader_of(hostile)
    with pytest.raises(CorruptChip, match="takes more than 2048 MiB"):
        hostile.read(b"swallow", SPEC)
    assert reader_of(hostile) == first


def test_a_reader_that_the_kernel_ends_is_not_the_chips_fault(hostile: Readers) -> None:
    with pytest.raises(OutOfMemory, match="again in a moment"):
        hostile.read(b"killed", SPEC)


def test_a_reader_that_died_while_it_was_idle_is_replaced(hostile: Readers) -> None:
    data, before = tiff(), set(children())
    with closing(Readers(1)) as readers:
        readers.read(data, SPEC)
        (process,) = set(children()) - before
        os.kill(process, signal.SIGKILL)
        until_s = time.monotonic() + 60
        while state(process) != "Z":  # until then it may still take a chip
            assert time.monotonic() < until_s
            time.sleep(0.01)
        pixels_HWC, bands = readers.read(data, SPEC)
    assert bands == SPEC.bands
    assert (pixels_HWC == RED).all()


def test_readers_are_renewed_from_time_to_time(hostile: Readers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "LIFESPAN", 2)
    processes = [reader_of(hostile) for _ in range(4)]
    assert processes[0] == processes[1] != processes[2] == processes[3]


def test_readers_that_do_not_start_are_our_own_fault(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ServiceError, match="do not start") as caught:
        Readers(1, "tests.no_such_module").read(tiff(), SPEC)
    assert caught.value.status == 500
    assert "no_such_module" in capfd.readouterr().err


def state(process: int) -> str:
    """What a process does in the kernel's eyes; Z: it has ended, and nobody has asked how."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]


def children(of: int | None = None) -> list[int]:
    """The readers that a process has."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if parent == (of or os.getpid()) and b"service.contract.chips.readers.process" in command:
            found.append(int(folder.name))
    return found


def test_closing_ends_the_readers() -> None:
    before = set(children())
    readers = Readers(2)
    readers.read(tiff(), SPEC)
    assert set(children()) - before
    readers.close()
    assert set(children()) <= before
    readers.read(tiff(), SPEC)  # and later ones start
    readers.close()


def run(script: str) -> "subprocess.Popen[str]":
    begin = "import os, resource, sys, time; from tests.service.contract.chips.readers.test_pool import *\n"
    return subprocess.Popen(
        [sys.executable, "-c", begin + script], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


def test_without_file_descriptors_a_chip_may_come_again() -> None:
    script = """if True:
        import os, resource
        from service.contract.errors import CorruptChip, OutOfMemory
        from service.contract.chips.readers.pool import READERS
        from service.contract.manifest import InputSpec
        resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))
        taken = []
        try:
            while True:
                taken.append(os.dup(0))
        except OSError:
            pass
        read = 0
        while not read:
            try:
                READERS.read(b"II*", InputSpec(bands=("red", "green", "blue"), height=64, width=64))
            except OutOfMemory:
                os.close(taken.pop())
            except CorruptChip:
                read += 1
        """
    subprocess.run([sys.executable, "-W", "error", "-c", script], cwd=ROOT, check=True)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_no_reader_outlives_its_parent(end: signal.Signals) -> None:
    with run("pool.READERS.read(tiff(), SPEC); print(flush=True); time.sleep(60)") as parent:
        assert parent.stdout
        parent.stdout.readline()
        (reader,) = children(parent.pid)
        parent.send_signal(end)
        parent.wait()
    deadline = time.monotonic() + 60
    while Path(f"/proc/{reader}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{reader}").exists()


def test_modules_beside_the_chips_are_not_imported(tmp_path: Path) -> None:
    for name in ("tifffile", "numpy", "json"):
        (tmp_path / f"{name}.py").write_text("import os; os._exit(9)")
    folder = tmp_path / "service" / "contract" / "chips" / "readers"
    folder.mkdir(parents=True)
    (folder / "process.py").write_text("import os; os._exit(9)")
    here = "tests.service.contract.chips.readers.test_pool"
    script = f"from {here} import *; print(pool.READERS.read(tiff(), SPEC)[1])"
    command, environment = [sys.executable, "-P", "-c", script], {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.check_output(command, cwd=tmp_path, env=environment, text=True).strip() == str(
        SPEC.bands
    )


def test_a_forked_process_has_readers_of_its_own() -> None:
    script = """
read = lambda: bool((pool.READERS.read(tiff(), SPEC)[0] == RED).all())
before = read()
child = os.fork()
if not child:
    os._exit(0 if read() and len(children()) == 1 else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), before, read(), len(children()))
"""
    with run(script) as parent:
        assert parent.communicate()[0].split() == ["0", "True", "True", "1"]


def test_the_service_survives_what_its_reader_does_not(client: httpx2.Client) -> None:
    good = tiff(compression="lzw")
    with tifffile.TiffFile(io.BytesIO(good)) as file:
        at = file.pages.first.dataoffsets[0]
    bad = good[:at] + bytes.fromhex("80492050") + good[at + 4 :]
    files = [("chip", (name, data)) for name, data in (("a.tif", good), ("b.tif", bad), ("c.tif", good))]
    for _ in range(3):
        first, second, third = client.post("/predict", files=files).json()["predictions"]
        assert first["labels"] == third["labels"] == ["reddish"]
        assert second["error"]["status"] == 422
    shown = client.post("/preview", content=bad, headers={"content-type": "image/tiff"})
    assert shown.status_code == 422
