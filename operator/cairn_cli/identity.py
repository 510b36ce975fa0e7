"""`cairn identity`: the built-in identity's first administrator, and its keys."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from pydantic import SecretStr, ValidationError

from cairn_database import Database, DatabaseError
from cairn_database.identity import keys
from cairn_database.identity.revision import Revision
from cairn_gateway.identity.bootstrap import Administrator, bootstrap
from cairn_gateway.identity.keys import KeyRing, KeySecretWrong, KeyWrap, rotate_credential_keys
from cairn_gateway.identity.settings import IdentitySettings
from cairn_runtime.kubernetes import Kubernetes, KubernetesError
from cairn_runtime.process import describe
from cairn_runtime.settings import DatabaseSettings, ProcessSettings, Section, load_settings

USAGE = """usage: cairn identity COMMAND [OPTIONS]   (cairn identity COMMAND --help for its options)

  bootstrap    make the first administrator, the roles and the domain Default; again changes nothing
  rotate-keys  a new key for tokens, and one for credentials, which are encrypted with it
"""


class BootstrapSettings(Section):
    """The first administrator."""

    user: str = "admin"
    """The name."""
    password: SecretStr = SecretStr("")
    """The password (better in the environment than in a flag: CAIRN_BOOTSTRAP__PASSWORD)."""
    password_file: Path = Path("admin-password")
    """Without a password: the file that holds it; made, with a new one, where it is missing (mode 0600)."""
    project: str = "admin"
    """The Project in which the user is admin; made where it is missing."""


class IdentityCommandSettings(ProcessSettings):
    """cairn identity: the built-in identity's first administrator, and its keys."""

    database: DatabaseSettings = DatabaseSettings()
    identity: IdentitySettings = IdentitySettings()
    bootstrap: BootstrapSettings = BootstrapSettings()


def main(arguments: list[str]) -> int:
    """`bootstrap` or `rotate-keys`, with settings as flags."""
    commands: dict[str, Callable[[IdentityCommandSettings], Awaitable[str]]] = {
        "bootstrap": _bootstrap,
        "rotate-keys": _rotate,
    }
    if not arguments or arguments[0] not in commands:
        sys.stderr.write(USAGE)
        return 2
    name = arguments[0]
    try:
        settings = load_settings(IdentityCommandSettings, arguments[1:], f"cairn identity {name}")
        sys.stdout.write(asyncio.run(_run(commands[name], settings)) + "\n")
    except ValidationError as error:
        sys.stderr.write(f"cairn identity: {describe(error)}\n")
        return 2
    except (DatabaseError, KubernetesError, KeySecretWrong, OSError) as error:
        sys.stderr.write(f"cairn identity: {error}\n")
        return 1
    return 0


async def _run(
    command: Callable[[IdentityCommandSettings], Awaitable[str]], settings: IdentityCommandSettings
) -> str:
    return await command(settings)


async def _bootstrap(settings: IdentityCommandSettings) -> str:
    own = settings.bootstrap
    password = own.password.get_secret_value() or password_of_file(own.password_file)
    kubernetes = Kubernetes(settings.kubernetes)
    async with Database(settings.database.url.get_secret_value()) as db:
        await db.require_schema()
        await kubernetes.open()
        try:
            administrator = Administrator(own.user, password, own.project)
            made = await bootstrap(db, kubernetes, administrator, settings.identity)
        finally:
            await kubernetes.close()
    return f"User {own.user} ({made.user_id}) is admin of project {own.project} ({made.project_id})."


async def _rotate(settings: IdentityCommandSettings) -> str:
    wrap = KeyWrap(settings.identity.key_secret.get_secret_value())
    async with Database(settings.database.url.get_secret_value()) as db:
        await db.require_schema()
        number = await KeyRing(db, keys.TOKENS, wrap, Revision(db)).rotate(settings.identity.keys_kept)
        credentials = await rotate_credential_keys(db, wrap)
    return f"Token key {number} is in use; {credentials} credential(s) were encrypted anew."


def password_of_file(path: Path) -> str:
    """The password that `path` holds; a new one where there is no such file, which only its owner may
    read."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            made = secrets.token_urlsafe(18)
            file.write(made + "\n")
            return made
    except FileExistsError:
        found = path.read_text().strip()
        if not found:
            raise OSError(f"{path} is empty: remove it, or write the password into it") from None
        return found
