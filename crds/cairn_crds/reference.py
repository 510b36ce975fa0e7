"""The reference page of the resources, generated from the models.

`python -m cairn_crds.reference docs/resources.md [--check]` (`make manifests` writes it too).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from cairn_crds import API_VERSION, KINDS, Resource
from cairn_crds.generated import write_or_check
from cairn_crds.manifests import crd

HEADER = f"""<!-- Generated from the models in crds/cairn_crds by `make manifests`. Do not edit. -->
# Resources

All are in `{API_VERSION}`. `kubectl explain instance.spec` shows the same texts.
"""


def page() -> str:
    """The whole page, Markdown."""
    return "\n".join([HEADER, *(section(kind) for kind in KINDS)])


def section(kind: type[Resource]) -> str:
    """One kind: what it is, its names, its fields, its rules."""
    info = kind.kind_info
    schema = crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    names = ", ".join(f"`{name}`" for name in (info.plural, info.singular, *info.short_names))
    lines = [
        f"## {info.kind}",
        "",
        f"{schema['description']} {info.scope}. kubectl names: {names}.",
        "",
        "| field | type | default | meaning |",
        "|---|---|---|---|",
    ]
    for part in ("spec", "status"):
        lines += [_row(*field) for field in _fields(part, schema["properties"][part])]
    rules = schema["properties"]["spec"].get("x-kubernetes-validations", [])
    if rules:
        lines += ["", "Rules: " + "; ".join(rule["message"] for rule in rules) + "."]
    return "\n".join([*lines, ""])


def _fields(path: str, node: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], bool]]:
    required = node.get("required", [])
    for name, child in node.get("properties", {}).items():
        inner = child.get("items", child)
        suffix = "[]" if "items" in child else ""
        yield f"{path}.{name}{suffix}", child, name in required
        yield from _fields(f"{path}.{name}{suffix}", inner)


def _row(path: str, node: dict[str, Any], required: bool) -> str:
    default = node.get("default")
    shown = "**required**" if required else "" if default in (None, {}, []) else f"`{default}`"
    text = " ".join(str(node.get("description", "")).split()).replace("|", "\\|")
    return f"| `{path}` | {_type(node)} | {shown} | {text} |"


def _type(node: dict[str, Any]) -> str:
    if "enum" in node:
        return " \\| ".join(str(value) for value in node["enum"])
    if "items" in node:
        return f"list of {_type(node['items'])}"
    if "additionalProperties" in node:
        return f"map of {_type(node['additionalProperties'])}"
    return str(node.get("format", node.get("type", "")))


if __name__ == "__main__":
    sys.exit(write_or_check(sys.argv[1:], page()))
