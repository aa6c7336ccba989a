"""What GDAL says of a TIFF's samples → what the chips' own reader would say of them.

So that a scene's bands are told by the same rules as a chip's. Refuses what no chip may be, and
what could unpack to more memory than a window may take.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from service.contract.chips.arrangement import Samples, arranged
from service.contract.chips.bands import MAX_BANDS, RGB, accepted, check_grey, takes_pictures
from service.contract.errors import WrongBands
from service.contract.manifest import InputSpec
from service.scenes.errors import SceneTooLarge

if TYPE_CHECKING:
    import rasterio

MAX_BLOCK_BYTES = 128 << 20  # of a tile or strip, with all its bands
_RGB, _GREY, _ASSOCIATED = 2, 1, 1  # of PhotometricInterpretation and ExtraSamples
_OTHER_COLOURS = {"cyan", "magenta", "black", "hue", "saturation", "lightness", "Y", "Cb", "Cr"}
_OTHER_SPACES = {"CMYK", "CIELAB"}  # which GDAL would convert
_FIX = "write it anew in RGB (gdal_translate -of COG)"

Palette = tuple[tuple[int, int, int], ...]


def told_bands(dataset: rasterio.DatasetReader, spec: InputSpec) -> tuple[Samples, tuple[str, ...], Palette]:
    """Return what a scene's samples are, the bands' names as `arranged`, and its palette.

    Raises:
        WrongBands: the scene has not what the bundle needs, or nobody can tell.
        SceneTooLarge: its tiles or strips are.
    """
    _check_form(dataset, spec)
    samples = _samples(dataset)
    if dataset.colorinterp[0].name == "palette":
        return samples, RGB, _palette(dataset, spec)
    if (samples.bands, samples.dtype) == (1, "uint8") and takes_pictures(spec):
        check_grey("scene", spec)
        return samples, RGB, ()
    return samples, arranged(samples, spec), ()


def _check_form(dataset: rasterio.DatasetReader, spec: InputSpec) -> None:
    if dataset.count > MAX_BANDS:
        raise WrongBands(
            f"the TIFF has {dataset.count} bands; at most {MAX_BANDS} are read; {accepted(spec)}"
        )
    structure = dataset.tags(ns="IMAGE_STRUCTURE")
    colours = {each.name for each in dataset.colorinterp} & _OTHER_COLOURS
    if structure.get("SOURCE_COLOR_SPACE") in _OTHER_SPACES or colours:
        raise WrongBands(f"the TIFF's colours are neither RGB nor a sensor's bands; {_FIX}; {accepted(spec)}")
    if "MINISWHITE" in structure:
        raise WrongBands(f"the TIFF's colours are grey with white as 0; {_FIX}; {accepted(spec)}")
    if bits := dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS"):
        raise WrongBands(
            f"the TIFF has {bits} bits a sample; 8 or 16 are read: write it anew, scaled to 0…255 "
            f"(gdal_translate -ot Byte -scale); {accepted(spec)}"
        )
    height, width = dataset.block_shapes[0]
    if width * height * sum(_bytes(dtype) for dtype in dataset.dtypes) > MAX_BLOCK_BYTES:
        raise SceneTooLarge(
            f"its tiles or strips are {width}×{height} px, which takes too much memory to read; write it "
            "anew in smaller ones (gdal_translate -of COG)"
        )


def _bytes(dtype: str) -> int:
    import rasterio.dtypes

    return int(rasterio.dtypes._getnpdtype(dtype).itemsize)


def _samples(dataset: rasterio.DatasetReader) -> Samples:
    colours, described = [each.name for each in dataset.colorinterp], dataset.descriptions
    count, dtype = dataset.count, dataset.dtypes[0]
    if len(set(dataset.dtypes)) > 1:
        dtype = "several number types"
    if colours == [*RGB, "alpha"] and dtype == "uint16" and not any(described):
        # The contest's files say no more of themselves; GDAL does not tell which opacity it is.
        return Samples(count, dtype, _RGB, (_ASSOCIATED,), "")
    items = [("COLORINTERP", at, colour.capitalize()) for at, colour in enumerate(colours)]
    items += [("DESCRIPTION", at, text) for at, text in enumerate(described) if text]
    metadata = "".join(
        f'<Item name="{kind}" sample="{at}">{html.escape(text)}</Item>' for kind, at, text in items
    )
    return Samples(count, dtype, _GREY, (), metadata)


def _palette(dataset: rasterio.DatasetReader, spec: InputSpec) -> Palette:
    if not takes_pictures(spec) or (dataset.count, dataset.dtypes[0]) != (1, "uint8"):
        raise WrongBands(f"the TIFF is a picture of {dataset.count} band(s) with a palette; {accepted(spec)}")
    colours = dataset.colormap(1)
    return tuple(colours.get(value, (0, 0, 0, 0))[:3] for value in range(256))
