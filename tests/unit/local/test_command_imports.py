"""Commands that people wait for answer at once: what takes long to import is imported where it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

SLOW = ("aiohttp", "cryptography", "kopf", "libvirt", "pydantic", "sqlalchemy", "structlog", "yaml")
CODE = """
import contextlib, io, sys
from cairn_cli.main import main
with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.suppress(SystemExit):
    main()
assert said.getvalue().startswith("usage: cairn")
print(*(set(sys.stdin.read().split()) & sys.modules.keys()))
"""


@pytest.mark.parametrize("command", [[], ["ssh"], ["port-forward"], ["status"]])
def test_a_short_command_imports_nothing_that_takes_long(command: list[str]) -> None:
    argv = [sys.executable, "-c", CODE, *command, "--help"]
    done = subprocess.run(argv, input=" ".join(SLOW), capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
