"""The host's watchdog device: a clock that resets the host unless it is told in time that all is well.

It is what makes self-fencing certain: an agent that has been killed, or hangs, powers nothing off, but it
does not feed the device either.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import struct
from pathlib import Path

import structlog

log = structlog.get_logger()
SET_TIMEOUT = 0xC0045706
"""WDIOC_SETTIMEOUT (linux/watchdog.h): seconds in, what the device made of them out."""
FEED, MAGIC_CLOSE = b"\0", b"V"


class WatchdogUnusable(Exception):
    """There is no such device, or it cannot wait for as long as it has to."""


class Watchdog:
    """One device, from `arm` on; it is fed by whoever knows that the host is well."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._device: int | None = None

    @property
    def armed(self) -> bool:
        """Whether the host is reset when nobody feeds it."""
        return self._device is not None

    def arm(self, seconds: int) -> None:
        """From now on it has to be fed every `seconds`. Raises WatchdogUnusable."""
        try:
            device = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
        except OSError as error:
            raise WatchdogUnusable(f"{self._path}: {error.strerror}") from error
        problem = self._set_timeout(device, seconds)
        if problem is not None:
            self._close(device)
            raise WatchdogUnusable(problem)
        self._device = device
        log.info("watchdog.armed", device=str(self._path), seconds=seconds)

    def _set_timeout(self, device: int, seconds: int) -> str | None:
        """None where the device waits for so long now; else why not."""
        if not stat.S_ISCHR(os.fstat(device).st_mode):
            return f"{self._path} is no device"
        try:
            answer = fcntl.ioctl(device, SET_TIMEOUT, struct.pack("i", seconds))
        except OSError as error:
            return f"{self._path} takes no timeout of {seconds} s: {error.strerror}"
        (real,) = struct.unpack("i", answer)
        return None if real == seconds else f"{self._path} waits for {real} s, not for {seconds} s"

    def feed(self) -> None:
        """All is well. Raises OSError."""
        if self._device is not None:
            os.write(self._device, FEED)

    def disarm(self) -> None:
        """The host is no longer reset, unless its kernel does not allow that (`nowayout`)."""
        if self._device is not None:
            self._close(self._device)
            self._device = None

    @staticmethod
    def _close(device: int) -> None:
        with contextlib.suppress(OSError):
            os.write(device, MAGIC_CLOSE)
        os.close(device)
