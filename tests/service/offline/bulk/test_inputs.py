import subprocess
import tarfile
from pathlib import Path

import pytest

from service.offline.bulk.errors import InputError
from service.offline.bulk.inputs import Item, items
from service.offline.bulk.sources import read


def names(source: Path | str, column: str | None = None) -> list[str]:
    return [item.name for item in items(str(source), column)]


def packed(folder: Path, tar: Path) -> Path:
    with tarfile.open(tar, "w") as writer:
        for path in sorted(folder.rglob("*")):
            writer.add(path, path.relative_to(folder), recursive=False)
    return tar


def test_a_folder_gives_its_images_at_any_depth_in_one_order(chips: Path) -> None:
    found = names(chips)
    assert found == sorted(p.relative_to(chips).as_posix() for p in chips.rglob("[0-9]*.png"))
    assert len(found) == 40


def test_a_chip_alone_is_one(chips: Path) -> None:
    assert list(items(str(chips / "00.png"))) == [Item("00.png", str(chips / "00.png"))]


def test_members_of_a_tar_are_read_where_they_lie_in_it(chips: Path, tmp_path: Path) -> None:
    found = list(items(str(packed(chips, tmp_path / "shard-0.tar"))))
    assert len(found) == 40
    for item in found:
        inside = item.name.removeprefix("shard-0.tar/")
        assert read(item.address, item.offset, item.size) == (chips / inside).read_bytes()


def test_a_tar_of_a_folder_as_a_whole_names_its_chips_alike(chips: Path, tmp_path: Path) -> None:
    subprocess.run(["tar", "-cf", tmp_path / "shard.tar", "-C", chips, "."], check=True)
    expected = sorted(f"shard.tar/{p.relative_to(chips).as_posix()}" for p in chips.rglob("[0-9]*.png"))
    assert sorted(names(tmp_path / "shard.tar")) == expected


def test_a_folder_of_tars_gives_the_chips_of_all(chips: Path, tmp_path: Path) -> None:
    for number in range(2):
        packed(chips, tmp_path / f"shard-{number}.tar")
    assert len(set(names(tmp_path))) == 80


def test_a_tar_that_ends_early_gives_what_it_has_and_says_so(chips: Path, tmp_path: Path) -> None:
    whole = packed(chips, tmp_path / "whole.tar").read_bytes()
    (cut := tmp_path / "cut.tar").write_bytes(whole[: len(whole) // 2 // 512 * 512 + 100])
    *found, last = items(str(cut))
    assert found and not any(item.fault for item in found)
    assert last.name == "cut.tar" and "cannot be read to its end" in last.fault


@pytest.mark.parametrize("said", ["GNU.sparse.size=number", "size=-5120", f"size={10**20}"])
def test_a_tar_with_a_damaged_header_costs_no_other_chip(chips: Path, tmp_path: Path, said: str) -> None:
    header = f"{len(said) + 4} {said}\n".encode()
    extended = tarfile.TarInfo("pax")
    extended.type, extended.size = tarfile.XHDTYPE, len(header)
    packed(chips, tmp_path / "b.tar")
    (tmp_path / "a.tar").write_bytes(
        extended.tobuf() + header.ljust(512, b"\0") + (tmp_path / "b.tar").read_bytes()
    )
    first, *rest = items(str(tmp_path))
    assert first.name == "a.tar" and "cannot be read to its end" in first.fault
    assert len(rest) == 40 and not any(item.fault for item in rest)


def test_a_list_names_chips_beside_it(chips: Path) -> None:
    (chips.parent / "list.csv").write_text("id;File Name\n1;chips/00.png\n2;\n3;chips/missing.png\n")
    found = list(items(str(chips.parent / "list.csv")))
    assert [item.name for item in found] == ["chips/00.png", "row 2", "chips/missing.png"]
    assert read(found[0].address) == (chips / "00.png").read_bytes()
    assert "names no chip" in found[1].fault


@pytest.mark.parametrize(
    ("name", "said"),
    [("missing", "no such file"), ("notes.txt", "nothing that can be labelled"), ("x.tar.gz", "a .tar")],
)
def test_what_is_no_input_is_refused_with_what_is(chips: Path, name: str, said: str) -> None:
    (chips.parent / "x.tar.gz").touch()
    source = chips.parent / name if name == "x.tar.gz" else chips / name
    with pytest.raises(InputError, match=said):
        names(source)
