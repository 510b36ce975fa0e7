"""What the watches have seen of one kind.

Fed by kopf's `on.event` from a list on, and repaired by a list now and then: a watch may fall silent without
closing. Bodies are kept as the API server sent
them, without the parts nobody reads; they are parsed where they are used.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from cairn_crds import Resource

Kind = TypeVar("Kind", bound=Resource)
Key = tuple[str, str]
"""(namespace, name); the namespace of a cluster-wide object is empty."""
Listener = Callable[[Key], None]
REMEMBERED_DELETIONS = 1024
"""A deletion is of interest for the seconds in which older answers may still arrive; what is forgotten by
then is looked up at the API server instead."""


class Store(Generic[Kind]):
    """The objects of one kind by key. Not thread-safe: it belongs to the event loop."""

    def __init__(self, kind: type[Kind]) -> None:
        self.kind = kind
        self.synced = False
        """True once a list has been taken in: only then is an absent object really absent."""
        self._bodies: dict[Key, dict[str, Any]] = {}
        self._namespaces: dict[str, set[str]] = {}
        self._gone: OrderedDict[Key, str] = OrderedDict()
        self._listeners: list[Listener] = []

    def __len__(self) -> int:
        return len(self._bodies)

    def __contains__(self, key: Key) -> bool:
        return key in self._bodies

    def __iter__(self) -> Iterator[Key]:
        """The keys of all objects; safe against changes while iterating."""
        return iter(list(self._bodies))

    def on_change(self, listener: Listener) -> None:
        """Call `listener` with the key of every object that appears, changes or goes."""
        self._listeners.append(listener)

    def get(self, namespace: str, name: str) -> Kind | None:
        """The object as last seen. Raises pydantic.ValidationError where it breaks its model."""
        body = self._bodies.get((namespace, name))
        return None if body is None else self.kind.from_api(body)

    def body(self, namespace: str, name: str) -> dict[str, Any] | None:
        """The object as last seen, unparsed."""
        return self._bodies.get((namespace, name))

    def named(self, name: str) -> list[Key]:
        """The keys of the objects of that name, in whichever namespaces."""
        return [(namespace, name) for namespace in sorted(self._namespaces.get(name, ()))]

    def bodies(self) -> Iterator[tuple[Key, dict[str, Any]]]:
        """All objects, unparsed; safe against changes while iterating."""
        return iter(list(self._bodies.items()))

    def saw_deletion(self, key: Key) -> bool:
        """Whether the object was seen to go and has not come back: its absence is no lag of the watch."""
        return key in self._gone

    def forget_deletion(self, key: Key) -> None:
        """Its absence has been dealt with."""
        self._gone.pop(key, None)

    def put(self, body: dict[str, Any]) -> bool:
        """Take in a version of an object; an older one than is known is ignored."""
        key = _key(body)
        known = self._bodies.get(key)
        if known is not None and _version(known) >= _version(body):
            return False
        if known is None and int(self._gone.get(key, "0")) >= _version(body):
            return False
        self._gone.pop(key, None)
        self._bodies[key] = _slim(body)
        self._namespaces.setdefault(key[1], set()).add(key[0])
        self._notify(key)
        return True

    def remove(self, body: dict[str, Any]) -> None:
        """Take in that an object has gone."""
        key = _key(body)
        known = self._bodies.get(key)
        if known is not None and _version(known) > _version(body):
            return  # a successor of the same name is here already
        self._bodies.pop(key, None)
        self._bury(key, str(_version(body)))

    def sync(self, bodies: Iterable[dict[str, Any]], list_version: str, namespace: str = "") -> None:
        """Take in a whole list, of one namespace or of all: what it lacks and is not newer has gone."""
        listed = {_key(body): body for body in bodies}
        for body in listed.values():
            self.put(body)
        for key in [key for key in self._bodies if key not in listed]:
            if namespace in ("", key[0]) and _version(self._bodies[key]) <= int(list_version):
                del self._bodies[key]
                self._bury(key, list_version)
        if not namespace:
            self.synced = True

    def _bury(self, key: Key, version: str) -> None:
        namespaces = self._namespaces.get(key[1], set())
        namespaces.discard(key[0])
        if not namespaces:
            self._namespaces.pop(key[1], None)
        self._gone[key] = version
        while len(self._gone) > REMEMBERED_DELETIONS:
            self._gone.popitem(last=False)
        self._notify(key)

    def _notify(self, key: Key) -> None:
        for listener in self._listeners:
            listener(key)


def is_observed(body: dict[str, Any]) -> bool:
    """Whether whoever looks after the object has met its spec as it is, and nobody wants it to go."""
    metadata = body["metadata"]
    observed: int = body["status"].get("observedGeneration", 0)
    return observed >= metadata.get("generation", 1) and "deletionTimestamp" not in metadata


def _key(body: dict[str, Any]) -> Key:
    metadata = body["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def _version(body: dict[str, Any]) -> int:
    return int(body["metadata"].get("resourceVersion") or 0)


def _slim(body: dict[str, Any]) -> dict[str, Any]:
    metadata = {k: v for k, v in body["metadata"].items() if k not in ("managedFields", "selfLink")}
    if annotations := metadata.get("annotations"):
        metadata["annotations"] = {
            k: v for k, v in annotations.items() if k != "kubectl.kubernetes.io/last-applied-configuration"
        }
    return {"metadata": metadata, "spec": body.get("spec", {}), "status": body.get("status", {})}
