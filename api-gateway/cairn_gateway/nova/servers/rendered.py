"""Servers as JSON, kept from one answer to the next for as long as nothing of them has changed.

A cloud is asked for the same servers all the time, and most of them are as they were. To parse a row's
documents, make a view of it and write that as JSON takes 40 µs, to see that none of what it is made from has
changed takes 2. Nothing old is ever shown: what a view depends on is read anew for every answer, and a text
is used again only where all of that is equal (`_source`). Whatever `ServerView.full` begins to depend on has
to be added there, or to `ServerView.kind`.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any
from weakref import WeakKeyDictionary

import orjson

from cairn_database import Database, instances
from cairn_database.listing import ListedInstance, Page
from cairn_gateway.http.call import Call
from cairn_gateway.nova.servers.load import surroundings_with
from cairn_gateway.nova.servers.view import ServerView, Surroundings

MOST_BYTES = 8 * 1024 * 1024
"""Of JSON that is kept, by one process: some five thousand servers."""


class RenderedServers:
    """Texts by kind of view and instance; those that were not used for longest are dropped first."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._kept: OrderedDict[tuple[Any, str], tuple[Any, bytes]] = OrderedDict()

    def find(self, kind: Any, instance_id: str, source: Any) -> bytes | None:
        """The text that was made from an equal `source`."""
        found = self._kept.get((kind, instance_id))
        if found is None or found[0] != source:
            return None
        self._kept.move_to_end((kind, instance_id))
        return found[1]

    def keep(self, kind: Any, instance_id: str, source: Any, text: bytes) -> None:
        """In place of what was made from another source."""
        before = self._kept.pop((kind, instance_id), None)
        self._bytes += len(text) - (len(before[1]) if before else 0)
        self._kept[(kind, instance_id)] = source, text
        while self._bytes > self._most_bytes:
            _key, (_source, dropped) = self._kept.popitem(last=False)
            self._bytes -= len(dropped)


_KNOWN: WeakKeyDictionary[Database, RenderedServers] = WeakKeyDictionary()


async def render(call: Call, page: Page, *, single: bool = False) -> list[orjson.Fragment]:
    """The page's servers with all that the caller may see, in their order.

    One that is deleted after the page was read is left out; one that changes then is shown as it has become.
    """
    db = call.services.db
    around = await surroundings_with(call, page.instances, page.interfaces)
    view = ServerView(call, around, single=single)
    rendered, kind = _KNOWN.setdefault(db, RenderedServers()), view.kind
    sources = {one.id: _source(one, around) for one in page.instances}
    texts = {key: rendered.find(kind, key, source) for key, source in sources.items()}
    missing = [key for key, text in texts.items() if text is None]
    records = await instances.get_many(db, missing) if missing else {}
    for one in page.instances:
        record = records.get(one.id)
        if record is None or (record.is_deleted and not one.is_deleted):
            continue
        text = texts[one.id] = orjson.dumps(view.full(record))
        if record.version == one.version:
            rendered.keep(kind, one.id, sources[one.id], text)
    return [orjson.Fragment(text) for text in texts.values() if text is not None]


def _source(one: ListedInstance, around: Surroundings) -> tuple[Any, ...]:
    """All that a server's text is made from, beside the kind of view."""
    return (
        one.version,
        one.updated_at,
        around.project_ids.get(one.project),
        around.hosts.get(one.host or ""),
        around.interfaces.get(one.id),
    )
