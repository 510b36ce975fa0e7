"""What `ImageCache.prune` removes and what it must leave."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

from cairn_agent.images import ImageCache, Pruned
from cairn_crds.image_source import GuestImage

from .conftest import MIB

ImageOf = Callable[..., GuestImage]
HOUR = 3600.0


def put(directory: Path, digit: str, *, age: float, size: int = MIB) -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / f"{digit * 64}.raw"
    path.write_bytes(os.urandom(size))
    then = time.time() - age
    os.utime(path, (then, then))
    return path


async def test_what_is_long_unused_goes_and_what_is_kept_or_fresh_stays(cache: ImageCache) -> None:
    old = put(cache.directory, "a", age=48 * HOUR)
    used = put(cache.directory, "b", age=48 * HOUR)
    fresh = put(cache.directory, "c", age=HOUR)
    assert await cache.prune({"b" * 64}) == Pruned(1, MIB)
    assert not old.exists()
    assert used.exists()
    assert fresh.exists()


async def test_beyond_its_bound_the_least_recently_fetched_go_first(tmp_path: Path) -> None:
    cache = ImageCache(tmp_path / "cache", max_bytes=2 * MIB)
    ages = {"a": 3 * HOUR, "b": 2 * HOUR, "c": HOUR, "d": 1.0}
    paths = {digit: put(cache.directory, digit, age=age) for digit, age in ages.items()}
    await cache.prune({"b" * 64})
    assert [digit for digit, path in paths.items() if path.exists()] == ["b", "d"]


async def test_a_fetch_makes_an_image_fresh(cache: ImageCache, image_of: ImageOf, qcow2: bytes) -> None:
    path = await cache.fetch(image_of(content=qcow2))
    os.utime(path, (0, 0))
    await cache.fetch(image_of())
    assert await cache.prune(set()) == Pruned(0, 0)
    assert path.exists()


async def test_leftovers_of_a_crash_go_and_a_running_download_stays(cache: ImageCache) -> None:
    cache.directory.mkdir()
    left, running = cache.directory / ".left.qcow2.part", cache.directory / ".running.qcow2.part"
    left.touch()
    with running.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        await cache.prune(set())
    assert not left.exists()
    assert running.exists()


async def test_an_image_that_a_fetch_holds_stays(cache: ImageCache) -> None:
    path = put(cache.directory, "a", age=48 * HOUR)
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        assert await cache.prune(set()) == Pruned(0, 0)
    assert path.exists()


async def test_a_cache_that_was_never_used_is_empty(cache: ImageCache) -> None:
    assert await cache.prune(set()) == Pruned(0, 0)
