"""kopf follows, Cairn lists: a watch of kopf begins where a list of Cairn's own ended.

kopf would list every kind for itself, decode it slowly, and start a task and a queue for each object in it:
with 10,000 instances that takes longer than all else that a process does when it starts. Instead it is told
from which version on to follow, and sees what has changed since. Whoever is asked for that version
(`Following.begin`) has taken the whole list in by then, with what has gone.

kopf has no setting for this, so the one function that it lists with is replaced, for Cairn's kinds alone.
`tests/unit/runtime/test_listing.py` fails where another kopf lists in another way.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import kopf
from kopf._cogs.clients import fetching

from cairn_crds import GROUP

Begin = Callable[[str, str | None], Awaitable[str]]
"""Takes a kind (plural) and a namespace, None for the whole cluster; returns the version to follow from."""
_kopfs_own = fetching.fetch_objs


class Following(kopf.OperatorSettings):
    """kopf's settings, and who lists for it."""

    begin: Begin


async def _fetch(
    *, settings: kopf.OperatorSettings, resource: Any, namespace: Any, logger: Any
) -> AsyncIterator[tuple[Any, str]]:
    if isinstance(settings, Following) and resource.group == GROUP:
        yield (), await settings.begin(resource.plural, namespace)
        return
    async for chunk in _kopfs_own(settings=settings, resource=resource, namespace=namespace, logger=logger):
        yield chunk


fetching.fetch_objs = _fetch
