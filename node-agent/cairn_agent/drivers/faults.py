"""Failures and delays that a test orders from the fake driver, by the name of the call they hit."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping


class Faults:
    """What calls run into: `faults.fails("power_on", DriverError("no"))`.

    Calls are named as the driver's methods; the steps of spawn are `spawn.image`, `spawn.network` … and
    are hit after they were reported and before they take effect.
    """

    def __init__(self, latency_seconds: Mapping[str, float] | None = None) -> None:
        self._delays = dict(latency_seconds or {})
        self._errors: dict[str, tuple[BaseException, int | None]] = {}
        self._gates: dict[str, asyncio.Event] = {}

    def fails(self, call: str, error: BaseException, times: int | None = None) -> None:
        """Make `call` raise `error`, `times` times or until `heals`."""
        self._errors[call] = (error, times)

    def delays(self, call: str, seconds: float) -> None:
        """Make `call` take `seconds` longer."""
        self._delays[call] = seconds

    def blocks(self, call: str) -> asyncio.Event:
        """Make `call` wait until the event that is returned is set."""
        return self._gates.setdefault(call, asyncio.Event())

    def heals(self, call: str) -> None:
        """Forget what was ordered for `call`; callers that wait go on."""
        self._errors.pop(call, None)
        self._delays.pop(call, None)
        if gate := self._gates.pop(call, None):
            gate.set()

    async def meet(self, call: str) -> None:
        """What the driver awaits at the start of each call."""
        if (seconds := self._delays.get(call)) is not None:
            await asyncio.sleep(seconds)
        if (gate := self._gates.get(call)) is not None:
            await gate.wait()
        if (fault := self._errors.get(call)) is not None:
            error, times = fault
            if times is not None:
                if times <= 1:
                    del self._errors[call]
                else:
                    self._errors[call] = (error, times - 1)
            raise error
