"""Who guesses has to wait, and who knows the password has not."""

from __future__ import annotations

import pytest

from cairn_gateway.http.faults import TooManyRequests
from cairn_gateway.identity import throttle
from cairn_gateway.identity.throttle import Throttle


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_failures_of_one_user_from_one_address_are_limited() -> None:
    clock = Clock()
    limits = Throttle(5, clock)
    for _ in range(5):
        limits.attempt("ann", "10.0.0.1")
    with pytest.raises(TooManyRequests) as refusal:
        limits.attempt("ann", "10.0.0.1")
    assert refusal.value.headers["Retry-After"] == "12"
    limits.attempt("ann", "10.0.0.2")
    limits.attempt("bob", "10.0.0.1")
    clock.now += 12
    limits.attempt("ann", "10.0.0.1")
    with pytest.raises(TooManyRequests):
        limits.attempt("ann", "10.0.0.1")


def test_a_right_password_does_not_count() -> None:
    limits = Throttle(2, Clock())
    for _ in range(100):
        limits.attempt("ann", "10.0.0.1").succeeded()


def test_guesses_at_the_same_time_are_counted_before_they_are_checked() -> None:
    limits = Throttle(3, Clock())
    attempts = [limits.attempt("ann", "10.0.0.1") for _ in range(3)]
    with pytest.raises(TooManyRequests):
        limits.attempt("ann", "10.0.0.1")
    attempts[0].succeeded()
    attempts[0].succeeded()
    limits.attempt("ann", "10.0.0.1")
    with pytest.raises(TooManyRequests):
        limits.attempt("ann", "10.0.0.1")


def test_one_password_for_many_users_and_one_user_from_many_addresses_are_limited() -> None:
    limits = Throttle(1, Clock())
    for number in range(throttle.ADDRESS_TIMES):
        limits.attempt(f"user-{number}", "10.0.0.1")
    with pytest.raises(TooManyRequests):
        limits.attempt("one-more", "10.0.0.1")
    for number in range(throttle.USER_TIMES):
        limits.attempt("ann", f"10.1.0.{number}")
    with pytest.raises(TooManyRequests):
        limits.attempt("ann", "10.2.0.1")


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "MOST_PURSES", 50)
    limits = Throttle(1, Clock())
    for number in range(500):
        limits.attempt(f"user-{number}", f"10.0.{number // 250}.{number % 250}")
    assert len(limits._purses) <= 50
