from pathlib import Path

import pytest

from service.contract.errors import SettingsError
from service.settings import Settings, read_settings
from tests.kit.serving import DEFAULT_BUNDLE


def test_defaults() -> None:
    settings = read_settings()
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.bundle == DEFAULT_BUNDLE
    assert settings.max_body_bytes == 160 * 1024 * 1024
    assert settings.max_chips == 1024


def test_the_default_bundle_is_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert (read_settings().bundle / "bundle.json").is_file()


def test_no_tensorrt_without_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHIPVOTE_TENSORRT", "")
    assert read_settings().tensorrt is None
    monkeypatch.setenv("CHIPVOTE_TENSORRT", "engines")
    assert read_settings().tensorrt == Path("engines")


def test_an_option_wins_over_its_variable_and_none_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHIPVOTE_PORT", "9000")
    monkeypatch.setenv("CHIPVOTE_DEVICE", "cuda")
    settings = read_settings(port=9001, device=None)
    assert (settings.port, settings.device) == (9001, "cuda")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("PORT", "http"),
        ("PORT", "70000"),
        ("DEVICE", "tpu"),
        ("PRECISION", "int4"),
        ("THREADS", "-1"),
        ("MAX_BATCH", "0"),
        ("QUEUE_SIZE", ""),
        ("QUEUE_SIZE", "1000001"),
        ("THREADS", "5000000000"),
        ("DECODE_THREADS", "257"),
        ("HOST", ""),
        ("EARLY_EXIT", "sometimes"),
        ("GPU_MEMORY_BYTES", "-1"),
        ("CUDA_GRAPHS", "maybe"),
        ("MAX_INFLIGHT_BYTES", "1"),
        ("MAX_CONNECTIONS", "0"),
        ("MAX_HEADER_BYTES", "1"),
        ("IDLE_S", "0"),
        ("LEAST_RATE", "-1"),
        ("ORIGINS", "*"),
        ("ORIGINS", "https://a.example/"),
        ("TILES", "https://tile.example/{z}/{x}.png"),
        ("TILES", "tile.example/{z}/{x}/{y}.png"),
        ("TILES", "https://tile.example; script-src */{z}/{x}/{y}.png"),
        ("ORIGINS", "https://a.example,https://b.example"),
    ],
)
def test_a_bad_value_names_its_key_and_what_it_accepts(
    monkeypatch: pytest.MonkeyPatch, key: str, value: str
) -> None:
    monkeypatch.setenv(f"CHIPVOTE_{key}", value)
    accepted = Settings.model_fields[key.lower()].description
    with pytest.raises(SettingsError) as caught:
        read_settings()
    assert str(caught.value).startswith(f"CHIPVOTE_{key}={value}: ")
    assert str(caught.value).endswith(f"accepted: {accepted}")


def test_a_budget_that_no_large_body_could_enter_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHIPVOTE_MAX_BODY_BYTES", "1000")
    monkeypatch.setenv("CHIPVOTE_MAX_INFLIGHT_BYTES", "2000")
    assert read_settings().max_inflight_bytes == 2000
    monkeypatch.setenv("CHIPVOTE_MAX_INFLIGHT_BYTES", "1999")
    with pytest.raises(SettingsError, match=r"CHIPVOTE_MAX_INFLIGHT_BYTES=1999: .*MAX_BODY_BYTES=1000"):
        read_settings()
    monkeypatch.delenv("CHIPVOTE_MAX_INFLIGHT_BYTES")
    monkeypatch.setenv("CHIPVOTE_MAX_BODY_BYTES", str(1 << 30))
    with pytest.raises(SettingsError, match=r"CHIPVOTE_MAX_INFLIGHT_BYTES=1073741824: .*at least twice"):
        read_settings()


def test_every_setting_says_what_it_accepts() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_origins_are_compared_as_browsers_write_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_settings().origins == frozenset()
    monkeypatch.setenv("CHIPVOTE_ORIGINS", "https://Maps.example  http://localhost:3000")
    assert read_settings().origins == {"https://maps.example", "http://localhost:3000"}
