from pathlib import Path

import pytest

from service.client.files import find_images
from service.contract.bundle import Bundle
from service.engine.crew import Crew
from service.engine.ensemble import Ensemble
from service.offline.files import predict_files
from service.settings import Settings
from tests.kit.fakes import BLUE, GREEN, RED, picture


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty chips (more than two batches), one of them broken, and a file that is no image."""
    for index in range(20):
        picture((RED, GREEN, BLUE)[index % 3]).save(tmp_path / f"{index:02}.png")
    (tmp_path / "07.png").write_bytes(b"broken")
    (tmp_path / "notes.txt").write_text("not an image")
    return tmp_path


def test_predict_files_answers_in_order(colours: Bundle, settings: Settings, folder: Path) -> None:
    files = [*find_images([folder]), folder / "missing.jpg"]
    with Crew(lambda: Ensemble(colours, "cpu"), settings.max_batch) as crew:
        results = list(predict_files(crew, colours, files, settings))
    assert [result["filename"] for result in results] == [str(file) for file in files]
    for index, result in enumerate(results):
        if index in (7, 20):
            assert "error" in result
        else:
            assert "labels" in result
            assert result["labels"] == [("reddish", "greenish", "bluish")[index % 3]]


def test_what_was_squeezed_is_said_with_the_answer_and_to_nobody_else(
    colours: Bundle, settings: Settings, tmp_path: Path
) -> None:
    for name, size_px in (("a", 64), ("b", 640), ("c", 64)):
        picture(RED, size_px).save(tmp_path / f"{name}.png")
    with Crew(lambda: Ensemble(colours, "cpu"), settings.max_batch) as crew:
        first, squeezed, last = predict_files(crew, colours, find_images([tmp_path]), settings)
    assert "warnings" not in first and "warnings" not in last
    assert "labels" in squeezed
    assert "chipvote map" in squeezed["warnings"][0]


def test_nothing_but_bad_files_is_answered(colours: Bundle, settings: Settings, folder: Path) -> None:
    with Crew(lambda: Ensemble(colours, "cpu"), settings.max_batch) as crew:
        (result,) = predict_files(crew, colours, [folder], settings)
    assert "error" in result
    assert "cannot be read" in result["error"]["detail"]
