"""The password of a guest's administrator."""

from __future__ import annotations

import re

import pytest
from passlib.hash import sha512_crypt

from cairn_crds.guest import GuestConfig
from cairn_gateway.nova.servers.passwords import ALPHABETS, admin_password, generate, hash_password


def test_the_hash_is_the_one_of_the_specification() -> None:
    """Its first test vector (Drepper, Unix crypt using SHA-256 and SHA-512)."""
    assert sha512_crypt.using(salt="saltstring", rounds=5000).hash("Hello world!") == (
        "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"
    )


@pytest.mark.parametrize("password", ["a", "päßwörd ünd $6$", "x" * 255, "", "a: b\n'\""])
def test_a_hash_fits_its_password_only_and_what_carries_it(password: str) -> None:
    hashed = hash_password(password)
    assert sha512_crypt.verify(password, hashed)
    assert not sha512_crypt.verify(password + "x", hashed)
    assert GuestConfig(hostname="h", admin_password_hash=hashed).admin_password_hash == hashed
    assert hash_password(password) != hashed, "each has a salt of its own"


def test_one_that_is_made_is_as_novas() -> None:
    made = {generate() for _ in range(200)}
    assert len(made) == 200
    for password in made:
        assert re.fullmatch(f"[{''.join(ALPHABETS)}]{{12}}", password)
        assert all(set(password) & set(alphabet) for alphabet in ALPHABETS)


async def test_one_is_made_only_where_none_is_given_and_one_is_wanted() -> None:
    assert await admin_password(None, make=False) is None
    given = await admin_password("mine", make=True)
    assert given is not None
    assert given.clear == "mine"
    assert "mine" not in repr(given)
    made = await admin_password(None, make=True)
    assert made is not None
    assert sha512_crypt.verify(made.clear, made.hashed)
