"""What the watches have seen, in whatever order it came."""

from __future__ import annotations

from typing import Any

import pytest

from cairn_crds import Flavor
from cairn_runtime.store import REMEMBERED_DELETIONS, Key, Store

KEY = ("", "small")


def body(version: int, name: str = "small", vcpus: int = 1, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "compute.cairn.dev/v1alpha1",
        "kind": "Flavor",
        "metadata": {"name": name, "uid": f"uid-{name}", "resourceVersion": str(version), **metadata},
        "spec": {"vcpus": vcpus, "memoryMiB": 64},
    }


class Listened(Store[Flavor]):
    def __init__(self) -> None:
        super().__init__(Flavor)
        self.heard: list[Key] = []
        self.on_change(self.heard.append)


@pytest.fixture
def store() -> Listened:
    return Listened()


def vcpus(store: Store[Flavor]) -> int | None:
    found = store.get(*KEY)
    return found.spec.vcpus if found else None


def test_the_newest_version_is_kept_and_told(store: Listened) -> None:
    assert store.put(body(5, vcpus=1))
    assert store.put(body(7, vcpus=2))
    assert vcpus(store) == 2
    assert store.heard == [KEY, KEY]


@pytest.mark.parametrize("version", [5, 7])
def test_an_older_or_the_same_version_is_no_news(store: Listened, version: int) -> None:
    store.put(body(7, vcpus=2))
    assert not store.put(body(version, vcpus=9))
    assert vcpus(store) == 2
    assert store.heard == [KEY]


def test_versions_are_numbers(store: Listened) -> None:
    store.put(body(9))
    assert store.put(body(10, vcpus=4))
    assert vcpus(store) == 4


def test_a_deletion_is_told_and_remembered(store: Listened) -> None:
    store.put(body(5))
    store.remove(body(8))
    assert KEY not in store
    assert store.get(*KEY) is None
    assert store.saw_deletion(KEY)
    assert store.heard == [KEY, KEY]
    store.forget_deletion(KEY)
    assert not store.saw_deletion(KEY)


def test_what_is_deleted_is_not_brought_back_by_a_late_event(store: Listened) -> None:
    store.put(body(5))
    store.remove(body(8))
    assert not store.put(body(6))
    assert not store.put(body(8))
    assert KEY not in store


def test_a_deletion_that_comes_before_what_it_deletes(store: Listened) -> None:
    store.remove(body(8))
    assert not store.put(body(5))
    assert KEY not in store


def test_a_successor_of_the_same_name(store: Listened) -> None:
    store.put(body(5, vcpus=1))
    store.remove(body(8))
    assert store.put(body(9, vcpus=2))
    assert vcpus(store) == 2
    assert not store.saw_deletion(KEY)


def test_a_late_deletion_of_the_predecessor(store: Listened) -> None:
    store.put(body(5))
    store.put(body(9, vcpus=2))
    store.remove(body(8))
    assert vcpus(store) == 2
    assert not store.saw_deletion(KEY)


def test_an_object_never_seen_was_not_seen_to_go(store: Listened) -> None:
    assert not store.saw_deletion(KEY)


def test_a_list_brings_what_is_new_and_removes_ghosts(store: Listened) -> None:
    store.put(body(5))
    store.put(body(6, "ghost"))
    assert not store.synced
    store.sync([body(5), body(7, "new")], "8")
    assert store.synced
    assert sorted(store) == [("", "new"), KEY]
    assert store.saw_deletion(("", "ghost"))
    assert store.heard[2:] == [("", "new"), ("", "ghost")], "what is the same is not told"


def test_what_is_newer_than_the_list_stays(store: Listened) -> None:
    store.put(body(9, "young"))
    store.sync([], "8")
    assert ("", "young") in store


def test_an_old_list_brings_nothing_back(store: Listened) -> None:
    store.put(body(5))
    store.remove(body(8))
    store.sync([body(5)], "7")
    assert KEY not in store


def test_deletions_are_not_remembered_without_end(store: Listened) -> None:
    for number in range(REMEMBERED_DELETIONS + 10):
        store.remove(body(number + 1, f"flavor-{number}"))
    assert not store.saw_deletion(("", "flavor-0"))
    assert store.saw_deletion(("", f"flavor-{REMEMBERED_DELETIONS + 9}"))


def test_what_nobody_reads_is_not_kept(store: Listened) -> None:
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": "{…}", "mine": "kept"}
    store.put(body(5, managedFields=[{}], annotations=annotations))
    kept = store.body(*KEY)
    assert kept is not None
    assert "managedFields" not in kept["metadata"]
    assert kept["metadata"]["annotations"] == {"mine": "kept"}
    assert kept["status"] == {}


def test_it_can_change_while_it_is_iterated(store: Listened) -> None:
    for number in range(5):
        store.put(body(number + 1, f"flavor-{number}"))
    for key in store:
        store.remove(body(100, key[1]))
    assert len(store) == 0
