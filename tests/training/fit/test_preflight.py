"""Shape suffixes: N chips, L labels."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.contract.sensors import Band
from tests.kit import stripes
from training.config.recipes import RECIPES
from training.config.schema import DecisionConfig, MemberConfig
from training.data.dataset import Dataset, prepare
from training.fit.preflight import check_data, check_name, check_options, lacking
from training.run.folder import Run, Source


@pytest.fixture(scope="module")
def run(tiny_source: Source, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run.start(tmp_path_factory.mktemp("preflight") / "run", stripes.CONFIG, tiny_source)


@pytest.fixture(scope="module")
def dataset(run: Run) -> Dataset:
    return prepare(run)


def with_member(run: Run, **changes: Any) -> Run:  # noqa: ANN401
    return replace(run, config=replace(run.config, members=(replace(stripes.WHOLE, **changes),)))


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_recipes_pass(recipe: str) -> None:
    check_options(RECIPES[recipe]())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "resnet_50"}, r"architecture='resnet_50': timm has none .*did you mean .*resnet50"),
        ({"warmup_epochs": 6}, "warmup_epochs=6 of 6"),
        ({"freeze": "staged", "staged_epochs": 6}, "staged_epochs=6 of 6"),
        ({"frozen_to": "stages.0"}, "frozen_to does nothing with freeze='none'"),
        ({"freeze": "trunk", "augmentation": "lossy"}, "freeze='trunk' works on cached views"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(changes: dict[str, Any], message: str) -> None:
    member = replace(stripes.WHOLE, **changes)
    with pytest.raises(ValueError, match=f"^{stripes.WHOLE.name}: {message}"):
        check_options(replace(stripes.ONE_WHOLE, members=(member,)))
    check_options(stripes.ONE_WHOLE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rule": "blend", "weights": "tuned"}, "rule='blend' hears all"),
        ({"rule": "expected-f", "members": "greedy"}, "rule='expected-f' hears all"),
        ({"rule": "expected-f", "objective": "macro"}, "tune thresholds"),
        ({"rule": "expected-f", "bags": 5}, "tune thresholds"),
    ],
)
def test_rules_that_would_ignore_an_option_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_options(replace(stripes.ONE_WHOLE, decision=DecisionConfig(**changes)))


def test_late_fusion_wants_the_colours_first() -> None:
    bands: tuple[Band, ...] = ("red", "green", "blue", "nir")
    late = replace(stripes.WHOLE, fusion="late", bands=bands)
    check_options(replace(stripes.ONE_WHOLE, bands=bands, members=(late,)))
    with pytest.raises(ValueError, match="bands begin with nir"):
        check_options(replace(stripes.ONE_WHOLE, bands=bands, members=(replace(late, bands=bands[::-1]),)))


def test_false_colours_want_an_infrared_band() -> None:
    bands: tuple[Band, ...] = ("red", "green", "blue", "vv")
    member = replace(stripes.WHOLE, fusion="false-colour", bands=bands)
    with pytest.raises(ValueError, match="no false colours can be made of red, green, blue, vv: none is"):
        check_options(replace(stripes.ONE_WHOLE, bands=bands, members=(member,)))


def test_a_bundle_name_is_checked_before_the_work() -> None:
    check_name("uc-merced", "1.0.0")
    with pytest.raises(ValueError, match="bundle name 'Bad Name': use small letters"):
        check_name("Bad Name", "1.0.0")
    with pytest.raises(ValueError, match="--version is empty"):
        check_name("good", "")


def test_views_of_chips_that_are_not_square_are_refused() -> None:
    def whole(augmentation: Any) -> MemberConfig:  # noqa: ANN401
        return replace(stripes.WHOLE, size_px=64, augmentation=augmentation)

    oblong = replace(stripes.ONE_WHOLE, width_px=128, members=(whole("none"),))
    check_options(oblong)
    with pytest.raises(ValueError, match="64×128 px do not allow"):
        check_options(replace(oblong, members=(whole("views"),)))
    with pytest.raises(ValueError, match="predict_views and graph_views"):
        check_options(replace(oblong, graph_views=8))


def test_everything_wrong_is_listed_at_once() -> None:
    member = replace(stripes.WHOLE, warmup_epochs=6, frozen_to="stages.0")
    wrong = replace(
        stripes.ONE_WHOLE, members=(member,), decision=DecisionConfig(rule="blend", weights="tuned")
    )
    with pytest.raises(ValueError, match=r"(?s)hears all.*warmup_epochs=6.*frozen_to does nothing"):
        check_options(wrong)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ("blue", "pink")}, "no label pink; the data has blue, dark, green, red"),
        ({"exclusive": ("dark", "light")}, "no label light"),
        ({"labels": ("blue",), "exclusive": ("green", "red")}, "leaves out"),
        ({"architecture": "test_nonsense"}, "test_nonsense.safetensors: not there"),
        ({"freeze": "trunk", "frozen_to": "nowhere"}, "no module 'nowhere'; stages are"),
        ({"freeze": "stem", "frozen_to": "nowhere"}, "no module 'nowhere'; stages are"),
    ],
)
def test_members_that_do_not_fit_the_data_are_refused(
    run: Run, dataset: Dataset, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        check_data(with_member(run, **changes), dataset)


def test_an_unknown_architecture_is_refused_without_local_weights(run: Run, dataset: Dataset) -> None:
    changed = with_member(run, architecture="test_nonsense")
    with pytest.raises(ValueError, match="timm has no model 'test_nonsense'"):
        check_data(replace(changed, source=replace(run.source, weights=None)), dataset)


def test_a_weights_file_of_another_network_is_refused(run: Run, dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "test_byobnet.safetensors").symlink_to(f"{run.source.weights}/test_resnet.safetensors")
    wrong = replace(run, source=replace(run.source, weights=tmp_path))
    with pytest.raises(ValueError, match=r"lacks \d+ weights of test_byobnet"):
        check_data(with_member(wrong), dataset)


def test_sound_members_pass_and_a_cut_is_tried(run: Run, dataset: Dataset) -> None:
    check_data(run, dataset)
    check_data(with_member(run, freeze="trunk"), dataset)


def test_labels_that_a_fold_lacks_are_listed(
    run: Run, dataset: Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    assert lacking(dataset, 2) == []
    targets_NL = dataset.targets_NL.copy()
    in_first_N = np.flatnonzero(dataset.folds_N == 0)
    targets_NL[:, 1] = False
    targets_NL[in_first_N[:3], 1] = True  # three dark chips, all held out by the first fold
    targets_NL[:, 2] = False  # no green chip at all
    changed = replace(dataset, targets_NL=targets_NL)
    with caplog.at_level(logging.WARNING):
        check_data(run, changed)
    assert caplog.messages == [
        "only 3 chips have dark: fold 2 cannot judge it and fold 1 cannot learn it; add chips of it"
    ]


def test_grey_pictures_are_for_runs_on_colours() -> None:
    check_options(replace(stripes.ONE_WHOLE, grey=True))
    with pytest.raises(ValueError, match=r"--grey takes grey pictures .* these chips are uint16"):
        check_options(replace(stripes.ONE_WHOLE, grey=True, dtype="uint16"))
