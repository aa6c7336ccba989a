"""Scenes and what is asked of them → grids of windows, or all that is wrong at once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from service.contract.bundle import MANIFEST, Bundle
from service.contract.errors import StartupError
from service.contract.manifest import InputSpec
from service.contract.version import __version__
from service.scenes.errors import SceneError
from service.scenes.grid import Grid
from service.scenes.opening import state
from service.scenes.reading import MAX_NODATA
from service.scenes.scene import open_scene
from service.scenes.stores import shown

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry


class PlanError(StartupError):
    """Raised when scenes cannot be mapped as asked; nothing has been done then."""


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What is asked of a map, beside its scenes and its bundle."""

    stride: float = 1.0  # share of a window
    resolution_m: float | None = None  # of the bundle's chips
    area: BaseGeometry | None = None  # in EPSG:4326
    nodata: float | None = None  # in place of what scenes say
    max_nodata: float = MAX_NODATA  # share of a window
    file_bands: tuple[str, ...] = ()  # of scenes that do not name theirs
    left_out: tuple[str, ...] = ()  # labels; windows that have no others get no row
    all_members: bool = False


def spec_for(bundle: Bundle, wishes: Wishes) -> InputSpec:
    """Return what the bundle takes, with the order of bands that is asked for.

    Raises:
        PlanError: there is no such band, or no such label.
    """
    if unknown := set(wishes.left_out) - set(bundle.label_names):
        raise PlanError(f"the bundle has no label {', '.join(sorted(unknown))}")
    spec = bundle.manifest.input
    if not wishes.file_bands:
        return spec
    try:
        return InputSpec.model_validate({**spec.model_dump(), "file_bands": wishes.file_bands})
    except ValueError as error:
        raise PlanError(f"--file-bands: {error}") from error


def plan(addresses: Sequence[str], spec: InputSpec, wishes: Wishes) -> list[Grid]:
    """Lay the grids of scenes.

    Raises:
        PlanError: names every scene that cannot be used, with the reason.
        LackingExtra: a package is not there.
    """
    grids, refused = [], []
    for address in addresses:
        try:
            scene = open_scene(address, spec, nodata=wishes.nodata)
            grids.append(
                Grid(scene, spec, stride=wishes.stride, resolution_m=wishes.resolution_m, area=wishes.area)
            )
        except SceneError as error:
            refused.append(str(error))
    if refused:
        raise PlanError("\n".join(refused))
    if not any(map(len, grids)):
        raise PlanError("no window touches the area; give one on the scenes, in degrees, longitudes first")
    return grids


def facts(addresses: Sequence[str], bundle: Bundle, wishes: Wishes, precision: str) -> dict[str, Any]:
    """Return all that a map depends on, as JSON: as long as it is the same, so is the map.

    Raises:
        SceneError: a scene is not there any more.
    """
    asked = {**vars(wishes), "area": wishes.area and wishes.area.wkt}
    return {
        "chipvote": __version__,
        "bundle": hashlib.sha256((bundle.folder / MANIFEST).read_bytes()).hexdigest(),
        "precision": precision,
        "scenes": [[shown(address), *state(address)] for address in addresses],
        **asked,
    }
