"""The password of a guest's administrator: told once, in the answer to who asked; kept as a hash only.

Used wherever a guest is given one. Source: Nova API, `adminPass` of POST /servers and of actions.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass

from passlib.hash import sha512_crypt

LENGTH = 12
"""Characters of a password that is made; Nova's `password_length`."""
ALPHABETS = ("23456789", "ABCDEFGHJKLMNPQRSTUVWXYZ", "abcdefghijkmnopqrstuvwxyz")
"""One character at least of each. What looks alike (0 O, 1 l I) is left out, as in Nova's."""
ROUNDS = 5000
"""Of SHA-512-crypt: its own default, which every guest understands. A made password has 70 bits, which no
number of guesses finds; 5,000 rounds take 5 ms of CPU."""


@dataclass(frozen=True)
class AdminPassword:
    """A password and what is kept of it."""

    clear: str
    """Goes into the answer, and nowhere else."""
    hashed: str
    """`$6$salt$…`, as /etc/shadow has it."""

    def __repr__(self) -> str:
        return "AdminPassword(…)"  # so that no log or traceback shows it


async def admin_password(given: str | None, *, make: bool) -> AdminPassword | None:
    """The one `given`, or a new one if there is to be one (`make`).

    The hash is made in a thread, as it takes longer than others should wait.
    """
    if given is None and not make:
        return None
    clear = generate() if given is None else given
    return AdminPassword(clear, await asyncio.to_thread(hash_password, clear))


def generate(length: int = LENGTH) -> str:
    """A random password of letters and digits (Nova: `generate_password`)."""
    characters = "".join(ALPHABETS)
    while True:
        found = "".join(secrets.choice(characters) for _ in range(length))
        if all(set(found) & set(alphabet) for alphabet in ALPHABETS):
            return found


def hash_password(clear: str) -> str:
    """SHA-512-crypt with a random salt."""
    return str(sha512_crypt.using(rounds=ROUNDS).hash(clear))
