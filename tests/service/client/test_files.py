from pathlib import Path

from service.client.files import find_images, printable, shown, unreadable


def test_find_images_expands_folders_and_keeps_files(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    images = [tmp_path / "a.png", tmp_path / "b.jpg", inner / "deep.TIF"]
    for file in [*images, tmp_path / "notes.txt"]:
        file.touch()
    assert find_images([tmp_path]) == images
    named = [tmp_path / "notes.txt", tmp_path / "missing.jpg"]
    assert find_images(named) == named


def test_hidden_files_inside_folders_are_left_out(tmp_path: Path) -> None:
    folder = tmp_path / ".cache/chips"  # that a folder given is hidden itself does not matter
    seen, hidden = folder / "deep/tile.png", folder / "deep/._tile.png"
    inside_hidden = [
        folder / ".trash/tile.png",
        folder / "__MACOSX/deep/tile.png",
        folder / "deep/.a/b/tile.tif",
    ]
    for file in [seen, hidden, *inside_hidden, folder / ".png"]:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    assert find_images([folder]) == [seen]
    assert find_images([hidden, *inside_hidden]) == [hidden, *inside_hidden]  # named themselves
    assert find_images([folder / "__MACOSX"]) == [folder / "__MACOSX/deep/tile.png"]


def test_ways_to_a_file_do_not_hide_it() -> None:
    assert shown("./chips/../a.png") and not shown("./chips/.a.png")


def test_what_cannot_be_read_is_told_with_the_fix() -> None:
    assert unreadable(OSError(2, "No such file or directory")) == (
        "the file cannot be read (No such file or directory); give an image or a folder of images"
    )


def test_a_name_that_is_no_text_can_be_printed() -> None:
    assert printable("caf\u00e9 \udcff.png") == "caf\u00e9 ?.png"
