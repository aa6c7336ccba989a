import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from service.contract.bundle import Bundle
from tests.kit.fakes import BLACK, BLUE, GREEN, RED, make_bundle, picture
from training.evaluation.submission import check, submit, wanted_names

COLOURS = {"reddish": RED, "greenish": GREEN, "bluish": BLUE, "dark": BLACK}
LABELS = list(COLOURS)
Edit = Callable[[str], str]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundles") / "colours")


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Two folders, as the contest has them: 150 chips, more than one slice, and three more."""
    first, second = tmp_path / "test-jpg", tmp_path / "test-jpg-additional"
    for folder, count, prefix in ((first, 150, "test"), (second, 3, "file")):
        folder.mkdir()
        for index in range(count):
            picture(list(COLOURS.values())[index % 4]).save(folder / f"{prefix}_{index}.png")
    (first / "notes.txt").write_text("no chip")
    (first / "._test_0.png").write_bytes(bytes.fromhex("00051607"))  # as macOS writes one beside each file
    return [first, second]


def tags_of(name: str) -> str:
    return LABELS[int(name.partition("_")[2]) % 4]


def names() -> list[str]:
    return [f"file_{index}" for index in range(3)] + [f"test_{index}" for index in range(150)]


def sample(folder: Path, rows: list[str]) -> Path:
    path = folder / "sample_submission.csv"
    path.write_text("\n".join(["image_name,tags", *(f"{name},primary clear" for name in rows)]) + "\n")
    return path


def test_without_a_sample_the_rows_are_sorted_by_their_numbers(
    bundle: Bundle, folders: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "submission.csv"
    submit(bundle, folders, "float32", out)
    assert out.read_text().splitlines() == ["image_name,tags", *(f"{n},{tags_of(n)}" for n in names())]
    assert wanted_names(folders, None) == names()
    assert wanted_names([], None) is None


def test_a_sample_fixes_rows_and_order(
    bundle: Bundle, folders: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "training")
    order = names()[::-1]
    asked = sample(tmp_path, order)
    out = tmp_path / "submission.csv"
    submit(bundle, folders, "float32", out, asked)
    assert out.read_text().splitlines()[1:] == [f"{name},{tags_of(name)}" for name in order]
    assert f"{out}: 153 rows are right, 1.00 tags each, 0 without any" in caplog.text
    check(out, LABELS, wanted_names([], asked))


def test_chips_and_sample_must_be_the_same_set(bundle: Bundle, folders: list[Path], tmp_path: Path) -> None:
    rows = [*names()[:-2], *(f"lost_{index}" for index in range(12))]
    out = tmp_path / "submission.csv"
    with pytest.raises(ValueError, match="12 missing names: lost_0, ") as refused:
        submit(bundle, folders, "float32", out, sample(tmp_path, rows))
    message = str(refused.value)
    assert "lost_9, …" in message
    assert "lost_10" not in message
    assert "2 names that were not asked for: test_148, test_149" in message
    assert not out.exists()


def test_a_name_in_both_folders_is_refused(bundle: Bundle, folders: list[Path], tmp_path: Path) -> None:
    shutil.copyfile(folders[0] / "test_7.png", folders[1] / "test_7.png")
    with pytest.raises(ValueError, match="1 names that are there twice: test_7"):
        submit(bundle, folders, "float32", tmp_path / "submission.csv")


def test_a_sample_with_a_repeated_name_is_refused(
    bundle: Bundle, folders: list[Path], tmp_path: Path
) -> None:
    asked = sample(tmp_path, [*names(), "test_3"])
    with pytest.raises(ValueError, match=r"sample_submission.csv:\n  1 names that are there twice: test_3"):
        submit(bundle, folders, "float32", tmp_path / "submission.csv", asked)


def test_a_folder_without_chips_is_refused(bundle: Bundle, folders: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="elsewhere: no chip in it; name the folders"):
        submit(bundle, [*folders, tmp_path / "elsewhere"], "float32", tmp_path / "submission.csv")


def test_unreadable_chips_are_all_named_and_nothing_is_written(
    bundle: Bundle, folders: list[Path], tmp_path: Path
) -> None:
    for index in (0, 70, 149):  # in different slices
        (folders[0] / f"test_{index}.png").write_bytes(b"no picture")
    out = tmp_path / "submission.csv"
    with pytest.raises(ValueError, match="nothing written; --skip-bad leaves their tags empty") as refused:
        submit(bundle, folders, "float32", out)
    assert "3 chips that cannot be read: test_0: " in str(refused.value)
    assert all(f"test_{index}: " in str(refused.value) for index in (70, 149))
    assert list(tmp_path.glob("*submission*")) == []


def test_skipped_chips_have_no_tags_and_are_listed(
    bundle: Bundle, folders: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad = {"test_0", "test_70"}
    for name in bad:
        (folders[0] / f"{name}.png").write_bytes(b"no picture")
    out = tmp_path / "submission.csv"
    submit(bundle, folders, "float32", out, skip_bad=True)
    rows = [line.split(",") for line in out.read_text().splitlines()[1:]]
    assert rows == [[name, "" if name in bad else tags_of(name)] for name in names()]
    listed = (tmp_path / "submission-skipped.csv").read_text()
    assert [line.partition(",")[0] for line in listed.splitlines()] == ["image_name", *sorted(bad)]
    assert "2 chips cannot be read and have no tags" in caplog.text


def test_a_label_that_would_fall_apart_is_not_written(
    bundle: Bundle, folders: list[Path], tmp_path: Path
) -> None:
    label = bundle.manifest.labels[0].model_copy(update={"name": "red dish"})
    manifest = bundle.manifest.model_copy(update={"labels": (label, *bundle.manifest.labels[1:])})
    out = tmp_path / "submission.csv"
    with pytest.raises(ValueError, match=r"2 unknown tags: red \(.. rows\), dish \(.. rows\)"):
        submit(Bundle(bundle.folder, manifest), folders, "float32", out)
    assert not out.exists()


GOOD = "image_name,tags\ntest_0,reddish dark\ntest_1,\ntest_2,bluish\n"


def swap(text: str) -> str:
    head, first, second, third = text.splitlines()
    return "\n".join([head, first, third, second]) + "\n"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda text: text.replace("test_1,\n", ""), "1 missing names: test_1"),
        (lambda text: text + "test_9,dark\n", "1 names that were not asked for: test_9"),
        (lambda text: text + "test_0,dark\n", "1 names that are there twice: test_0"),
        (lambda text: text.replace("bluish", "blue"), r"1 unknown tags: blue \(1 rows\)"),
        (swap, "another order than the sample: from line 3, test_2"),
        (lambda text: text.replace("tags", "labels"), "first line is 'image_name,labels', must be"),
        (lambda text: text.replace("test_2,bluish", "test_2,bluish,dark"), "no name and tags: line 4"),
        (lambda text: text.replace("test_2,bluish", "test_2"), "no name and tags: line 4"),
        (lambda _: "", "first line is '', must be 'image_name,tags'"),
    ],
)
def test_a_wrong_file_is_refused_with_what_is_wrong(tmp_path: Path, edit: Edit, message: str) -> None:
    path = tmp_path / "submission.csv"
    path.write_text(GOOD)
    check(path, LABELS, ["test_0", "test_1", "test_2"])
    path.write_text(edit(GOOD))
    with pytest.raises(ValueError, match=message):
        check(path, LABELS, ["test_0", "test_1", "test_2"])


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "submission.csv"
    path.write_text("image_name,tags\ntest_0,mauve\ntest_0,dark\ntest_5,dark\n")
    with pytest.raises(ValueError, match="twice") as refused:
        check(path, LABELS, ["test_0", "test_1"])
    assert len(str(refused.value).splitlines()) == 5


def test_without_names_only_labels_and_repetitions_count(tmp_path: Path) -> None:
    path = tmp_path / "submission.csv"
    path.write_text(GOOD)
    check(path, LABELS)
    with pytest.raises(ValueError, match="unknown tags: reddish"):
        check(path, ["bluish", "dark"])
