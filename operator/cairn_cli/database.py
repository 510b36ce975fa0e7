"""`cairn db upgrade`: bring the database schema up to date."""

from __future__ import annotations

import asyncio
import sys

from pydantic import ValidationError

from cairn_database import DatabaseError
from cairn_database.migrations import upgrade
from cairn_runtime.process import describe
from cairn_runtime.settings import DatabaseSettings, ProcessSettings, load_settings


class DatabaseCommandSettings(ProcessSettings):
    """cairn db upgrade: creates the tables, or changes them to what this version works with."""

    database: DatabaseSettings = DatabaseSettings()


def main(arguments: list[str]) -> int:
    """`upgrade [--database.url URL]`."""
    if arguments[:1] != ["upgrade"]:
        sys.stderr.write("usage: cairn db upgrade [--database.url URL] [--config FILE]\n")
        return 2
    try:
        settings = load_settings(DatabaseCommandSettings, arguments[1:], "cairn db upgrade")
        asyncio.run(upgrade(settings.database.url.get_secret_value()))
    except ValidationError as error:
        sys.stderr.write(f"cairn db: {describe(error)}\n")
        return 2
    except DatabaseError as error:
        sys.stderr.write(f"cairn db: {error}\n")
        return 1
    sys.stdout.write("The database schema is up to date.\n")
    return 0
