"""Chips that look like photographs, and forms of several."""

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.harness.chips import forms, photo, taking_forms
from benchmarks.harness.contenders import ours
from benchmarks.harness.servers import Chip


def test_chips_look_like_photographs() -> None:
    jpeg = photo(3)
    assert jpeg == photo(3) != photo(4)
    assert 15_000 <= len(jpeg) <= 20_000
    grey_HW = np.asarray(Image.open(io.BytesIO(jpeg)).convert("L"), float)
    power_HW = np.abs(np.fft.fft2(grey_HW - grey_HW.mean())) ** 2
    frequency_HW = np.hypot(*np.meshgrid(np.fft.fftfreq(256), np.fft.fftfreq(256)))
    bands = [(frequency_HW >= low) & (frequency_HW < 2 * low) for low in 2.0 ** np.arange(-7, -1)]
    # A photograph's power falls with about the square of the frequency; white noise's does not.
    slope = np.polyfit(np.arange(6), [np.log2(power_HW[band_HW].mean()) for band_HW in bands], 1)[0]
    assert -4 < slope < -1


def test_forms_hold_every_chip_in_order(tmp_path: Path) -> None:
    chips = [Chip(tmp_path / name, {f"label-{name}"}) for name in "abc"]
    for chip in chips:
        chip.file.write_bytes(chip.file.name.encode() * 3)
    first, second = forms(chips, 2, tmp_path)
    assert first.labels == {"0:label-a", "1:label-b"}
    assert second.labels == {"0:label-c", "1:label-a"}, "the last form starts again"
    body = first.file.read_bytes()
    server = taking_forms(ours(tmp_path, "float32", {}))
    boundary = server.headers["Content-Type"].partition("boundary=")[2].encode()
    assert [b"aaa" in part for part in body.split(b"--" + boundary)] == [False, True, False, False]
    assert body.endswith(b"--" + boundary + b"--\r\n")
    predictions = [{"labels": ["label-a"]}, {"labels": ["label-b"]}]
    assert server.labels(json.dumps({"predictions": predictions}).encode()) == first.labels
