"""An API server in memory, as far as Cairn can tell it from a real one.

Versions, generations, conflicts, finalizers, the status subresource, watches with a history that ends:
`test_api_contract.py` asks the same questions of this one and of a real one. Nothing here takes time or fails
by chance; `client.py` sees to that.
"""

from __future__ import annotations

import itertools
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from cairn_runtime.kubernetes import (
    AlreadyExists,
    Conflict,
    Forbidden,
    Invalid,
    KubernetesError,
    NotFound,
)
from faults.world.paths import Address, parse
from faults.world.schema import BY_PLURAL, admit

Body = dict[str, Any]
Key = tuple[str, str]
HISTORY = 4096
"""Events that a watch can start from, per collection."""
OWN = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "resourceVersion",
)
"""What of the metadata only the server writes."""


class Gone(KubernetesError):
    """410: the history does not go back that far."""


@dataclass(frozen=True)
class Event:
    """One line of a watch."""

    version: int
    type: str
    key: Key
    raw: bytes

    def body(self) -> Body:
        """The object, for the reader alone."""
        body: Body = orjson.loads(self.raw)
        return body


@dataclass
class Collection:
    """All objects of one kind."""

    objects: dict[Key, Body] = field(default_factory=dict)
    raw: dict[Key, bytes] = field(default_factory=dict)
    history: deque[Event] = field(default_factory=lambda: deque(maxlen=HISTORY))
    forgotten: int = 0
    """The history begins after this version."""
    watchers: list[Callable[[Event], None]] = field(default_factory=list)


class ApiServer:
    """`request` is what `cairn_runtime.kubernetes.Kubernetes.request` asks over the wire."""

    def __init__(
        self, now: Callable[[], str], new_uid: Callable[[], str] = lambda: str(uuid.uuid4())
    ) -> None:
        """`now`: the server's clock, as RFC 3339."""
        self._now = now
        self._new_uid = new_uid
        self._versions = itertools.count(1)
        self.version = 0
        self.writes = 0
        self.on_write: Callable[[str, Event], None] = lambda _plural, _event: None
        self._collections: dict[str, Collection] = {}
        for name in ("default", "cairn-system", "cairn-endpoints"):
            self.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})

    def collection(self, plural: str) -> Collection:
        """The objects of a kind."""
        return self._collections.setdefault(plural, Collection())

    def request(self, method: str, path: str, body: Any = None) -> Body:
        """One request, answered with an object of the asker's own. Raises KubernetesError."""
        if path == "/version":
            return {"major": "1"}
        address = parse(path)
        if address.plural == "events":
            return {"metadata": {}}
        answer = getattr(self, f"_{method.lower()}")(address, body)
        copied: Body = answer if isinstance(answer, dict) else orjson.loads(answer)
        return copied

    # Reading

    def _get(self, address: Address, _body: Any) -> Body | bytes:
        if not address.name:
            items = [orjson.loads(raw) for raw in self.raw(address.plural, address.namespace)]
            return {"items": items, "metadata": {"resourceVersion": str(self.version)}}
        self._find(address)
        return self._collections[address.plural].raw[address.key]

    def raw(self, plural: str, namespace: str = "") -> list[bytes]:
        """The objects of a kind, as JSON."""
        found = self.collection(plural).raw
        return [raw for key, raw in found.items() if not namespace or key[0] == namespace]

    def bodies(self, plural: str, namespace: str = "") -> Iterator[Body]:
        """The objects of a kind; not to be changed."""
        for key, body in list(self.collection(plural).objects.items()):
            if not namespace or key[0] == namespace:
                yield body

    def body(self, plural: str, namespace: str, name: str) -> Body | None:
        """One object; not to be changed."""
        return self.collection(plural).objects.get((namespace, name))

    def _find(self, address: Address) -> Body:
        found = self.collection(address.plural).objects.get(address.key)
        if found is None:
            raise NotFound(404, "NotFound", f'{address.plural} "{address.name}" not found')
        return found

    # Writing

    def _post(self, address: Address, body: Any) -> bytes:
        wanted: Body = orjson.loads(orjson.dumps(body))
        metadata = wanted["metadata"]
        key = (address.namespace, metadata["name"])
        if address.namespace:
            self._require_namespace(address.namespace)
        if key in self.collection(address.plural).objects:
            raise AlreadyExists(409, "AlreadyExists", f'{address.plural} "{key[1]}" already exists')
        for name in OWN:
            metadata.pop(name, None)
        if address.namespace:
            metadata["namespace"] = address.namespace
        metadata |= {"uid": self._new_uid(), "creationTimestamp": self._now(), "generation": 1}
        if address.plural in BY_PLURAL:
            wanted.pop("status", None)
            wanted = self._admit(address.plural, wanted)
        return self._store(address.plural, key, wanted, "ADDED")

    def _require_namespace(self, name: str) -> None:
        found = self.collection("namespaces").objects.get(("", name))
        if found is None:
            raise NotFound(404, "NotFound", f'namespaces "{name}" not found')
        if "deletionTimestamp" in found["metadata"]:
            raise Forbidden(403, "Forbidden", f'namespace "{name}" is being terminated')

    @staticmethod
    def _admit(plural: str, body: Body) -> Body:
        try:
            return admit(plural, body)
        except ValueError as error:
            raise Invalid(422, "Invalid", str(error)) from error

    def _patch(self, address: Address, patch: Any) -> bytes:
        before = self._find(address)
        metadata = patch.get("metadata") or {}
        for name in ("resourceVersion", "uid"):
            if metadata.get(name) and metadata[name] != before["metadata"][name]:
                raise Conflict(409, "Conflict", f'"{address.name}": the object has been modified ({name})')
        merged = merge(before, orjson.loads(orjson.dumps(patch)))
        kept = {name: before["metadata"][name] for name in OWN if name in before["metadata"]}
        merged["metadata"] = {
            name: value for name, value in merged["metadata"].items() if name not in OWN
        } | kept
        if address.plural in BY_PLURAL:
            merged = self._of_subresource(address, before, merged)
        if merged == before:
            return self._collections[address.plural].raw[address.key]
        if merged.get("spec") != before.get("spec"):
            merged["metadata"]["generation"] += 1
        if "deletionTimestamp" in kept:
            self._refuse_new_finalizers(before, merged)
            if not merged["metadata"].get("finalizers"):
                return self._remove(address.plural, address.key, merged)
        return self._store(address.plural, address.key, merged, "MODIFIED")

    def _of_subresource(self, address: Address, before: Body, merged: Body) -> Body:
        if address.subresource == "status":
            merged["metadata"], merged["spec"] = dict(before["metadata"]), before["spec"]
        else:
            merged["status"] = before["status"]
        return self._admit(address.plural, merged)

    @staticmethod
    def _refuse_new_finalizers(before: Body, after: Body) -> None:
        new = set(after["metadata"].get("finalizers", [])) - set(before["metadata"].get("finalizers", []))
        if new:
            raise Invalid(
                422, "Invalid", f"metadata.finalizers: no new ones while it is being deleted: {new}"
            )

    def _delete(self, address: Address, options: Any) -> bytes | Body:
        found = self._find(address)
        metadata = found["metadata"]
        uid = ((options or {}).get("preconditions") or {}).get("uid")
        if uid and uid != metadata["uid"]:
            raise Conflict(409, "Conflict", f"the UID in the precondition ({uid}) is not that of the object")
        if address.plural == "namespaces":
            return self._delete_namespace(address, found)
        if not metadata.get("finalizers"):
            self._remove(address.plural, address.key, found)
            return {"kind": "Status", "status": "Success"}
        if "deletionTimestamp" in metadata:
            return self._collections[address.plural].raw[address.key]
        doomed = {
            **found,
            "metadata": {
                **metadata,
                "deletionTimestamp": self._now(),
                "deletionGracePeriodSeconds": 0,
                "generation": metadata["generation"] + 1,
            },
        }
        return self._store(address.plural, address.key, doomed, "MODIFIED")

    def _delete_namespace(self, address: Address, found: Body) -> bytes:
        metadata = {**found["metadata"], "deletionTimestamp": self._now()}
        doomed = {**found, "metadata": metadata, "status": {"phase": "Terminating"}}
        raw = self._store("namespaces", address.key, doomed, "MODIFIED")
        self.collect_namespaces()
        return raw

    def collect_namespaces(self) -> None:
        """What the namespace controller does: a doomed namespace is emptied, and goes when it is empty."""
        for namespace in list(self.bodies("namespaces")):
            name = namespace["metadata"]["name"]
            if "deletionTimestamp" not in namespace["metadata"]:
                continue
            inside = [
                (plural, key)
                for plural, c in self._collections.items()
                for key in list(c.objects)
                if key[0] == name
            ]
            for plural, key in inside:
                self._delete(Address(plural, key[0], key[1], ""), None)
            if not any(key[0] == name for c in self._collections.values() for key in c.objects):
                self._remove("namespaces", ("", name), namespace)

    # Storing and telling

    def _store(self, plural: str, key: Key, body: Body, type_: str) -> bytes:
        self.version = next(self._versions)
        body["metadata"]["resourceVersion"] = str(self.version)
        raw = orjson.dumps(body)
        collection = self.collection(plural)
        collection.objects[key], collection.raw[key] = body, raw
        self._tell(plural, collection, Event(self.version, type_, key, raw))
        return raw

    def _remove(self, plural: str, key: Key, body: Body) -> bytes:
        self.version = next(self._versions)
        last = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        raw = orjson.dumps(last)
        collection = self.collection(plural)
        collection.objects.pop(key, None)
        collection.raw.pop(key, None)
        self._tell(plural, collection, Event(self.version, "DELETED", key, raw))
        return raw

    def _tell(self, plural: str, collection: Collection, event: Event) -> None:
        self.writes += 1
        if len(collection.history) == HISTORY:
            collection.forgotten = collection.history[0].version
        collection.history.append(event)
        for watcher in list(collection.watchers):
            watcher(event)
        self.on_write(plural, event)

    # Watching

    def watch(self, plural: str, since: int, watcher: Callable[[Event], None]) -> Callable[[], None]:
        """Call `watcher` with every event after version `since`, past ones first; returns what ends it.

        Raises Gone where the history does not go back that far.
        """
        collection = self.collection(plural)
        if since < collection.forgotten:
            raise Gone(410, "Expired", f"too old resource version: {since} ({collection.forgotten})")
        for event in [event for event in collection.history if event.version > since]:
            watcher(event)
        collection.watchers.append(watcher)
        return lambda: collection.watchers.remove(watcher) if watcher in collection.watchers else None

    def compact(self) -> None:
        """etcd forgets the past: who wants to go on from there is told 410 Gone."""
        for collection in self._collections.values():
            collection.history.clear()
            collection.forgotten = self.version


def merge(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), value)
    return merged
