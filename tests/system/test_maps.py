"""The command as people run it: killed, and run again."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from service.contract.bundle import Bundle
from tests.kit.scenes import patchwork, write_scene


def test_a_map_that_was_killed_twice_is_the_same_file(tmp_path: Path, colours: Bundle) -> None:
    scene = write_scene(tmp_path / "scene.tif", patchwork(20, 30)[0], compress="deflate")
    begun: list[str | Path] = [
        sys.executable,
        "-c",
        "from service.cli import main; main()",
        "map",
        scene,
        "--stride",
        "0.5",
    ]
    begun += ["--bundle", colours.folder, "--out"]
    environment = {**os.environ, "CHIPVOTE_DEVICE": "cpu"}
    subprocess.run([*begun, tmp_path / "whole.parquet"], env=environment, check=True, capture_output=True)
    out, folder = tmp_path / "killed.parquet", tmp_path / "killed.parquet.partial"
    for parts in (1, 3):
        with subprocess.Popen([*begun, out], env=environment) as process:
            while len(list(folder.glob("part-*.parquet"))) < parts:
                assert process.poll() is None
                time.sleep(0.002)
            process.send_signal(signal.SIGKILL)
        assert not out.exists()
    subprocess.run([*begun, out], env=environment, check=True, capture_output=True)
    assert out.read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert not folder.exists()
