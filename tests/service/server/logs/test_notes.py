import time

import pytest

from service.server.logs import notes


def test_a_stage_begins_when_the_one_before_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 5.0
    monkeypatch.setattr(time, "perf_counter", lambda: now_s)
    note = notes.begin("an-id", "127.0.0.1")
    assert notes.current() is note
    for stage, took_s in (("read", 0.5), ("vote", 0.0625)):
        now_s += took_s
        note.ended(stage)
    assert note.stages_ms == {"read_ms": 500.0, "vote_ms": 62.5}
