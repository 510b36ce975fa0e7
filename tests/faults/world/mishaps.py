"""What goes wrong, and where: every side effect of every process passes through `Gates.cross`.

A gate has a name (`sql.commit`, `kubernetes.PATCH.guests/status`, `driver.spawn.disk` …). What happens there
is either ordered beforehand by a test (`Faults.order`) or drawn from the seed.
"""

from __future__ import annotations

import asyncio
import enum
import hashlib
import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from faults.world.loop import OWNER, VirtualLoop
from faults.world.process import Killed, Process

T = TypeVar("T")
TRACE_LINES = 3000


class Mishap(enum.StrEnum):
    """What can happen at a gate."""

    CRASH_BEFORE = "crash before"
    """The process is killed, and nothing was done."""
    CRASH_AFTER = "crash after"
    """It was done, and the process is killed before it hears so."""
    REFUSED = "refused"
    """An error, and nothing was done."""
    LOST = "answer lost"
    """It was done, and the answer is an error all the same."""
    SLOW = "slow"
    """It takes seconds."""
    PAUSE = "pause"
    """The process is stopped (SIGSTOP) with the request about to be sent, and goes on later."""
    PAUSE_AFTER = "pause after"
    """It was done, and the process is stopped before it hears so: it goes on with an answer that is old."""


@dataclass(frozen=True)
class Weather:
    """How likely each mishap is at a gate; 0 to 1."""

    crash: float = 0.0
    refused: float = 0.0
    lost: float = 0.0
    slow: float = 0.0
    pause: float = 0.0
    dropped: float = 0.0
    """Of a watch's events: never told."""
    doubled: float = 0.0
    late: float = 0.0
    """Told seconds later, after newer ones."""

    def mild(self) -> Weather:
        """Only what every network does now and then."""
        return replace(self, crash=0.0, pause=0.0, dropped=0.0)


CALM = Weather()


@dataclass
class Order:
    """A mishap that a test asks for."""

    process: str
    """Begins the process' name."""
    gate: str
    """Begins the gate's name, or that with what is done there (`sql.read get_by_name`)."""
    mishap: Mishap
    skip: int = 0
    """So many passages go well before."""
    times: int = 1

    def meets(self, process: Process, gate: str) -> bool:
        """Whether it happens now; counts."""
        if not self.times or not process.name.startswith(self.process) or not gate.startswith(self.gate):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        return True


@dataclass
class Faults:
    """Decides, and remembers what it decided."""

    seed: int
    weather: Weather = CALM
    orders: list[Order] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    passed: list[tuple[str, str]] | None = None
    """Where a test wants to know: every (process, gate) that was passed."""

    def __post_init__(self) -> None:
        self.rng = random.Random(f"faults {self.seed}")

    def order(self, process: str, gate: str, mishap: Mishap, *, skip: int = 0, times: int = 1) -> Order:
        """Make it happen."""
        wanted = Order(process, gate, mishap, skip, times)
        self.orders.append(wanted)
        return wanted

    def at(self, process: Process, gate: str, note: str = "") -> Mishap | None:
        """What happens to `process` at `gate`, where it does what `note` says."""
        if self.passed is not None:
            self.passed.append((process.name, gate))
        mishap = next((order.mishap for order in self.orders if order.meets(process, f"{gate} {note}")), None)
        if mishap is None and self.weather is not CALM:
            mishap = self._draw()
        if mishap is not None:
            self.counts[mishap] += 1
        return mishap

    def _draw(self) -> Mishap | None:
        weather, dice = self.weather, self.rng.random()
        for mishap, chance in (
            (Mishap.CRASH_BEFORE, weather.crash / 2),
            (Mishap.CRASH_AFTER, weather.crash / 2),
            (Mishap.REFUSED, weather.refused),
            (Mishap.LOST, weather.lost),
            (Mishap.SLOW, weather.slow),
            (Mishap.PAUSE, weather.pause / 2),
            (Mishap.PAUSE_AFTER, weather.pause / 2),
        ):
            dice -= chance
            if dice < 0:
                return mishap
        return None


class Trace:
    """The last of what happened, and a digest of all of it."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.lines: deque[str] = deque(maxlen=TRACE_LINES)
        self._digest = hashlib.blake2b(digest_size=8)
        self.echo: Callable[[str], None] | None = None

    def add(self, text: str) -> None:
        """Remember a line."""
        owner = OWNER.get()
        line = f"{self._loop.now - 1000:10.4f} {owner or 'world'!s:<16} {text}"
        self.lines.append(line)
        self._digest.update(line.encode())
        if self.echo is not None:
            self.echo(line)

    @property
    def digest(self) -> str:
        """Two runs with the same digest went the same way."""
        return self._digest.hexdigest()


class Gates:
    """What stands between the processes and the world."""

    def __init__(
        self,
        loop: VirtualLoop,
        faults: Faults,
        kill: Callable[[Process], None],
        pause: Callable[[Process], None],
    ) -> None:
        self._loop = loop
        self._faults = faults
        self._kill = kill
        self._pause = pause
        self.rng = random.Random(f"latency {faults.seed}")
        self.trace = Trace(loop)

    async def cross(
        self,
        gate: str,
        act: Callable[[], Awaitable[T]],
        error: Callable[[], Exception],
        seconds: float,
        note: str = "",
        *,
        after: bool = True,
    ) -> T:
        """Do `act`, unless something comes between. `error` makes what a mishap raises; `seconds`: how long
        it takes, about. `after` False: once it is done nothing can come between any more."""
        process = OWNER.get()
        if process is None:
            return await act()
        if process.is_dead:
            raise Killed
        mishap = self._faults.at(process, gate, note)
        self.trace.add(f"{gate} {note}{f' !! {mishap}' if mishap else ''}")
        await asyncio.sleep(seconds * self.rng.uniform(0.2, 1.0))
        if mishap is Mishap.CRASH_BEFORE:
            await self._die(process)
        if mishap is Mishap.REFUSED:
            raise error()
        if mishap is Mishap.SLOW:
            await asyncio.sleep(self.rng.uniform(0.5, 8.0))
        if mishap is Mishap.PAUSE:
            self._pause(process)
            await asyncio.sleep(0)
        result = await act()
        if not after:
            return result
        if mishap is Mishap.CRASH_AFTER:
            await self._die(process)
        if mishap is Mishap.LOST:
            raise error()
        if mishap is Mishap.PAUSE_AFTER:
            self._pause(process)
        await asyncio.sleep(seconds * self.rng.uniform(0.1, 0.6))
        return result

    async def _die(self, process: Process) -> None:
        self._kill(process)
        await asyncio.Event().wait()
