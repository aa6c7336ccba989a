from dataclasses import fields, replace

import pytest

from service.contract.sensors import SENSORS
from training.config.planet import PLANET_GROUPS
from training.config.recipes import planet, planet_single
from training.config.schema import MemberConfig
from training.config.variants import VARIANTS

PLANET_BANDS = SENSORS["planet-contest"].bands


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_every_variant_changes_the_recipe_and_says_what_it_is(name: str) -> None:
    assert VARIANTS[name](planet()) != planet()
    docstring = VARIANTS[name].__doc__
    assert docstring
    assert "\n" not in docstring.strip()


def changed(before: MemberConfig, after: MemberConfig) -> set[str]:
    return {part.name for part in fields(before) if getattr(before, part.name) != getattr(after, part.name)}


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("softmax", {"exclusive"}),
        ("oversample", {"oversample"}),
        ("lossy", {"augmentation"}),
        ("soft-f2", {"loss"}),
        ("asymmetric", {"loss"}),
        ("smooth", {"label_smoothing"}),
        ("average", {"ema_decay"}),
        ("dehaze", {"dehaze"}),
        ("infrared", {"bands"}),
        ("indices", {"bands", "indices"}),
        ("late-fusion", {"bands", "indices", "fusion"}),
    ],
)
def test_a_variant_of_the_members_changes_all_of_them_in_nothing_else(name: str, parts: set[str]) -> None:
    varied = VARIANTS[name](planet())
    for before, after in zip(planet().members, varied.members, strict=True):
        assert changed(before, after) == parts


@pytest.mark.parametrize("name", ["infrared", "indices", "late-fusion"])
def test_infrared_takes_raw_planet_chips(name: str) -> None:
    varied = VARIANTS[name](planet())
    assert (varied.bands, varied.dtype) == (PLANET_BANDS, "uint16")


@pytest.mark.parametrize(
    ("name", "labels"),
    [("rare", PLANET_GROUPS["rare"]), ("land", PLANET_GROUPS["common"] + PLANET_GROUPS["rare"])],
)
def test_a_second_network_votes_on_its_labels_beside_the_first(name: str, labels: tuple[str, ...]) -> None:
    varied = VARIANTS[name](planet_single())
    first, second = varied.members
    assert first == planet_single().members[0]
    assert (second.name, second.labels) == (f"resnet50-{name}", labels)


def test_specialists_stand_beside_networks_of_all_labels_only_and_have_no_softmax_of_others() -> None:
    atmospheric = PLANET_GROUPS["atmospheric"]
    for order in (("rare", "land", "softmax"), ("softmax", "land", "rare")):
        config = planet_single()
        for name in order:
            config = VARIANTS[name](config)
        exclusive = {member.name: member.exclusive for member in config.members}
        assert exclusive == {"resnet50": atmospheric, "resnet50-rare": (), "resnet50-land": ()}


def test_variants_add_up() -> None:
    both = VARIANTS["blend"](VARIANTS["macro"](planet()))
    assert both.decision == replace(planet().decision, rule="blend", objective="macro")
