"""Fixtures of the server's tests."""

import pytest

from tests.kit.fakes import LABELS, FakeEnsemble


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeEnsemble:
    """What the apps of a test open instead of the bundle's graphs."""
    ensemble = FakeEnsemble(len(LABELS))
    monkeypatch.setattr("service.engine.served.open_ensemble", lambda *_: ensemble)
    return ensemble
