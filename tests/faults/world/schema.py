"""What an API server makes of a custom resource: unknown fields dropped, defaults set, the rest checked.

Drops and defaults come from the very schema that `crds/manifests` has; the check is the models' own.
"""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

from pydantic import ValidationError

from cairn_crds import KINDS, Resource
from cairn_crds.manifests import crd

Body = dict[str, Any]
BY_PLURAL: dict[str, type[Resource]] = {kind.kind_info.plural: kind for kind in KINDS}


@cache
def _schema(plural: str) -> Body:
    version = crd(BY_PLURAL[plural])["spec"]["versions"][0]
    schema: Body = version["schema"]["openAPIV3Schema"]
    return schema


def admit(plural: str, body: Body) -> Body:
    """`body` as it is stored. Raises ValueError with what is wrong."""
    properties = _schema(plural)["properties"]
    stored = {name: body[name] for name in ("apiVersion", "kind", "metadata")}
    for name in ("spec", "status"):
        value = body.get(name)
        if value is None and "default" in properties[name]:
            value = copy.deepcopy(properties[name]["default"])
        if value is not None:
            stored[name] = _fill(properties[name], value)
    try:
        BY_PLURAL[plural].from_api(stored)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise ValueError(wrong) from error
    return stored


def _fill(schema: Body, value: Any) -> Any:
    if isinstance(value, dict):
        return _fill_object(schema, value)
    if isinstance(value, list):
        return [_fill(schema.get("items", {}), item) for item in value]
    return value


def _fill_object(schema: Body, value: Body) -> Body:
    properties, more = schema.get("properties"), schema.get("additionalProperties")
    if properties is None:
        return {name: _fill(more or {}, item) for name, item in value.items()}
    filled: Body = {}
    for name, inner in properties.items():
        item = value.get(name)
        if item is None and "default" in inner:
            item = copy.deepcopy(inner["default"])
        if item is not None:
            filled[name] = _fill(inner, item)
    return filled
