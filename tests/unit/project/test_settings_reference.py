"""The settings page: generated, fresh, and complete."""

from __future__ import annotations

from pathlib import Path

import pytest

from cairn_cli import settings_reference

ROOT = Path(__file__).parents[3]


def test_the_settings_page_is_what_the_models_say() -> None:
    page = ROOT / "docs" / "settings.md"
    assert page.read_text() == settings_reference.page(), (
        "stale: run python -m cairn_cli.settings_reference docs/settings.md"
    )


def test_every_section_of_every_process_is_on_the_page() -> None:
    page = settings_reference.page()
    for schema in settings_reference.PROCESSES:
        for name, field in schema.model_fields.items():
            assert f"\n## {name}\n" in page
            section = field.annotation
            assert section is not None
            for setting in section.model_fields:
                assert f"`{name}.{setting}`" in page


def test_nothing_of_this_machine_is_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "telltale")
    assert "telltale" not in settings_reference.page()
