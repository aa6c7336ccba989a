import os
from pathlib import Path

import pytest

from service.processors import processors


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("max 100000", 4),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("10000 100000", 1),
        ("900000 100000", 4),
    ],
)
def test_a_containers_quota_bounds_the_processors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    (tmp_path / "cpu.max").write_text(text)
    assert processors(tmp_path / "cpu.max") == expected


def test_without_a_quota_the_affinity_counts(tmp_path: Path) -> None:
    assert processors(tmp_path / "nothing") == len(os.sched_getaffinity(0))
