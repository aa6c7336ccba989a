from pathlib import Path

import pytest

from service.contract.bundle import Bundle
from service.offline.maps.plan import PlanError, Wishes, facts, plan, spec_for
from service.scenes.area import box
from service.scenes.errors import SceneError
from tests.kit.scenes import noise, write_scene


def test_all_scenes_that_cannot_be_used_are_named_at_once(tmp_path: Path, colours: Bundle) -> None:
    good = write_scene(tmp_path / "good.tif", noise(64, 64))
    grey = write_scene(tmp_path / "grey.tif", noise(64, 64, 1))
    with pytest.raises(PlanError) as refused:
        plan([str(good), str(grey), "gone.tif"], colours.manifest.input, Wishes())
    assert [line.split(": ")[0] for line in str(refused.value).splitlines()] == [str(grey), "gone.tif"]
    (grid,) = plan([str(good)], colours.manifest.input, Wishes(stride=0.5))
    assert len(grid) == 1


def test_the_order_of_bands_may_be_told(tmp_path: Path, colours: Bundle) -> None:
    scene = write_scene(tmp_path / "scene.tif", noise(64, 64, 4), photometric="MINISBLACK")
    with pytest.raises(PlanError, match="cannot be told"):
        plan([str(scene)], spec_for(colours, Wishes()), Wishes())
    wishes = Wishes(file_bands=("nir", "red", "green", "blue"))
    (grid,) = plan([str(scene)], spec_for(colours, wishes), wishes)
    assert (grid.scene.indexes, grid.scene.bands) == ((2, 3, 4), ("red", "green", "blue"))


def test_an_area_beside_all_scenes_is_refused(tmp_path: Path, colours: Bundle) -> None:
    scenes = [str(write_scene(tmp_path / f"{name}.tif", noise(64, 64))) for name in "ab"]
    with pytest.raises(PlanError, match="no window touches the area"):
        plan(scenes, colours.manifest.input, Wishes(area=box(45, 38, 46, 40)))


def test_unknown_words_are_refused(colours: Bundle) -> None:
    with pytest.raises(PlanError, match="no label cloudy"):
        spec_for(colours, Wishes(left_out=("cloudy", "dark")))
    with pytest.raises(PlanError, match="they lack green"):
        spec_for(colours, Wishes(file_bands=("red", "blue")))


def test_a_scene_that_has_gone_meanwhile_is_named_without_its_secret(tmp_path: Path, colours: Bundle) -> None:
    for scene, told in (
        (str(tmp_path / "gone.tif"), f"{tmp_path}/gone.tif: it cannot be read any more"),
        ("http://127.0.0.1:1/a.tif?sig=S3CRET", "http://127.0.0.1:1/a.tif: it cannot be read any more"),
    ):
        with pytest.raises(SceneError) as refused:
            facts([scene], colours, Wishes(), "float32")
        assert str(refused.value).startswith(told)
        assert "S3CRET" not in str(refused.value)


def test_whatever_a_map_depends_on_is_a_fact(tmp_path: Path, colours: Bundle) -> None:
    scene = write_scene(tmp_path / "scene.tif", noise(64, 64))
    known = [facts([str(scene)], colours, Wishes(), "float32")]
    known.append(facts([str(scene)], colours, Wishes(stride=0.5), "float32"))
    known.append(facts([str(scene)], colours, Wishes(area=box(0, 0, 1, 1)), "float32"))
    known.append(facts([str(scene)], colours, Wishes(), "int8"))
    write_scene(scene, noise(64, 96))
    known.append(facts([str(scene)], colours, Wishes(), "float32"))
    assert all(one != other for at, one in enumerate(known) for other in known[:at])
    assert facts([str(scene)], colours, Wishes(), "float32") == known[-1]
