"""Generated files are written, or only compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from cairn_crds.generated import write_or_check


def test_a_stale_file_is_named_and_left_alone_or_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text("old")
    assert write_or_check(["--check", str(page)], "new") == 1
    assert str(page) in capsys.readouterr().err
    assert page.read_text() == "old"
    assert write_or_check([str(page)], "new") == 0
    assert write_or_check(["--check", str(page)], "new") == 0
