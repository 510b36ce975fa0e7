"""The lists that repair the stores."""

from __future__ import annotations

from typing import Any, cast

from cairn_crds import Flavor, Guest
from cairn_runtime.store import Store
from cairn_runtime.watching import Watches


def flavor(version: int, name: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "resourceVersion": str(version)}, "spec": {}}


def guest(version: int, name: str, namespace: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace, "resourceVersion": str(version)}, "spec": {}}


class Api:
    """Lists by namespace; `meanwhile` happens after a namespace has been listed."""

    def __init__(self, lists: dict[str | None, tuple[list[dict[str, Any]], str]]) -> None:
        self.lists = lists
        self.meanwhile: dict[str | None, Any] = {}

    async def list_all(
        self, _kind: Any, namespace: str | None = None, *, fresh: bool = False
    ) -> tuple[list[dict[str, Any]], str]:
        answer = self.lists[namespace]
        if happens := self.meanwhile.get(namespace):
            happens()
        return answer


async def test_a_store_is_repaired_by_a_list_of_the_cluster() -> None:
    store = Store(Flavor)
    store.put(flavor(3, "ghost"))
    api = Api({None: ([flavor(5, "small")], "9")})
    watches = Watches(cast(Any, api), [store])
    assert await watches.check() == "not listed yet: flavors"
    await watches.resync()
    assert list(store) == [("", "small")]
    assert await watches.check() is None


async def test_a_store_of_several_namespaces_is_repaired_by_all_their_lists() -> None:
    store = Store(Guest)
    for name, namespace in (("a", "n1"), ("ghost", "n1"), ("b", "n2"), ("ghost", "n2")):
        store.put(guest(3, name, namespace))
    api = Api({"n1": ([guest(3, "a", "n1")], "8"), "n2": ([guest(3, "b", "n2")], "9")})
    await Watches(cast(Any, api), [store], namespaces=["n1", "n2"]).resync()
    assert sorted(store) == [("n1", "a"), ("n2", "b")]


async def test_what_appears_while_another_namespace_is_listed_stays() -> None:
    store = Store(Guest)
    api = Api({"n1": ([], "8"), "n2": ([], "12")})
    api.meanwhile["n1"] = lambda: store.put(guest(10, "young", "n1"))
    await Watches(cast(Any, api), [store], namespaces=["n1", "n2"]).resync()
    assert list(store) == [("n1", "young")]


async def test_stopping_what_was_never_started_is_nothing() -> None:
    await Watches(cast(Any, Api({})), [Store(Flavor)]).stop()
