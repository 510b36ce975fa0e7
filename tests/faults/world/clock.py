"""Time and chance for the processes' code: for as long as a world exists, Cairn's modules see its clock and
its dice in place of the machine's.

Every `time`, `datetime`, `random`, `uuid` and `secrets` that a module of Cairn's has imported is replaced,
and defaults of functions that are clocks. A process' skew moves its wall clock only.
"""

from __future__ import annotations

import datetime as datetime_module
import inspect
import random
import secrets
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from types import FunctionType, ModuleType
from typing import Any

from faults.world.loop import OWNER, VirtualLoop

BEGINNING = datetime(2031, 1, 1, tzinfo=UTC)
PREFIX = "cairn_"
_CLOCKS: tuple[Any, ...] = (time.monotonic, time.time, time.perf_counter)


class _Stand:
    """In the place of a module: some names of its own, the rest as they are."""

    def __init__(self, module: ModuleType, **names: Any) -> None:
        self.__dict__.update(names)
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


class _DateTimeType(type):
    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, datetime)


class Clock:
    """One world's clock and dice."""

    def __init__(self, loop: VirtualLoop, seed: int) -> None:
        self._loop = loop
        self.rng = random.Random(f"processes {seed}")

    def monotonic(self) -> float:
        """Seconds."""
        return self._loop.now

    def wall(self) -> datetime:
        """What the running process' wall clock says."""
        owner = OWNER.get()
        return BEGINNING + timedelta(seconds=self._loop.now + (owner.skew if owner else 0.0))

    def new_uuid(self) -> uuid.UUID:
        """In the place of uuid4."""
        return uuid.UUID(int=self.rng.getrandbits(128), version=4)

    def _random(self, seed: Any = None) -> random.Random:
        return random.Random(self.rng.getrandbits(64) if seed is None else seed)

    def stands(self) -> dict[int, Any]:
        """By the identity of what is replaced."""
        clock = self

        class Now(datetime, metaclass=_DateTimeType):
            """`datetime`, which tells the world's time."""

            @classmethod
            def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
                return clock.wall().astimezone(tz) if tz else clock.wall().replace(tzinfo=None)

        rng = self.rng
        stand_in_time = _Stand(
            time,
            monotonic=self.monotonic,
            perf_counter=self.monotonic,
            time=lambda: self.wall().timestamp(),
            time_ns=lambda: int(self.wall().timestamp() * 1e6) * 1000,
            perf_counter_ns=lambda: int(self._loop.now * 1e9),
        )
        dice = {
            name: getattr(rng, name)
            for name in ("random", "uniform", "choice", "randrange", "randint", "sample")
        }
        return {
            id(time): stand_in_time,
            id(datetime): Now,
            id(datetime_module): _Stand(datetime_module, datetime=Now),
            id(random): _Stand(random, Random=self._random, **dice),
            id(uuid): _Stand(uuid, uuid4=self.new_uuid),
            id(secrets): _Stand(
                secrets, token_hex=lambda size=32: f"{rng.getrandbits(size * 8):0{size * 2}x}"
            ),
            id(time.monotonic): self.monotonic,
            id(time.perf_counter): self.monotonic,
            id(time.time): stand_in_time.time,
        }


@contextmanager
def installed(clock: Clock) -> Iterator[None]:
    """For as long as it lasts, Cairn's modules use `clock`."""
    stands, undo = clock.stands(), []
    for module in [module for name, module in sys.modules.items() if name.startswith(PREFIX)]:
        for name, value in list(vars(module).items()):
            if id(value) in stands:
                setattr(module, name, stands[id(value)])
                undo.append((setattr, module, name, value))
            for function in _functions(value, module.__name__):
                undo += _replace_defaults(function, stands)
    try:
        yield
    finally:
        for act, *arguments in undo:
            act(*arguments)


def _functions(value: Any, module: str) -> Iterator[FunctionType]:
    if isinstance(value, FunctionType) and value.__module__ == module:
        yield value
    elif inspect.isclass(value) and value.__module__ == module:
        yield from (inner for inner in vars(value).values() if isinstance(inner, FunctionType))


def _replace_defaults(
    function: FunctionType, stands: dict[int, Any]
) -> Iterator[tuple[Callable[..., Any], Any, str, Any]]:
    for name in ("__defaults__", "__kwdefaults__"):
        values = getattr(function, name)
        if values is None:
            continue
        if isinstance(values, tuple):
            new: Any = tuple(_or_stand(value, stands) for value in values)
        else:
            new = {key: _or_stand(value, stands) for key, value in values.items()}
        if new != values:
            setattr(function, name, new)
            yield setattr, function, name, values


def _or_stand(value: Any, stands: dict[int, Any]) -> Any:
    return stands[id(value)] if any(value is clock for clock in _CLOCKS) else value
