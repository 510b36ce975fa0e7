"""kopf follows from where Cairn has listed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from kopf._cogs.clients import watching
from kopf._cogs.structs.references import Resource

from cairn_crds import GROUP, VERSION, Flavor
from cairn_runtime.kubernetes import ApiServerUnavailable
from cairn_runtime.listing import Following
from cairn_runtime.store import Store
from cairn_runtime.watching import Watches

FLAVORS = Resource(GROUP, VERSION, "flavors", namespaced=False)


class Api:
    """One Flavor, in a version of its own for every list."""

    def __init__(self) -> None:
        self.lists: list[bool] = []
        self.errors: list[Exception] = []

    async def list_all(
        self, _kind: Any, _namespace: str | None = None, *, fresh: bool = False
    ) -> tuple[list[dict[str, Any]], str]:
        if self.errors:
            raise self.errors.pop()
        self.lists.append(fresh)
        version = str(10 * len(self.lists))
        return [{"metadata": {"name": "small", "resourceVersion": version}, "spec": {}}], version


async def _followed(watches: Watches, monkeypatch: pytest.MonkeyPatch) -> str | None:
    """The version that kopf follows from, of those that `watches` have listed."""
    settings, since = Following(), asyncio.get_running_loop().create_future()
    settings.begin = watches.begin

    async def watch_objs(**options: Any) -> AsyncIterator[Any]:
        since.set_result(options["since"])
        options["operator_pause_waiter"].set_result(None)
        return
        yield

    monkeypatch.setattr(watching, "watch_objs", watch_objs)
    pause: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    events = [
        event
        async for event in watching.continuous_watch(
            settings=settings, resource=FLAVORS, namespace=None, operator_pause_waiter=cast(Any, pause)
        )
    ]
    assert events == [watching.Bookmark.LISTED]
    found: str | None = await since
    return found


async def test_kopf_follows_from_the_first_list_and_lists_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    api, store = Api(), Store(Flavor)
    watches = Watches(cast(Any, api), [store])
    await watches.fill()
    assert await _followed(watches, monkeypatch) == "10"
    assert api.lists == [True]


async def test_the_first_list_of_what_there_is_much_of_comes_from_the_cache(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    api, store = Api(), Store(Flavor)
    watches = Watches(cast(Any, api), [store], from_cache=(Flavor,))
    await watches.fill()
    assert api.lists == [False]
    assert await _followed(watches, monkeypatch) == "10", "what is newer than that list is told by the watch"


async def test_a_watch_that_broke_goes_on_from_a_list_as_it_is_now(monkeypatch: pytest.MonkeyPatch) -> None:
    api, store = Api(), Store(Flavor)
    store.put({"metadata": {"name": "ghost", "resourceVersion": "3"}, "spec": {}})
    watches = Watches(cast(Any, api), [store])
    await watches.fill()
    await watches.begin("flavors", None)
    store.put({"metadata": {"name": "ghost", "resourceVersion": "11"}, "spec": {}})
    assert await _followed(watches, monkeypatch) == "20"
    assert api.lists == [True, True]
    assert list(store) == [("", "small")]


async def test_an_api_server_that_does_not_answer_is_waited_for() -> None:
    api = Api()
    api.errors = [ApiServerUnavailable(0, "NoAnswer", "no answer")]
    assert await Watches(cast(Any, api), [Store(Flavor)]).begin("flavors", None) == "10"
