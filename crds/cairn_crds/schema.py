"""From a pydantic model to the structural schema that a CRD wants.

Kubernetes takes a strict subset of JSON Schema: everything inlined, one type per node, no `anyOf` with
null, no titles. Fields that may be absent simply are not `required`.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from cairn_crds.base import Model, Rule

_KEEP = frozenset(
    {
        "type", "description", "enum", "default", "format", "pattern", "minimum", "maximum",
        "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "minItems", "maxItems",
        "minProperties", "maxProperties",
    }
)  # fmt: skip


def structural_schema(model: type[Model]) -> dict[str, Any]:
    """The `openAPIV3Schema` node for `model`, with the CEL rules of every model inside it."""
    source = model.model_json_schema(by_alias=True, mode="validation")
    definitions: dict[str, Any] = source.get("$defs", {})
    return _Converter(definitions, _rules_by_name(model)).convert(source)


class _Converter:
    def __init__(self, definitions: dict[str, Any], rules: dict[str, tuple[Rule, ...]]) -> None:
        self._definitions = definitions
        self._rules = rules

    def convert(self, node: dict[str, Any]) -> dict[str, Any]:
        node = self._resolve(node)
        out = {key: value for key, value in node.items() if key in _KEEP and value is not None}
        if "default" in out:
            out["default"] = _without_nulls(out["default"])
            if out["default"] == "":
                # An absent text reads the same, and Kubernetes 1.20 takes an empty default for null.
                del out["default"]
        # CRDs are OpenAPI 3.0: an exclusive bound is a flag beside the bound, not a bound of its own.
        for bound, flag in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
            if flag in out:
                out[bound], out[flag] = out[flag], True
        if "properties" in node:
            out["properties"] = {name: self.convert(child) for name, child in node["properties"].items()}
            required = [name for name in node.get("required", []) if name in node["properties"]]
            if required:
                out["required"] = required
        if "patternProperties" in node:
            raise ValueError(f"{node}: the API server drops a map whose keys have a pattern; use plain text")
        if isinstance(node.get("additionalProperties"), dict):
            out["additionalProperties"] = self.convert(node["additionalProperties"])
        if "items" in node:
            out["items"] = self.convert(node["items"])
        if rules := self._rules.get(node.get("title", "")):
            out["x-kubernetes-validations"] = [{"rule": r.rule, "message": r.message} for r in rules]
        return out

    def _resolve(self, node: dict[str, Any]) -> dict[str, Any]:
        """Follow `$ref`, and drop the `null` of an optional field; what stands beside them wins."""
        if "$ref" in node:
            target = self._definitions[node["$ref"].rsplit("/", 1)[1]]
            return self._resolve({**target, **{k: v for k, v in node.items() if k != "$ref"}})
        if "anyOf" in node:
            [choice] = [option for option in node["anyOf"] if option.get("type") != "null"]
            return self._resolve({**choice, **{k: v for k, v in node.items() if k != "anyOf"}})
        return node


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
    return value


def _rules_by_name(model: type[BaseModel]) -> dict[str, tuple[Rule, ...]]:
    """The CEL rules of `model` and of the models inside it, by class name (pydantic's schema title)."""
    found: dict[str, tuple[Rule, ...]] = {}
    queue: list[Any] = [model]
    while queue:
        current = queue.pop()
        if isinstance(current, type) and issubclass(current, BaseModel):
            if current.__name__ not in found:
                found[current.__name__] = getattr(current, "rules", ())
                queue.extend(field.annotation for field in current.model_fields.values())
        else:
            queue.extend(getattr(current, "__args__", ()))
    return found
