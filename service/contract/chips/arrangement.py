"""Which band is which in a TIFF: by the file's own words, or else by the order its bundle expects.

Never a guess: what cannot be told is refused, with what was found and what is needed.

Shape suffixes: H height, W width, C bands, N values.

Source: TIFF 6.0 (PhotometricInterpretation, ExtraSamples); GDAL's GTiff driver (GDAL_METADATA).
"""

import html
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from service.contract.chips.bands import CONTEST, RGB, accepted, takes_pictures
from service.contract.errors import WrongBands
from service.contract.manifest import InputSpec, Pixel
from service.contract.sensors import band_codes, named_in_file, plain_name

OPACITY = "opacity"  # of a pixel; no band of the ground
_ITEM = re.compile(r'<Item name="(DESCRIPTION|COLORINTERP)" sample="(\d{1,5})"[^>]*>([^<]{0,200})</Item>')
_COLOURS = (2, 3, 6)  # of PhotometricInterpretation: RGB, palette, YCbCr; read as RGB all of them
_COLOURS_OF_16_BITS = (
    "one of them an opacity: colours of 16 bits, whose scale cannot be told; scale them to 8 bits "
    "(gdal_translate -ot Byte -scale)"
)
_NUMBERED = re.compile(r"(.*?)(\d{1,3})\W*")
_FOREIGN = "'"  # around the words for a band that nobody here knows
_FULL = [(1 << bits) - 1 for bits in range(8, 17)]
_ASSOCIATED, _OPAQUE = 1, (1, 2)  # of ExtraSamples


class Samples(NamedTuple):
    """What a TIFF says of the samples of a pixel."""

    bands: int
    dtype: str
    photometric: int
    extra: Sequence[int]  # of those behind the colours
    metadata: str  # GDAL's, XML


def arranged(samples: Samples, spec: InputSpec) -> tuple[str, ...]:
    """Return the bands' names in the file's order; "" for those that nobody names or needs.

    Raises:
        WrongBands: the file has not what the bundle needs, or nobody can tell.
    """
    named = _named(samples, spec)
    # Eight-bit pictures of the ground also come from the contest's raw chips, toned.
    toned = takes_pictures(spec) and (samples.bands, samples.dtype) == (len(CONTEST.bands), CONTEST.dtype)
    order = CONTEST.bands if toned else spec.order
    found = f"the TIFF has {samples.bands} band(s) of {samples.dtype}"
    if samples.dtype != (CONTEST.dtype if toned else spec.dtype):
        raise WrongBands(f"{found}; {accepted(spec)}")
    if toned and OPACITY in named:
        raise WrongBands(f"{found}, {_COLOURS_OF_16_BITS}; {accepted(spec)}")
    known = [name for name in named if name and name != OPACITY]
    left = [place for place, name in enumerate(named) if not name]
    rest = [name for name in order if name not in known]
    if not known and OPACITY not in named and samples.bands == len(order):
        return order
    if len(left) == len(rest) == 1 and OPACITY not in named and samples.bands == len(order):
        named[left[0]] = rest[0]
    if lacking := [band for band in spec.bands if named.count(band) != 1]:
        if samples.bands == 1 < len(order):
            raise WrongBands(
                f"{found}; {accepted(spec)}: put a chip's bands into one file, in that order (gdalbuildvrt "
                "-separate -resolution highest chip.vrt B02.tif …, then gdal_translate chip.vrt chip.tif), "
                "or have chipvote predict read their folder, where the bundle is"
            )
        says = f", named {', '.join(name or '?' for name in named)}" if any(named) else ", without names"
        raise WrongBands(
            f"{found}{says}; what is {', '.join(lacking)} cannot be told; {accepted(spec)}; "
            "name the bands in the file (gdal_edit.py -colorinterp_1 red …) or select them in that order; "
            "chipvote map takes their names by --file-bands as well"
        )
    return tuple("" if name.startswith(_FOREIGN) else name for name in named)


def check_infrared(samples: Samples, pixels_HWC: npt.NDArray[Pixel], spec: InputSpec) -> None:
    """Refuse an opacity in a file that is like the contest's, whose infrared calls itself so.

    Raises:
        WrongBands: most of what it shows is full: the largest value of 8 bits, or more.
    """
    if _is_contest(samples):
        infrared_HW = pixels_HWC[..., CONTEST.bands.index("nir")]
        shown_N = infrared_HW[infrared_HW > 0]
        if np.isin(shown_N, _FULL).sum() > shown_N.size / 2:
            raise WrongBands(f"the TIFF has 4 bands of uint16, {_COLOURS_OF_16_BITS}; {accepted(spec)}")


def _named(samples: Samples, spec: InputSpec) -> list[str]:
    """Return what the file itself says, "" where it says nothing."""
    named = [""] * samples.bands
    if not _is_contest(samples):
        if samples.photometric in _COLOURS:
            named[:3] = RGB
        first = samples.bands - len(samples.extra)
        for at, kind in enumerate(samples.extra, first):
            if kind in _OPAQUE and at >= 0:
                named[at] = OPACITY
    # GDAL's interpretation of a band stands above the tags', and a description says more.
    for at, said in _said(samples, "COLORINTERP").items():
        named[at] = OPACITY if said == "Alpha" else named_in_file(said, None) or ""
    described = _said(samples, "DESCRIPTION")
    own = {plain_name(band): band for band in spec.order}
    neutral = _neutral(described)
    for at, said in described.items():
        if name := named_in_file(said, spec.sensor) or own.get(plain_name(said)):
            named[at] = name
        elif not (named[at] and band_codes(said)) and at not in neutral:
            # A band of another kind, which no order makes one that is wanted.
            named[at] = f"{_FOREIGN}{said:.40}{_FOREIGN}"
    return named


def _said(samples: Samples, wanted: str) -> dict[int, str]:
    """Return the file's words of one kind by band, from 0."""
    items = (
        (int(at), html.unescape(text).strip(), kind) for kind, at, text in _ITEM.findall(samples.metadata)
    )
    return {at: said for at, said, kind in items if kind == wanted and said and at < samples.bands}


def _neutral(described: dict[int, str]) -> set[int]:
    """Return the bands whose words say no more than all others', and perhaps the band's number."""
    if len(set(described.values())) == 1:
        return set(described)
    parts = {at: _NUMBERED.fullmatch(said) for at, said in described.items()}
    alike = len({part and part[1] for part in parts.values()}) == 1
    return {at for at, part in parts.items() if alike and part and int(part[2]) == at + 1}


def _is_contest(samples: Samples) -> bool:
    """Tell files like the contest's, which call themselves RGB with an opacity and are neither."""
    return (
        (samples.bands, samples.dtype) == (len(CONTEST.bands), CONTEST.dtype)
        and tuple(samples.extra) == (_ASSOCIATED,)
        and not _ITEM.search(samples.metadata)
    )
