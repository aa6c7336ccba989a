from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.kit.fakes import RED, encoded, picture

pytest.importorskip("rasterio", reason="the sweep compares with rasterio")


def test_accepted_files_are_compared_and_others_counted_by_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks.quality.sweep import main

    (tmp_path / "deep").mkdir()
    (tmp_path / "a.png").write_bytes(encoded(picture(RED), "PNG"))
    (tmp_path / "deep" / "copy.png").write_bytes(encoded(picture(RED), "PNG"))
    (tmp_path / "b.gif").write_bytes(encoded(picture(RED), "GIF"))
    values_HWC = np.random.default_rng(0).integers(0, 9, (40, 50, 4)).astype(np.float32)
    tifffile.imwrite(tmp_path / "deep" / "c.tif", values_HWC, photometric="minisblack", planarconfig="contig")
    (tmp_path / "notes.txt").write_text("no picture")
    main([tmp_path])
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines() if line]
    assert lines == [
        "3 files, 8 decodings",
        "accepted and equal 4",  # the PNG for both bundles, the TIFF for those of its own bands
        "refused 2 NotAnImage: the file is a GIF; accepted are JPEG,",
        "refused 2 WrongBands: the TIFF has band(s) of float; accepted are",
    ]
