import hashlib
import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest

from service.contract.bundle import Bundle, load
from service.contract.errors import SettingsError
from service.contract.rules import Cooccurrence, ExpectedF, Vote
from service.offline.exports.stac import item, write_item
from tests.kit.fakes import LABELS, MEMBERS, make_bundle, make_raw_bundle
from tests.kit.serving import DEFAULT_BUNDLE

shapely = pytest.importorskip("shapely")
pystac = pytest.importorskip("pystac")
schema = pytest.importorskip("stac_model.schema")


def check(described: dict[str, Any]) -> Any:  # noqa: ANN401
    """Check an item by STAC's own schema and by the extension's models; return what these read."""
    from pystac.validation.stac_validator import JsonSchemaSTACValidator

    assert JsonSchemaSTACValidator().validate_core(described, pystac.STACObjectType.ITEM, "1.1.0")
    read = pystac.Item.from_dict(described)
    assert schema.MLModelExtension.ext(read).item is read  # the very version of the extension
    return schema.MLModelProperties.model_validate(described["properties"])


def test_an_item_of_the_default_bundle_is_valid_and_its_files_are_there(tmp_path: Path) -> None:
    bundle, out = load(DEFAULT_BUNDLE), tmp_path / "catalogue/item.json"
    write_item(bundle, out)
    described = json.loads(out.read_text())
    model = check(described)
    assert model.input[0].input.shape == [-1, 256, 256, 3]
    assert [one.name for one in model.output[0].classes] == bundle.label_names
    assert described["geometry"] is None and "bbox" not in described
    graphs = [asset for asset in described["assets"].values() if "mlm:model" in asset["roles"]]
    assert len(graphs) == len(bundle.manifest.members)
    for asset in described["assets"].values():
        data = (out.parent / unquote(asset["href"])).read_bytes()
        assert asset["file:size"] == len(data)
        assert asset["file:checksum"] == "1220" + hashlib.sha256(data).hexdigest()
    (card,) = described["links"]
    assert (out.parent / card["href"]).read_text().startswith("# uc-merced")


def test_an_item_holds_the_rule_so_that_it_can_be_built_again(tmp_path: Path) -> None:
    bundle = load(DEFAULT_BUNDLE)
    told = item(bundle, ".")["properties"]["mlm:hyperparameters"]
    rule = Vote.model_validate({key: value for key, value in told.items() if key != "members"})
    probs_MBL = np.random.default_rng(0).random((3, 100, 17), np.float32)
    again, known = rule.decider().decide(probs_MBL), bundle.decider.decide(probs_MBL)
    np.testing.assert_array_equal(again.labels_BL, known.labels_BL)


def test_items_of_other_rules_and_sensors_are_valid(tmp_path: Path) -> None:
    rule = ExpectedF(
        beta=2,
        weights=((1,) * 4,) * MEMBERS,
        knots=(((0.0, 0.1), (1.0, 0.9)),) * 4,
        cooccurrence=Cooccurrence(exclusive=((0, 1),)),
    )
    odd = make_bundle(
        tmp_path / "a b",
        rule=rule,
        version="1/ö",
        precisions=("float32", "float16", "int8"),
        labels=("red & co", *LABELS[1:]),
    )
    described = item(odd, "https://example.org/models/a%20b/", (-10, 40, 5, 60.5))
    model = check(described)
    assert model.output[0].classes[0].to_dict() == {
        "value": 0,
        "name": "red___co",
        "description": "red & co (colour)",
    }
    assert described["id"] == "colours-1__"
    assert described["geometry"]["coordinates"][0][2] == [5, 60.5]
    graph = described["assets"]["member0-float16"]
    assert graph["href"] == "https://example.org/models/a%20b/member0.float16.onnx"
    assert graph["mlm:accelerator"] == "cuda"
    raw = item(make_raw_bundle(tmp_path / "raw", sensor="sentinel-2-l2a"), ".")
    check(raw)
    assert {band["data_type"] for band in raw["properties"]["bands"]} == {"uint16"}
    assert {band["nodata"] for band in raw["properties"]["bands"]} == {0}


def test_an_item_is_the_same_every_time(colours: Bundle, tmp_path: Path) -> None:
    write_item(colours, tmp_path / "item.json")
    first = (tmp_path / "item.json").read_bytes()
    write_item(colours, tmp_path / "item.json")
    assert (tmp_path / "item.json").read_bytes() == first
    assert [file.name for file in tmp_path.iterdir()] == ["item.json"]


def test_only_a_file_is_replaced(colours: Bundle, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for out in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(SettingsError, match="no file"):
            write_item(colours, out)
    assert (tmp_path / "pipe").is_fifo()


def test_a_box_may_lie_across_the_antimeridian_and_must_be_one(colours: Bundle, tmp_path: Path) -> None:
    described = item(colours, ".", (170, -20, -170, 10))
    check(described)
    area = shapely.geometry.shape(described["geometry"])
    assert area.is_valid and area.equals(shapely.box(170, -20, 180, 10) | shapely.box(-180, -20, -170, 10))
    for box in ((0, 10, 1, -10), (0, 0, float("nan"), 1), (0, 0, 181, 1)):
        with pytest.raises(SettingsError, match="west south east north"):
            write_item(colours, tmp_path / "item.json", bbox=box)
