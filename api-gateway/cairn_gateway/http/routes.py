"""Which handler answers what: a table, from which dispatch, OpenAPI and the coverage page are made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from pydantic import BaseModel

from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import MethodNotAllowed, NotFound, NotImplementedYet

Handler = Callable[[Call], Awaitable[Answer]]


class Enforce(Enum):
    """Whose policy a route's rule is checked against, and by whom."""

    CALLER = "before the handler, against what is the caller's own"
    HANDLER = "by the handler, with `Call.enforce`, against the thing it has loaded"


@dataclass(frozen=True)
class Route:
    """One thing that can be asked for."""

    method: str
    path: str
    """Below the API's prefix, with `{parameters}`: `/servers/{server_id}`."""
    handler: Handler
    rule: str | None
    """The policy rule; None only for what needs no token (versions, getting a token)."""
    status: int = 200
    since: Any = None
    """The first version that has it (Compute: a `Microversion`); None: always."""
    until: Any = None
    """The last version that has it."""
    body: type[BaseModel] | None = None
    """What the JSON body must be; None: nothing is read."""
    query: type[BaseModel] | None = None
    enforce: Enforce = Enforce.CALLER
    raw: bool = False
    """The handler reads the body itself (uploads)."""
    action: str | None = None
    """For `POST …/action`: the key of the body that selects it."""
    summary: str = ""
    """For people; the handler's first docstring line when left out."""
    tags: tuple[str, ...] = ()
    not_yet: bool = False
    """It answers 501; the coverage page says so."""
    max_body: int | None = None
    """Bytes; the API's own when left out."""

    def has(self, version: Any) -> bool:
        """Whether this version of the API has the route."""
        return (self.since is None or version >= self.since) and (self.until is None or version <= self.until)

    @property
    def description(self) -> str:
        """One line for people."""
        return self.summary or (self.handler.__doc__ or "").strip().split("\n")[0]


def not_yet(what: str) -> Handler:
    """A handler that says that Cairn cannot do `what` yet. Use it with `not_yet=True` on the route."""

    async def refuse(_call: Call) -> Answer:
        raise NotImplementedYet(f"Cairn cannot {what} yet. Nothing was changed.")

    refuse.__doc__ = f"Not yet: {what}."
    return refuse


@dataclass(slots=True)
class _Node:
    fixed: dict[str, _Node] = field(default_factory=dict)
    parameter: _Node | None = None
    routes: dict[str, list[tuple[Route, tuple[str, ...]]]] = field(default_factory=dict)
    """By method, each with the names of its path's parameters."""


@dataclass(frozen=True, slots=True)
class Match:
    """A path that the table has."""

    candidates: dict[str, list[tuple[Route, tuple[str, ...]]]]
    values: tuple[str, ...]

    def select(self, method: str, version: Any = None) -> tuple[Route, dict[str, str]]:
        """The route of that method and version, with its parameters. Raises MethodNotAllowed, NotFound.

        A route that this version does not have is not found, as in Nova. HEAD is GET without the body, where
        the table does not say otherwise.
        """
        routes = self.candidates.get(method)
        if routes is None and method == "HEAD":
            routes = self.candidates.get("GET")
        if routes is None:
            raise MethodNotAllowed(sorted(self.candidates))
        for route, names in routes:
            if route.has(version):
                return route, dict(zip(names, self.values, strict=True))
        raise NotFound("The resource could not be found.")


class RouteTable:
    """All routes of an API, found by a walk over the path's segments."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes: list[Route] = []
        self._root = _Node()
        self._actions: dict[str, dict[str, list[Route]]] = {}
        for route in routes:
            self.add(route)

    def __iter__(self) -> Iterator[Route]:
        return iter(self._routes)

    def add(self, route: Route) -> None:
        """One more."""
        self._routes.append(route)
        if route.action is not None:
            actions = self._actions.setdefault(route.path, {})
            actions.setdefault(route.action, []).append(route)
            if len(actions) > 1 or len(actions[route.action]) > 1:
                return  # the path is there already
        node = self._root
        names: list[str] = []
        for segment in route.path.strip("/").split("/") if route.path.strip("/") else []:
            if segment.startswith("{"):
                names.append(segment.strip("{}"))
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.fixed.setdefault(segment, _Node())
        node.routes.setdefault(route.method, []).append((route, tuple(names)))

    def action(self, path: str, key: str, version: Any) -> Route | None:
        """The action that a body's `key` selects, if this version has it. `path` as the table writes it."""
        for route in self._actions.get(path, {}).get(key, ()):
            if route.has(version):
                return route
        return None

    def has_action(self, path: str, key: str) -> bool:
        """Whether any version has the action that `key` selects."""
        return key in self._actions.get(path, {})

    def match(self, path: str) -> Match | None:
        """What there is at `path` (below the prefix), or None. Fixed segments go before parameters."""
        segments = path.strip("/").split("/") if path.strip("/") else []
        found = _walk(self._root, segments, 0, ())
        if found is None or (segments and path.endswith("/") and found[0].parameter is not None):
            return None  # an empty id is nobody's
        return Match(found[0].routes, found[1])


def _walk(
    node: _Node, segments: list[str], index: int, values: tuple[str, ...]
) -> tuple[_Node, tuple[str, ...]] | None:
    if index == len(segments):
        return (node, values) if node.routes else None
    segment = segments[index]
    fixed = node.fixed.get(segment)
    if fixed is not None:
        found = _walk(fixed, segments, index + 1, values)
        if found is not None:
            return found
    if node.parameter is not None and segment:
        return _walk(node.parameter, segments, index + 1, (*values, segment))
    return None
