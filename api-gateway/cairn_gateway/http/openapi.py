"""OpenAPI 3.1 documents, made from the route tables: what is served is what is told."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from cairn_gateway.http.api import Api
from cairn_gateway.http.routes import Route

REFERENCE = "#/components/schemas/{model}"
PARAMETER = re.compile(r"\{(\w+)\}")
UNMATCHED = re.compile(r"[^a-zA-Z0-9]+")
WITHOUT_BODY = frozenset({204, 304})


@dataclass(frozen=True)
class Described:
    """An API that people are told of."""

    api: Api
    title: str
    summary: str
    path: str = "/openapi.json"
    """Where its document is, below the API's prefix."""
    version_header: str | None = None
    """An example of the header that asks for a microversion: `compute 2.104`."""

    @property
    def address(self) -> str:
        """The document's path."""
        return self.api.prefix + self.path


def document(described: Described, version: str) -> dict[str, Any]:
    """The OpenAPI document of an API. `version`: of Cairn."""
    routes = [route for route in described.api.routes if route.path != described.path]
    schemas, names = _schemas(routes)
    schemas["Fault"] = _fault_schema(described.api)
    components: dict[str, Any] = {
        "schemas": schemas,
        "securitySchemes": {
            "token": {
                "type": "apiKey",
                "in": "header",
                "name": "X-Auth-Token",
                "description": "From `POST /identity/v3/auth/tokens` (its header X-Subject-Token).",
            }
        },
        "responses": {
            "Fault": {
                "description": "A refusal. Its message says what is wrong and what to do.",
                "headers": {
                    "x-openstack-request-id": {
                        "description": "The request's id in the gateway's log.",
                        "schema": {"type": "string"},
                    }
                },
                "content": {"application/json": {"schema": {"$ref": REFERENCE.format(model="Fault")}}},
            }
        },
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": described.title, "summary": described.summary, "version": version},
        "servers": [{"url": described.api.prefix or "/"}],
        "security": [{"token": []}],
        "tags": [{"name": tag} for tag in sorted({_tag(route) for route in routes})],
        "paths": _paths(routes, names, described.version_header),
        "components": components,
    }


def _schemas(routes: Iterable[Route]) -> tuple[dict[str, Any], dict[type[BaseModel], Any]]:
    """The bodies' schemas, and what refers to each model."""
    models = sorted(
        {route.body for route in routes if route.body is not None},
        key=lambda model: (model.__module__, model.__qualname__),
    )
    if not models:
        return {}, {}
    references, definitions = models_json_schema(
        [(model, "validation") for model in models], ref_template=REFERENCE
    )
    names = {model: references[(model, "validation")] for model in models}
    return dict(definitions.get("$defs", {})), names


def _fault_schema(api: Api) -> dict[str, Any]:
    """By the example of the API's own style."""
    example = api.error_body(400, "Bad Request", "What is wrong with the request.")
    return {"type": "object", "minProperties": 1, "examples": [example]}


def _paths(
    routes: Iterable[Route], names: dict[type[BaseModel], Any], version_header: str | None
) -> dict[str, dict[str, Any]]:
    grouped: dict[str, dict[str, list[Route]]] = {}
    for route in routes:
        grouped.setdefault(_template(route.path), {}).setdefault(route.method.lower(), []).append(route)
    paths: dict[str, dict[str, Any]] = {}
    for path, methods in grouped.items():
        item: dict[str, Any] = {
            method: _operation(method, path, same, names) for method, same in methods.items()
        }
        parameters: list[dict[str, Any]] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
            for name in PARAMETER.findall(path)
        ]
        if version_header is not None:
            parameters.append(_version_parameter(version_header))
        if parameters:
            item["parameters"] = parameters
        paths[path] = item
    return paths


def _version_parameter(example: str) -> dict[str, Any]:
    return {
        "name": "OpenStack-API-Version",
        "in": "header",
        "description": "The microversion; the oldest when left out.",
        "schema": {"type": "string"},
        "example": example,
    }


def _template(path: str) -> str:
    return "/" + path.strip("/")


def _operation(
    method: str, path: str, routes: Sequence[Route], names: dict[type[BaseModel], Any]
) -> dict[str, Any]:
    """One method of a path: one route, or its actions and what it was in other versions."""
    first = routes[0]
    actions = first.action is not None
    operation: dict[str, Any] = {
        "operationId": f"{method}{UNMATCHED.sub('_', path)}".rstrip("_"),
        "tags": [_tag(first)],
        "summary": "Act on it: the body's one key says how" if actions else _sentence(first.description),
        "x-cairn-routes": [_told(route) for route in routes],
        "responses": _responses(routes),
    }
    if all(route.rule is None for route in routes):
        operation["security"] = []
    if all(route.not_yet for route in routes):
        operation["x-cairn-not-yet"] = True
    told = [_line(route) for route in routes]
    if len(routes) > 1 or first.rule or first.since or first.until:
        operation["description"] = "\n".join(told)
    query = [field for route in routes if route.query for field in _query(route.query)]
    if query:
        operation["parameters"] = list({field["name"]: field for field in query}.values())
    body = _body(routes, names)
    if body is not None:
        operation["requestBody"] = body
    return operation


def _told(route: Route) -> dict[str, Any]:
    """What only Cairn's table has: the rule, the versions, the action."""
    told: dict[str, Any] = {"summary": route.description, "status": route.status}
    if route.action is not None:
        told["action"] = route.action
    if route.rule is not None:
        told["x-cairn-rule"] = route.rule
    if route.since is not None:
        told["x-cairn-since"] = str(route.since)
    if route.until is not None:
        told["x-cairn-until"] = str(route.until)
    if route.not_yet:
        told["x-cairn-not-yet"] = True
    return told


def _line(route: Route) -> str:
    """A route in one line of Markdown."""
    words = [f"- `{route.action}`: " if route.action else "- ", _sentence(route.description)]
    if route.since is not None or route.until is not None:
        words.append(f" Versions {route.since or ''}…{route.until or ''}.")
    if route.rule is not None:
        words.append(f" Rule `{route.rule}`.")
    return "".join(words)


def _sentence(text: str) -> str:
    return text if not text or text.endswith((".", "!", "?")) else text + "."


def _responses(routes: Sequence[Route]) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for route in routes:
        answer: dict[str, Any] = {"description": _sentence(route.description) or "Done."}
        if route.status not in WITHOUT_BODY and route.method != "HEAD":
            answer["content"] = {"application/json": {}}
        responses.setdefault(str(route.status), answer)
    responses["default"] = {"$ref": "#/components/responses/Fault"}
    return responses


def _query(model: type[BaseModel]) -> list[dict[str, Any]]:
    schema = model.model_json_schema(mode="validation", ref_template=REFERENCE)
    required = set(schema.get("required", ()))
    fields = []
    for name, inner in schema.get("properties", {}).items():
        field = {"name": name, "in": "query", "required": name in required, "schema": inner}
        if "description" in inner:
            field["description"] = inner["description"]
        fields.append(field)
    return fields


def _body(routes: Sequence[Route], names: dict[type[BaseModel], Any]) -> dict[str, Any] | None:
    shapes: list[dict[str, Any]] = []
    for route in routes:
        shape: dict[str, Any] | None = None
        if route.body is not None:
            shape = names[route.body]
        elif route.action is not None:
            shape = {"type": "object", "required": [route.action], "properties": {route.action: {}}}
        if shape is not None and shape not in shapes:
            shapes.append(shape)
    if shapes:
        schema = shapes[0] if len(shapes) == 1 else {"oneOf": shapes}
        return {"required": True, "content": {"application/json": {"schema": schema}}}
    if any(route.raw for route in routes):
        return {"content": {"*/*": {}}}
    return None


def _tag(route: Route) -> str:
    if route.tags:
        return route.tags[0]
    fixed = [part for part in route.path.strip("/").split("/") if part and not part.startswith("{")]
    rest = [part for part in fixed if not re.fullmatch(r"v[0-9.]+", part)]
    return rest[0] if rest else "versions"
