"""Every line carries the ids of what it is about."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from cairn_runtime.logs import log_context, set_up_logs
from cairn_runtime.settings import LogFormat, LogSettings

log = structlog.get_logger()


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    quiet = {name: logging.getLogger(name).level for name in ("kopf", "aiohttp.access", "asyncio")}
    yield
    root.handlers[:], root.level = handlers, level
    for name, minimum in quiet.items():
        logging.getLogger(name).setLevel(minimum)
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs(LogSettings(), "conductor")
    structlog.get_logger().info("instance.restored", name="web")
    (line,) = lines(capsys)
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "instance.restored", "name": "web", "process": "conductor", "level": "info"}


def test_ids_are_on_every_line_inside_by_whichever_module(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs(LogSettings(), "conductor")
    own = structlog.get_logger()
    with log_context(instance_id="i-1", request_id=None), log_context(phase="remove"):
        own.warning("inside")
        logging.getLogger("some.library").warning("theirs")
    own.warning("outside")
    inside, theirs, outside = lines(capsys)
    assert (inside["instance_id"], inside["phase"]) == ("i-1", "remove")
    assert "request_id" not in inside, "what is not known is left out"
    assert (theirs["event"], theirs["instance_id"]) == ("theirs", "i-1")
    assert "instance_id" not in outside


def test_a_line_of_another_thread_says_whose_process_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs(LogSettings(), "agent")
    thread = threading.Thread(target=structlog.get_logger().warning, args=("lost the connection to libvirt",))
    thread.start()
    thread.join()
    (line,) = lines(capsys)
    assert line["process"] == "agent"


async def test_ids_of_one_task_are_not_on_the_lines_of_another(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs(LogSettings(), "conductor")
    own = structlog.get_logger()

    async def work(instance_id: str) -> None:
        with log_context(instance_id=instance_id):
            for _ in range(3):
                await asyncio.sleep(0)
                own.info("work", mine=instance_id)

    await asyncio.gather(work("a"), work("b"))
    assert all(line["instance_id"] == line["mine"] for line in lines(capsys))


def test_a_failure_has_its_traceback_on_the_same_line(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs(LogSettings(), "conductor")
    try:
        int("odd")
    except ValueError:
        structlog.get_logger().exception("reconcile.failed")
    (line,) = lines(capsys)
    assert "ValueError: invalid literal" in line["exception"]


def test_what_is_below_the_level_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs(LogSettings(level="warning"), "conductor")
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")
    assert [line["event"] for line in lines(capsys)] == ["loud"]


def test_text_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs(LogSettings(format=LogFormat.TEXT), "conductor")
    with log_context(instance_id="i-1"):
        structlog.get_logger().info("instance.restored")
    shown = capsys.readouterr().err
    assert "instance.restored" in shown
    assert "instance_id=i-1" in shown
    assert not shown.startswith("{")


def test_what_libraries_say_to_their_developers_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs(LogSettings(), "conductor")
    logging.getLogger("kopf.objects").info("handler succeeded")
    logging.getLogger("kopf.objects").warning("something is wrong")
    assert [line["event"] for line in lines(capsys)] == ["something is wrong"]
