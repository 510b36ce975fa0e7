"""Passwords: hashed, compared, never shown."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from cairn_gateway.http.faults import BadRequest, ServiceUnavailable
from cairn_gateway.http.models import check
from cairn_gateway.identity import passwords
from cairn_gateway.identity.models import AuthRequest, UserCreate
from cairn_gateway.identity.passwords import PasswordHasher
from cairn_gateway.identity.settings import IdentitySettings
from support.passwords import CHEAP_PASSWORDS


@pytest.fixture
def hasher() -> Iterator[PasswordHasher]:
    made = PasswordHasher(IdentitySettings())
    yield made
    made.close()


async def test_the_right_password_matches(hasher: PasswordHasher) -> None:
    stored = await hasher.hash("correct horse")
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await hasher.matches("correct horse", stored)
    assert not await hasher.matches("correct horsE", stored)
    assert await hasher.hash("correct horse") != stored


async def test_a_password_keeps_the_cost_that_it_was_set_with(hasher: PasswordHasher) -> None:
    cheap = PasswordHasher(CHEAP_PASSWORDS)
    stored = await cheap.hash("correct horse")
    cheap.close()
    assert stored.startswith("$argon2id$v=19$m=64,t=1,p=1$")
    assert await hasher.matches("correct horse", stored)


async def test_nobody_has_no_password(hasher: PasswordHasher) -> None:
    assert not await hasher.matches("", None)
    assert not await hasher.matches("x", None)


async def test_it_runs_beside_the_event_loop(hasher: PasswordHasher) -> None:
    work = asyncio.gather(*(hasher.hash("x") for _ in range(4)))
    gaps = []
    while not work.done():
        began = time.perf_counter()
        await asyncio.sleep(0)
        gaps.append(time.perf_counter() - began)
    assert len(gaps) > 10


async def test_more_than_can_be_done_soon_is_refused(
    hasher: PasswordHasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "MOST_WAITING", 2)
    results = await asyncio.gather(*(hasher.hash("x") for _ in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [str, str, ServiceUnavailable]


def test_no_repr_shows_a_secret() -> None:
    body = {
        "identity": {
            "methods": ["password"],
            "password": {"user": {"id": "u", "password": "hunter2"}},
            "token": {"id": "hunter2"},
            "application_credential": {"id": "a", "secret": "hunter2"},
        }
    }
    assert "hunter2" not in repr(check(AuthRequest, {"auth": body}))
    assert "hunter2" not in repr(check(UserCreate, {"user": {"name": "u", "password": "hunter2"}}))


@pytest.mark.parametrize("password", [7, ["hunter2"], "x" * 5000])
def test_what_is_wrong_with_a_password_is_told_without_it(password: object) -> None:
    with pytest.raises(BadRequest) as refusal:
        check(UserCreate, {"user": {"name": "u", "password": password}})
    assert "hunter2" not in refusal.value.message
    assert "password" in refusal.value.message
