"""The scripted session: unmodified OpenStack clients over a running Cairn."""

from __future__ import annotations

from pathlib import Path

import pytest

from clients.play import Player
from clients.steps import load, subjects

LEAST = 150
"""Commands that the session has at least."""


@pytest.mark.parametrize("path", subjects(), ids=lambda path: path.stem)
def test_clients_see_what_the_session_says(path: Path, player: Player) -> None:
    report = player.play(load(path))
    print(report, *report.slowest(5), sep="\n")
    assert not report.failed, str(report)


def test_the_session_is_long_enough() -> None:
    assert sum(len(load(path)) for path in subjects()) >= LEAST
