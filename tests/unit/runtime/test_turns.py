"""So many at once; the others are looked at again when there is room, the longest waiting first."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from cairn_runtime.turns import Turns


class Desk:
    """A limit, and who has been told of room."""

    def __init__(self, at_once: int) -> None:
        self.told: list[str] = []
        self.turns = Turns(at_once, self.told.append)

    def begin(self, key: str) -> ExitStack | None:
        """`close` of what it returns ends the turn; None: there is none."""
        stack = ExitStack()
        if stack.enter_context(self.turns.turn(key)):
            return stack
        stack.close()
        return None


def test_no_more_than_that_many_have_their_turn() -> None:
    desk = Desk(2)
    a, b = desk.begin("a"), desk.begin("b")
    assert a is not None
    assert b is not None
    assert desk.begin("c") is None
    assert (desk.turns.waiting, desk.told) == (1, [])
    a.close()
    assert desk.told == ["c"]


def test_room_is_kept_for_whoever_was_told_of_it() -> None:
    desk = Desk(1)
    a = desk.begin("a")
    assert a is not None
    assert desk.begin("b") is None
    a.close()
    assert desk.begin("c") is None, "who comes in between waits"
    b = desk.begin("b")
    assert b is not None
    b.close()
    assert desk.told == ["b", "c"]


def test_who_asks_twice_keeps_its_place() -> None:
    desk = Desk(1)
    a = desk.begin("a")
    assert a is not None
    for key in ("b", "c", "b"):
        assert desk.begin(key) is None
    a.close()
    assert desk.told == ["b"]


def test_room_that_is_not_needed_any_more_goes_to_the_next() -> None:
    desk = Desk(1)
    a = desk.begin("a")
    assert a is not None
    for key in ("b", "c", "d"):
        assert desk.begin(key) is None
    desk.turns.forget("c")
    a.close()
    desk.turns.forget("b")
    assert desk.told == ["b", "d"]
    desk.turns.forget("d")
    assert desk.begin("e") is not None, "nobody waits: it is free"


def test_a_turn_ends_with_an_error_too() -> None:
    desk = Desk(1)
    with pytest.raises(ZeroDivisionError), desk.turns.turn("a"):
        print(1 / 0)
    assert desk.begin("b") is not None
