"""JPEG bytes → RGB pixels of exactly the expected size, without Pillow's detours, or nothing.

libjpeg-turbo gives the pixels that it gives Pillow, bit for bit. Whatever is not plainly a whole file
of that size is left to Pillow, which knows every case and has the errors.

Shape suffixes: H height, W width, C bands.
"""

import imagecodecs
import numpy as np
import numpy.typing as npt

_SCAN, _END = b"\xff\xda", b"\xff\xd9"  # markers; compressed data never looks like one


def decode_rgb(data: bytes, height: int, width: int) -> npt.NDArray[np.uint8] | None:
    """Decode a JPEG of this size to (H,W,3), None where Pillow must see to it.

    Size and components are compared before any pixel is decoded: another picture costs nothing.
    """
    # A file that was cut short has no end after its last scan, and libjpeg would fill it up in
    # silence. After the end there may be anything: Planet's chips have some bytes there.
    if data.rfind(_END) < data.rfind(_SCAN):
        return None
    for components in (3, 4):
        pixels_HWC = np.empty((height, width, components), np.uint8)
        try:
            imagecodecs.jpeg8_decode(data, out=pixels_HWC)
        except (ValueError, RuntimeError):  # another size or number of components, or no good JPEG
            continue
        if components == 3:
            return pixels_HWC
        # CMYK comes inverted: without black, already RGB.
        if (pixels_HWC[..., 3] == 255).all():
            return np.ascontiguousarray(pixels_HWC[..., :3])
    return None
