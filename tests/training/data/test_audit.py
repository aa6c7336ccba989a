import csv
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.training.data.test_alignment import SIDE_PX, ground, raw, rising, toned
from training.data.alignment import Pixels
from training.data.audit import COLUMNS, Pair, audit

SCALED = 256 / SIDE_PX  # chips are brought to 256 px before they are compared


def write_pair(folder: Path, name: str, tif: Pixels | None, jpg: Pixels | None) -> None:
    for kind in ("tif", "jpg"):
        (folder / kind).mkdir(exist_ok=True)
    if tif is not None:  # in Planet's order: blue, green, red, near infrared
        bands = raw(np.concatenate([tif[..., ::-1], tif[..., :1]], axis=-1))
        tifffile.imwrite(
            folder / "tif" / f"{name}.tif", bands, photometric="minisblack", planarconfig="contig"
        )
    if jpg is not None:
        Image.fromarray(toned(jpg)).save(folder / "jpg" / f"{name}.jpg", quality=90)


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """One pair of every fate."""
    wide = ground(1, 16)
    write_pair(tmp_path, "same", ground(5), ground(5))
    write_pair(tmp_path, "shifted", wide[16:-16, 16:-16], wide[16:-16, 5:-27])
    write_pair(tmp_path, "other", ground(2), ground(3))
    write_pair(tmp_path, "flat", rising(0) / 50, rising(0) / 50)
    write_pair(tmp_path, "alone", ground(4), None)
    write_pair(tmp_path, "lonely", None, ground(4))
    write_pair(tmp_path, "broken", ground(4), ground(4))
    (tmp_path / "tif" / "broken.tif").write_bytes(b"II*\0 cut")
    for kind in ("tif", "jpg"):  # as macOS writes one beside each file
        (tmp_path / kind / f"._same.{kind}").write_bytes(bytes.fromhex("00051607"))
    return tmp_path


def read(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="") as stream:
        return {row["image_name"]: row for row in csv.DictReader(stream)}


def test_every_fate_is_told_with_its_evidence(pairs: Path) -> None:
    found = audit(pairs / "tif", pairs / "jpg", pairs / "out")
    assert {pair.name: pair.verdict for pair in found} == {
        "same": "same ground",
        "shifted": "shifted",
        "other": "different ground",
        "flat": "cannot tell",
        "alone": "no partner",
        "lonely": "no partner",
        "broken": "unreadable",
    }
    rows = read(pairs / "out" / "audit.csv")
    assert tuple(rows["same"]) == COLUMNS
    assert {name: row["verdict"] for name, row in rows.items()} == {p.name: p.verdict for p in found}
    assert float(rows["shifted"]["right_px"]) == pytest.approx(-11 * SCALED, abs=0.3)
    assert float(rows["same"]["similarity_red"]) > 0.5 > float(rows["other"]["similarity_blue"])
    assert (rows["alone"]["note"], rows["lonely"]["note"]) == ("no JPEG", "no TIFF")
    assert "send the whole file" in rows["broken"]["note"]
    assert rows["broken"]["peak"] == ""


def test_the_list_names_whose_labels_are_in_doubt(pairs: Path) -> None:
    audit(pairs / "tif", pairs / "jpg", pairs / "out")
    reasons = {name: row["reason"] for name, row in read(pairs / "out" / "exclude.csv").items()}
    assert reasons.keys() == {"shifted", "other", "broken"}
    assert re.fullmatch(
        r"shifted: the JPEG lies on the TIFF when moved -2[12]\S* px right, .*", reasons["shifted"]
    )
    assert reasons["other"] == "different ground"


def test_the_sheet_shows_the_worst_first(pairs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    captions: list[str] = []

    def keep(path: Path, titles: tuple[str, ...], rows: list[tuple[str, object]]) -> None:
        captions.extend(caption.split(";")[0] for caption, _ in rows)

    monkeypatch.setattr("training.data.audit.write_sheet", keep)
    audit(pairs / "tif", pairs / "jpg", pairs / "out")
    assert captions == [
        "other: different ground",
        "shifted: shifted",
        "flat: cannot tell",
        "same: same ground",
    ]


def test_a_moved_difference_is_flat_where_the_ground_is_the_same(pairs: Path) -> None:
    audit(pairs / "tif", pairs / "jpg", pairs / "out")
    with Image.open(pairs / "out" / "contact_sheet.png") as sheet:
        pixels_HWC = np.asarray(sheet)
    shifted_row_HWC = pixels_HWC[18 + 210 + 18 : 18 + 420]
    as_it_lies, moved = (shifted_row_HWC[:, left_px : left_px + 150] for left_px in (2 * 192, 3 * 192))
    assert moved.std() < as_it_lies.std() / 3


def test_folders_without_a_common_name_are_refused(tmp_path: Path) -> None:
    write_pair(tmp_path, "a", ground(1), None)
    write_pair(tmp_path, "b", None, ground(1))
    with pytest.raises(ValueError, match="check --tif and --jpg"):
        audit(tmp_path / "tif", tmp_path / "jpg", tmp_path)


def test_real_planet_pairs(shared_data: Path, tmp_path: Path) -> None:
    """Seven of the twenty TIFFs lie a whole number of columns beside their JPEG."""
    planet = shared_data / "planet"
    found = {pair.name: pair for pair in audit(planet / "tif", planet / "jpg", tmp_path)}
    columns = {0: -8, 4: -22, 7: -32, 8: -22, 9: -56, 13: -34, 14: -18}
    for number in range(20):
        pair: Pair = found[f"train_{number}"]
        assert pair.alignment
        assert pair.verdict == ("shifted" if number in columns else "same ground")
        assert pair.alignment.right_px == pytest.approx(columns.get(number, 0), abs=0.1)
        assert pair.alignment.down_px == pytest.approx(0, abs=0.1)
