"""Where settings come from, and which are refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field, ValidationError

from cairn_runtime.process import describe
from cairn_runtime.settings import DatabaseSettings, ProcessSettings, Section, load_settings


class OvenSettings(Section):
    """An oven."""

    degrees: int = Field(180, ge=0, le=300)
    """Celsius."""
    racks: list[str] = ["middle"]
    """Which are in."""


class BakerySettings(ProcessSettings):
    """cairn bakery: bakes."""

    database: DatabaseSettings = DatabaseSettings()
    gateway: OvenSettings = OvenSettings()


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("CAIRN_"):
            monkeypatch.delenv(name)


def load(*arguments: str) -> BakerySettings:
    return load_settings(BakerySettings, list(arguments), "cairn bakery")


def test_defaults() -> None:
    settings = load()
    assert (settings.gateway.degrees, settings.log.level) == (180, "info")
    assert type(settings) is BakerySettings


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "cairn.yaml"
    path.write_text("gateway: {degrees: 100, racks: [top]}\nlog: {level: debug}\n")
    return path


def test_a_flag_beats_the_environment_beats_the_file_beats_the_default(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load("--config", str(file)).gateway.degrees == 100
    monkeypatch.setenv("CAIRN_GATEWAY__DEGREES", "150")
    assert load("--config", str(file)).gateway.degrees == 150
    assert load("--config", str(file), "--gateway.degrees", "200").gateway.degrees == 200
    assert load(f"--config={file}", "--gateway.degrees=200").gateway.degrees == 200


def test_each_setting_is_looked_for_by_itself(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAIRN_GATEWAY__DEGREES", "150")
    settings = load("--config", str(file), "--health.port", "8080")
    assert settings.gateway.degrees == 150
    assert settings.gateway.racks == ["top"]
    assert settings.log.level == "debug"
    assert settings.health.port == 8080
    assert settings.health.host == "127.0.0.1"


def test_the_environment_can_name_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAIRN_CONFIG", str(file))
    assert load().gateway.degrees == 100


def test_lists_come_from_the_environment_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAIRN_GATEWAY__RACKS", '["top", "bottom"]')
    assert load().gateway.racks == ["top", "bottom"]


def test_an_unknown_flag_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        load("--gateway.degree", "200")
    assert ended.value.code == 2
    assert "--gateway.degree" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["CAIRN_GATEWAY__DEGREE", "CAIRN_LOG__LEVLE"])
def test_an_unknown_name_in_the_environment_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(ValidationError) as refused:
        load()
    assert name.rpartition("__")[2].lower() in describe(refused.value)


def test_an_unknown_name_in_the_file_is_refused(file: Path) -> None:
    file.write_text("gateway: {degree: 100}\n")
    with pytest.raises(ValidationError) as refused:
        load("--config", str(file))
    assert "gateway.degree: " in describe(refused.value)


def test_an_unknown_section_of_the_file_is_refused_and_another_process_is_not(file: Path) -> None:
    file.write_text("gatway: {degrees: 100}\n")
    with pytest.raises(SystemExit, match="unknown section gatway"):
        load("--config", str(file))
    file.write_text("conductor: {patience_seconds: 2}\ngateway: {degrees: 100}\n")
    assert load("--config", str(file)).gateway.degrees == 100


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"nowhere\.yaml"):
        load("--config", str(tmp_path / "nowhere.yaml"))


@pytest.mark.parametrize("value", ["301", "hot"])
def test_a_wrong_value_is_refused_by_name(value: str) -> None:
    with pytest.raises(ValidationError) as refused:
        load("--gateway.degrees", value)
    assert describe(refused.value).startswith("gateway.degrees: ")


def test_secrets_are_not_shown() -> None:
    settings: Any = load("--database.url", "postgresql+asyncpg://me:hunter2@db/cairn")
    assert settings.database.url.get_secret_value().endswith("hunter2@db/cairn")
    assert "hunter2" not in repr(settings)


def test_settings_do_not_change() -> None:
    settings = load()
    with pytest.raises(ValidationError):
        settings.gateway.degrees = 1


def test_the_help_tells_what_each_setting_means(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        load("--help")
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert "--gateway.degrees" in shown
    assert "Celsius." in shown
