import json
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from training.config.recipes import RECIPES, find_recipe, heads, planet, smoke, uc_merced
from training.config.schema import RunConfig


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_whole(name: str) -> None:
    config = RECIPES[name]()
    assert config.recipe == name
    assert config.height_px == config.width_px  # the eight views need squares
    assert {"resnet50", "densenet121", "inception_v3"} >= {member.architecture for member in config.members}
    for member in config.members:
        assert member.size_px == (299 if member.architecture == "inception_v3" else 256)
    assert (RECIPES[name].__doc__ or "").strip()


@pytest.mark.parametrize("name", RECIPES)
def test_a_configuration_survives_json(name: str) -> None:
    config = RECIPES[name]()
    text = json.dumps(config.to_json())
    assert TypeAdapter(RunConfig).validate_json(text) == config


def test_planet_is_fifteen_members_of_thirty_epochs() -> None:
    config = planet()
    assert (config.folds * len(config.members), config.fold_members) == (15, "separate")
    for member in config.members:
        assert (member.freeze, member.epochs, member.learning_rate) == ("none", 30, 1e-4)


def test_heads_freeze_every_backbone() -> None:
    assert {member.freeze for member in heads().members} == {"backbone"}
    assert uc_merced().precisions == ("int8",)
    assert uc_merced().about.licence == "Apache-2.0"
    assert uc_merced().about.sources


def test_smoke_is_a_few_steps_of_planet() -> None:
    config = smoke()
    assert (config.folds * len(config.members), config.max_steps) == (6, 2)
    assert config.fold_members == planet().fold_members


def test_a_recipe_is_found_by_name_with_variants_in_order() -> None:
    found = find_recipe("planet-single", ["lossy", "views"])
    assert found.recipe == "planet-single-lossy-views"
    assert (found.members[0].augmentation, found.graph_views) == ("lossy", 8)


def test_a_recipe_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from dataclasses import replace\n"
        "from training.config.recipes import heads\n"
        "def quick(): return replace(heads(), recipe='quick', folds=3)\n"
        "def wrong(): return 3\n"
    )
    assert find_recipe(f"{path}:quick").folds == 3
    with pytest.raises(ValueError, match=r"wrong\(\) must be there and return a RunConfig"):
        find_recipe(f"{path}:wrong")
    with pytest.raises(ValueError, match=r"other\(\) must be there"):
        find_recipe(f"{path}:other")
    with pytest.raises(ValueError, match=r"absent\.py: no such file"):
        find_recipe(f"{tmp_path / 'absent.py'}:quick")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("def f(:", r"mine.py, line 3: SyntaxError"),
        ("import nothing_here", r"mine.py, line 3: ModuleNotFoundError: No module named 'nothing_here'"),
        ("def f():\n    return replace(heads(), fold=3)", r"mine.py, line 4: TypeError: .*'fold'"),
        ("def f(): return replace(heads(), folds='3')", "folds='3': input should be a valid integer"),
        (
            "def f(): return replace(heads(), members=(replace(heads().members[0], optimizer='adma'),))",
            "members.0.optimizer='adma': input should be 'adam', 'adamw' or 'sgd'",
        ),
        ("def f(): return replace(heads(), decision=None)", "decision=None: "),
        (
            "def f(): return replace(heads(), folds=1)",
            r"mine.py: f\(\) .*\nfolds=1: input should be gre",
        ),
    ],
)
def test_a_mistake_in_an_own_recipe_is_said_with_its_place(tmp_path: Path, lines: str, message: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(f"from dataclasses import replace\nfrom training.config.recipes import heads\n{lines}\n")
    with pytest.raises(ValueError, match=message):
        find_recipe(f"{path}:f")


def test_lists_become_tuples(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from dataclasses import replace\nfrom training.config.recipes import heads\n"
        "def f(): return replace(heads(), members=list(heads().members))\n"
    )
    assert find_recipe(f"{path}:f") == heads()


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no recipe 'amazon'; there are planet, planet-single"):
        find_recipe("amazon")
    with pytest.raises(ValueError, match=r"no variant 'magic'; there are softmax"):
        find_recipe("planet", ["magic"])
