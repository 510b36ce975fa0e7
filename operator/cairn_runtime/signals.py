"""SIGTERM and SIGINT mean "end in order", whatever libraries make of them.

kopf takes both for itself when it starts, and would end alone: `retake` gives them back to the process.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable

SIGNALS = (signal.SIGTERM, signal.SIGINT)
_wanted: list[Callable[[], None]] = []


def on_stop_signal(callback: Callable[[], None]) -> None:
    """From now on both signals call `callback`, in the running loop. For the main thread."""
    _wanted[:] = [callback]
    retake()


def retake() -> None:
    """After somebody else has set handlers of his own. Does nothing where no callback was ever set."""
    if not _wanted or threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, _wanted[0])
