"""Reading and bounding a console log that somebody is writing to."""

from __future__ import annotations

from pathlib import Path

from cairn_agent.drivers.libvirt.console import read_tail, trim

KIB = 1024


def test_the_tail_is_what_was_written_last(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    assert read_tail(log, 10) == b""
    log.write_bytes(b"0123456789")
    assert read_tail(log, 4) == b"6789"
    assert read_tail(log, 100) == b"0123456789"


def test_the_tail_reaches_into_the_part_rotated_away(tmp_path: Path) -> None:
    (tmp_path / "console.log.0").write_bytes(b"older ")
    (tmp_path / "console.log").write_bytes(b"newer")
    assert read_tail(tmp_path / "console.log", 8) == b"er newer"


def test_trimming_gives_space_back_and_keeps_the_end(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    with log.open("ab") as writer:
        writer.write(b"a" * 512 * KIB + b"b" * 16 * KIB)
        writer.flush()
        trim(log, 16 * KIB)
        assert log.stat().st_blocks * 512 < 64 * KIB
        writer.write(b"the end")
        writer.flush()
    assert read_tail(log, 1024 * KIB) == b"b" * 16 * KIB + b"the end"


def test_a_short_log_is_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    trim(log, KIB)
    log.write_bytes(b"short")
    trim(log, KIB)
    assert log.read_bytes() == b"short"
