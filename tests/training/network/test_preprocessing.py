"""Shape suffixes: B chips, H height, W width, C bands, P planes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from scipy.ndimage import minimum_filter, uniform_filter
from torch import nn

from service.contract.chips.bands import RGB
from training.network.preprocessing import WINDOW_PX, Preprocessing, resize_factor, without_haze

RUN = ("blue", "green", "red", "nir")
DTYPES = {"uint8": torch.uint8, "uint16": torch.uint16, "float32": torch.float32}
SCALES = {"uint8": 255, "uint16": 40_000, "float32": 1}


def chips(dtype: str = "uint8", size_px: int = 48, bands: int = 4, count: int = 3) -> torch.Tensor:
    """Smooth scenes in every band, with grain, a bright and a black spot."""
    random = np.random.default_rng(0)
    scene_BHWC = uniform_filter(random.random((count, size_px, size_px, bands)), (0, 9, 9, 0))
    scene_BHWC = scene_BHWC + 0.1 * random.random(scene_BHWC.shape)
    scene_BHWC[:, :4, :4], scene_BHWC[:, -4:, -4:] = 0.95, 0
    scaled = torch.from_numpy(scene_BHWC * SCALES[dtype])
    return (scaled.round() if dtype != "float32" else scaled).to(DTYPES[dtype])


def preprocessing(
    bands: Sequence[str] = RGB,
    size_px: int = 48,
    full_scale: float = 255,
    indices: Sequence[str] = (),
    dehaze: bool = False,
) -> Preprocessing:
    return Preprocessing(
        bands,
        RUN,
        size_px=size_px,
        full_scale=full_scale,
        mean=[0.4 * full_scale] * len(bands),
        std=[0.2 * full_scale] * len(bands),
        indices=indices,
        dehaze=dehaze,
    )


def planes(module: Preprocessing, chips_BHWC: torch.Tensor) -> torch.Tensor:
    """The planes before they are standardised."""
    planes_BPHW: torch.Tensor = module(chips_BHWC) * module.std + module.mean
    return planes_BPHW


@pytest.mark.parametrize(("chip_px", "size_px"), [(48, 48), (48, 64), (64, 48)])
def test_colours_alone_are_bit_identical_to_the_plain_formula(chip_px: int, size_px: int) -> None:
    mean = (255 * torch.tensor([0.485, 0.456, 0.406]))[:, None, None]
    std = (255 * torch.tensor([0.229, 0.224, 0.225]))[:, None, None]
    chips_BHWC = chips(size_px=chip_px, bands=3)
    pixels_BCHW = chips_BHWC.permute(0, 3, 1, 2).float()
    if chip_px != size_px:
        factor = (size_px / chip_px, size_px / chip_px)
        pixels_BCHW = nn.functional.interpolate(pixels_BCHW, scale_factor=factor, mode="bilinear")
    module = Preprocessing(
        RGB,
        RGB,
        size_px=size_px,
        full_scale=255,
        mean=mean.flatten().tolist(),
        std=std.flatten().tolist(),
    )
    assert torch.equal(module(chips_BHWC), (pixels_BCHW - mean) / std)
    assert not module.state_dict()


def test_every_side_becomes_exactly_the_size_in_any_runtimes_arithmetic() -> None:
    for side_px in range(16, 600, 7):
        for size_px in range(16, 600):
            factor = resize_factor(side_px, size_px)
            assert int(side_px * factor) == size_px
            assert int(np.float32(side_px) * np.float32(factor)) == size_px
            assert int(side_px * float(np.float32(factor))) == size_px
    assert resize_factor(256, 299) == 299 / 256


@pytest.mark.parametrize("bands", [RGB, RUN[3:], ("nir", "red"), RUN, ("green", "green")])
def test_bands_are_chosen_by_name_in_the_members_order(bands: tuple[str, ...]) -> None:
    chips_BHWC = chips()
    expected_BHWC = chips_BHWC[..., [RUN.index(band) for band in bands]].float()
    found_BPHW = planes(preprocessing(bands), chips_BHWC)
    torch.testing.assert_close(found_BPHW.permute(0, 2, 3, 1), expected_BHWC)


@pytest.mark.parametrize("dtype", DTYPES)
def test_indices_are_the_textbooks_and_follow_the_bands(dtype: str) -> None:
    chips_BHWC = chips(dtype)
    chips_BHWC[0, 0, 0] = 0
    module = preprocessing(("green",), full_scale=SCALES[dtype], indices=("ndwi", "ndvi"))
    seen_BPHW = planes(module, chips_BHWC)
    _, green, red, nir = np.moveaxis(chips_BHWC.to(torch.float64).numpy(), 3, 0)
    with np.errstate(invalid="ignore"):
        expected = [green, (green - nir) / (green + nir), (nir - red) / (nir + red)]
    for found_BHW, expected_BHW in zip(seen_BPHW.unbind(dim=1), expected, strict=True):
        np.testing.assert_allclose(found_BHW.numpy(), np.nan_to_num(expected_BHW), rtol=1e-5, atol=2e-5)
    torch.testing.assert_close(module(chips_BHWC)[:, 1:], seen_BPHW[:, 1:] / 0.5)


def textbook(colours_HWC: npt.NDArray[np.float64], full_scale: float) -> npt.NDArray[np.float64]:
    """He, Sun and Tang's equations, line by line."""

    def dark(picture_HWC: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        lowest: npt.NDArray[np.float64] = minimum_filter(picture_HWC.min(axis=2), WINDOW_PX, mode="nearest")
        return lowest

    dark_HW = dark(colours_HWC)
    count = round(0.001 * dark_HW.size)
    brightest = dark_HW >= np.sort(dark_HW, axis=None)[-count]
    haze_C = np.maximum(colours_HWC[brightest].mean(axis=0), full_scale / 255)
    transmission_HW = 1 - 0.95 * dark(colours_HWC / haze_C)
    inside_HW = uniform_filter(np.ones_like(dark_HW), WINDOW_PX, mode="constant")
    smooth_HW = uniform_filter(transmission_HW, WINDOW_PX, mode="constant") / inside_HW
    result_HWC = (colours_HWC - haze_C) / np.maximum(smooth_HW, 0.1)[..., None] + haze_C
    return np.asarray(np.clip(result_HWC, 0, full_scale), np.float64)


@pytest.mark.parametrize("dtype", DTYPES)
def test_haze_is_cleared_as_in_the_textbook(dtype: str) -> None:
    full_scale = SCALES[dtype]
    chips_BHWC = chips(dtype)
    seen_BPHW = planes(preprocessing(full_scale=full_scale, dehaze=True), chips_BHWC)
    for found_CHW, chip_HWC in zip(seen_BPHW, chips_BHWC.double().numpy(), strict=True):
        expected_HWC = textbook(chip_HWC[..., [2, 1, 0]], full_scale)
        np.testing.assert_allclose(
            found_CHW.permute(1, 2, 0).numpy(), expected_HWC, rtol=0, atol=1e-4 * full_scale
        )


def test_clearing_takes_away_haze_that_was_added() -> None:
    """A dark forest with one white roof, seen through even haze."""
    clear_BCHW = 60 * torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    clear_BCHW[:, :, 20:40, 20:40] = 200
    hazy_BCHW = 0.4 * clear_BCHW + 0.6 * 200
    cleared_BCHW = without_haze(hazy_BCHW, 255)
    before, after = ((picture - clear_BCHW).abs().mean() for picture in (hazy_BCHW, cleared_BCHW))
    assert after < 0.3 * before


def test_every_chip_is_cleared_by_itself_and_black_stays_black() -> None:
    module = preprocessing(dehaze=True)
    chips_BHWC = chips()
    chips_BHWC[1] = 0
    seen_BPHW = module(chips_BHWC)
    for n in range(len(chips_BHWC)):
        torch.testing.assert_close(seen_BPHW[n : n + 1], module(chips_BHWC[n : n + 1]))
    assert (planes(module, chips_BHWC)[1].abs() < 1e-4).all()


def test_clearing_changes_the_colours_and_neither_nir_nor_indices() -> None:
    bands, indices = ("red", "nir", "blue"), ("ndvi", "ndwi")
    plain_BPHW = preprocessing(bands, indices=indices)(chips())
    cleared_BPHW = preprocessing(bands, indices=indices, dehaze=True)(chips())
    same_P = [torch.equal(plain_BPHW[:, n], cleared_BPHW[:, n]) for n in range(5)]
    assert same_P == [False, True, False, True, True]


def test_hazy_photographs_gain_contrast_and_colour(shared_data: Path) -> None:
    for name in ("train_0", "train_5", "train_7"):  # tagged as haze
        picture_HWC = np.asarray(Image.open(shared_data / "planet" / "jpg" / f"{name}.jpg").convert("RGB"))
        before_BCHW = torch.tensor(picture_HWC).permute(2, 0, 1)[None].float()
        after_BCHW = without_haze(before_BCHW, 255)
        assert after_BCHW.std(dim=(2, 3)).mean() > 3 * before_BCHW.std(dim=(2, 3)).mean()
        assert saturation(after_BCHW) > 1.3 * saturation(before_BCHW)


def saturation(colours_BCHW: torch.Tensor) -> float:
    most_BHW = colours_BCHW.amax(dim=1)
    return float(((most_BHW - colours_BCHW.amin(dim=1)) / most_BHW.clamp(min=1)).mean())


OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "resized": ("uint8", {"size_px": 80}),
    "bands": ("uint16", {"bands": ("nir", "blue"), "size_px": 40}),
    "indices": ("uint16", {"bands": RGB, "indices": ("ndvi", "ndwi"), "size_px": 80}),
    "all": ("uint16", {"bands": RUN, "indices": ("ndwi", "ndvi"), "dehaze": True, "size_px": 40}),
}


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.filterwarnings("ignore")  # the exporter's own deprecations
def test_the_graph_gives_the_same_planes(tmp_path: Path, option: str) -> None:
    dtype, options = OPTIONS[option]
    module = preprocessing(full_scale=float(SCALES[dtype]), **options)  # as in `training.network.model`
    chips_BHWC = chips(dtype)
    path = tmp_path / "graph.onnx"
    torch.onnx.export(
        module,
        (chips_BHWC[:2],),
        path,
        input_names=["chips"],
        dynamic_shapes={"chips_BHWC": {0: torch.export.Dim("batch", min=1, max=4096)}},
        opset_version=20,
        external_data=False,
        dynamo=True,
        verbose=False,
    )
    graph = onnx.shape_inference.infer_shapes(onnx.load(path), check_type=True, strict_mode=True).graph
    assert "Shape" not in {node.op_type for node in graph.node}
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for part_BHWC in (chips_BHWC, chips_BHWC[:1]):
        (found_BPHW,) = session.run(None, {"chips": part_BHWC.numpy()})
        np.testing.assert_allclose(found_BPHW, module(part_BHWC).numpy(), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "lacking"),
    [
        ({"bands": ("red", "swir")}, "swir"),
        ({"bands": ("red",), "of": RGB, "indices": ("ndvi",)}, "nir"),
        ({"bands": ("nir",), "of": ("nir", "red"), "dehaze": True}, "blue, green"),
    ],
)
def test_bands_that_the_chips_lack_are_named(options: dict[str, Any], lacking: str) -> None:
    arguments = {"of": RUN, "size_px": 48, "full_scale": 255, **options}
    ones = [1.0] * len(options["bands"])
    with pytest.raises(ValueError, match=f"they lack {lacking}$"):
        Preprocessing(**arguments, mean=ones, std=ones)


def test_mean_and_std_must_fit_the_bands() -> None:
    with pytest.raises(ValueError, match="3 bands need as many values"):
        Preprocessing(RGB, RUN, size_px=48, full_scale=255, mean=[0, 0], std=[1, 1, 1])
