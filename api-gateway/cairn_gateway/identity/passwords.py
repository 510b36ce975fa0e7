"""Passwords and other secrets that people type: hashed with Argon2id, which costs some 40 ms and 19 MiB each.

What it costs is a setting, and every hash says its own: a password keeps what it was set with. Work is done
in two threads (it runs beside the event loop: the library lets go of the interpreter's lock), and what would
wait for too long is refused.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from cairn_gateway.http.faults import ServiceUnavailable
from cairn_gateway.identity.settings import IdentitySettings

T = TypeVar("T")
THREADS: Final = 2
MOST_WAITING: Final = 100
"""Two threads work that off in two to three seconds."""
LONGEST: Final = 4096
"""Characters of a password, as in Keystone."""


class PasswordHasher:
    """Hashes and checks, off the event loop."""

    def __init__(self, settings: IdentitySettings) -> None:
        self._memory_kib = settings.password_memory_kib
        self._passes = settings.password_passes
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="cairn-password")
        self._waiting = 0
        self._nobodys: str | None = None

    async def hash(self, password: str) -> str:
        """The password as it may be stored. Raises ServiceUnavailable."""
        return await self._work(lambda: _hash(password, self._memory_kib, self._passes))

    async def matches(self, password: str, stored: str | None) -> bool:
        """Whether `stored` is the hash of the password. Without one it takes as long, and is False: nobody
        can tell by the time whether there is such a user. Raises ServiceUnavailable."""
        if stored is None:
            if self._nobodys is None:
                self._nobodys = await self.hash(secrets.token_hex(16))
            await self._work(lambda: _matches(password, self._nobodys or ""))
            return False
        return await self._work(lambda: _matches(password, stored))

    def close(self) -> None:
        """Finish what has begun."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def _work(self, work: Callable[[], T]) -> T:
        if self._waiting >= MOST_WAITING:
            raise ServiceUnavailable("Too many people are signing in at this moment.", retry_after=3)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1


def _hash(password: str, memory_kib: int, passes: int) -> str:
    salt = secrets.token_bytes(16)
    algorithm = Argon2id(salt=salt, length=32, iterations=passes, lanes=1, memory_cost=memory_kib)
    return algorithm.derive_phc_encoded(password.encode())


def _matches(password: str, stored: str) -> bool:
    try:
        Argon2id.verify_phc_encoded(password.encode(), stored)
    except InvalidKey:
        return False
    return True
