"""Paint docs/sample-chip.jpg, a made-up aerial view to try the service with.

Every pixel is computed, so no data set's terms apply to the picture: meadow and trees from
fractal noise, a river, a road and houses. The same seed gives the same picture.

    .venv/bin/python docs/make_sample.py
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

SIZE_PX = 256
OVERSAMPLING = 4
SEED = 7

Field = npt.NDArray[np.float64]  # (256,256) amounts or (256,256,3) colours
Point = tuple[float, float]
Colour = tuple[int, int, int]
Car = tuple[int, int, Colour]  # where on the road, how far from its middle

RED, WHITE = (196, 42, 36), (232, 232, 228)
CARS = ((112, -5, RED), (206, 5, WHITE))


def fractal_noise(rng: np.random.Generator, coarsest_px: int, finest_px: int = 1) -> Field:
    """Return amounts in 0..1: noise of halving grain, each half as strong as the one before."""
    total = np.zeros((SIZE_PX, SIZE_PX))
    grain_px, weight = coarsest_px, 1.0
    while grain_px >= finest_px:
        cells = SIZE_PX // grain_px + 2
        octave = Image.fromarray(rng.random((cells, cells)).astype(np.float32))
        total += weight * np.asarray(octave.resize((SIZE_PX, SIZE_PX), Image.Resampling.BICUBIC))
        grain_px, weight = grain_px // 2, weight / 2
    total -= total.min()
    total /= total.max()
    return total


def between(dark: Colour, light: Colour, amount: Field) -> Field:
    """Return colours between two."""
    start = np.array(dark, float)
    colours: Field = start + amount[..., None] * (np.array(light, float) - start)
    return colours


def over(below: Field, above: Field, cover: Field) -> Field:
    """Lay one picture on another where `cover` is 1."""
    picture: Field = below + cover[..., None] * (above - below)
    return picture


def shape(points: list[Point], width_px: float | None = None, blur_px: float = 0.6) -> Field:
    """Return the cover of a polygon or, given a width, of a line, with smooth edges."""
    mask = Image.new("L", (SIZE_PX * OVERSAMPLING,) * 2)
    draw = ImageDraw.Draw(mask)
    scaled = [(x * OVERSAMPLING, y * OVERSAMPLING) for x, y in points]
    if width_px is None:
        draw.polygon(scaled, fill=255)
    else:
        # Discs, because Pillow leaves gaps between the short pieces of a wide curved line.
        for point in scaled:
            draw.circle(point, width_px * OVERSAMPLING / 2, fill=255)
    small = mask.resize((SIZE_PX, SIZE_PX), Image.Resampling.BOX).filter(ImageFilter.GaussianBlur(blur_px))
    return np.asarray(small, float) / 255


def river(picture: Field, rng: np.random.Generator, left_px: float = 36) -> Field:
    """Add a winding river with sandy banks."""
    ripple = rng.uniform(0, 6)
    course = [
        (left_px + 20 * np.sin(y / 38) + 5 * np.sin(y / 15 + ripple), float(y)) for y in range(-20, 280)
    ]
    sand = between((150, 138, 108), (196, 184, 150), fractal_noise(rng, 8))
    picture = over(picture, sand, shape(course, 54, blur_px=3) * fractal_noise(rng, 16).clip(0.5, 1))
    return over(picture, between((44, 66, 70), (66, 92, 92), fractal_noise(rng, 64)), shape(course, 42))


def road(
    picture: Field,
    rng: np.random.Generator,
    entry_px: float = 196,
    rise: float = 0.32,
    cars: Sequence[Car] = CARS,
) -> Field:
    """Add an asphalt road, entering left at `entry_px`, with a broken centre line and cars."""
    line = [(float(x), entry_px - rise * x + 6 * np.sin(x / 60)) for x in range(-10, 270)]
    asphalt = between((118, 116, 114), (152, 150, 146), fractal_noise(rng, 32))
    picture = over(picture, asphalt, shape(line, 23))
    for start in range(0, len(line) - 6, 12):
        picture = over(picture, np.full_like(picture, 226), shape(line[start : start + 6], 1))
    for start, lane_px, colour in cars:
        car = [(x, y + lane_px) for x, y in line[start : start + 15]]
        picture = over(picture, picture * 0.4, shape([(x + 2, y + 2) for x, y in car], 7))
        picture = over(picture, np.broadcast_to(np.array(colour, float), picture.shape), shape(car, 6.5))
        picture = over(picture, np.full_like(picture, 40), shape([car[4], car[5]], 5.5))
    return picture


def house(picture: Field, rng: np.random.Generator, x: float, y: float, turn: float) -> Field:
    """Add a gabled roof, its upper side sunlit, with its shadow."""
    cos, sin = np.cos(turn), np.sin(turn)

    def quad(left: float, right: float, top: float, bottom: float) -> Field:
        corners = ((left, top), (right, top), (right, bottom), (left, bottom))
        return shape([(x + cos * u - sin * v, y + sin * u + cos * v) for u, v in corners])

    grey, grain = int(rng.integers(84, 130)), fractal_noise(rng, 8)
    picture = over(picture, picture * 0.4, quad(-19, 27, -10, 21))
    for top, light in ((-15, 46), (0, 0)):
        tile = (grey + light, grey + light - 10, grey + light - 18)
        picture = over(picture, between(tile, (tile[0] + 24,) * 3, grain), quad(-22, 22, top, top + 15))
    return picture


def trees(picture: Field, rng: np.random.Generator, free: Field) -> Field:
    """Add round crowns, lit from the upper left, in clumps on free ground."""
    rows, columns = np.mgrid[:SIZE_PX, :SIZE_PX]
    clumps = fractal_noise(rng, 64, 16)
    for x, y, radius_px in rng.uniform((0, 0, 4), (SIZE_PX, SIZE_PX, 9), (500, 3)):
        if clumps[int(y), int(x)] < 0.55 or free[int(y), int(x)] < 0.9:
            continue
        right, down = (columns - x) / radius_px, (rows - y) / radius_px
        shadow = np.clip(1.6 - 1.4 * np.hypot(right - 0.6, down - 0.6), 0, 0.65)
        picture = over(picture, picture * 0.3, shadow)
        light = np.clip(0.55 - 0.3 * (right + down) + rng.normal(0, 0.2, right.shape), 0, 1)
        crown = np.clip(3.2 - 3 * np.hypot(right, down), 0, 1)
        picture = over(picture, between((26, 44, 26), (98, 122, 70), light), crown)
    return picture


def untouched(built: Field, ground: Field) -> Field:
    """Return where the ground is still free, in 0..1."""
    same = Image.fromarray(np.uint8(255 * (np.abs(built - ground).sum(axis=-1) < 12)))
    return np.asarray(same.filter(ImageFilter.GaussianBlur(3)), float) / 255


def photograph(scene: Field, rng: np.random.Generator) -> Image.Image:
    """Return what a slightly noisy and blurred camera makes of a scene."""
    noisy = scene + rng.normal(0, 3, (SIZE_PX, SIZE_PX, 1))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.5))


def paint() -> Image.Image:
    """Return the whole picture."""
    rng = np.random.default_rng(SEED)
    meadow = between((88, 104, 64), (160, 160, 112), fractal_noise(rng, 128))
    meadow += rng.normal(0, 7, (SIZE_PX, SIZE_PX, 1))
    built = road(river(meadow, rng), rng)
    for x, y, turn in ((112, 36, 0.2), (186, 30, -0.1), (170, 96, -0.3), (206, 200, -0.32), (128, 218, -0.3)):
        built = house(built, rng, x, y, turn)
    return photograph(trees(built, rng, untouched(built, meadow)), rng)


if __name__ == "__main__":
    paint().save(Path(__file__).parent / "sample-chip.jpg", quality=90)
