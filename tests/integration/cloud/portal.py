"""An event loop in a thread of its own: the tests are plain functions, Cairn's own parts are not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Portal:
    """`call(coroutine)` from outside of the loop; a context manager."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="portal", daemon=True)

    def __enter__(self) -> Portal:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def call(self, coroutine: Coroutine[Any, Any, T], seconds: float = 60.0) -> T:
        """Run it in the loop and return its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(seconds)

    def do(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a plain function in the loop's thread."""

        async def run() -> T:
            return function(*arguments)

        return self.call(run())
