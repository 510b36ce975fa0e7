"""The CustomResourceDefinition manifests, generated from the models.

`python -m cairn_crds.manifests crds/manifests` writes one file per kind (`make manifests`);
`--check` only compares and exits 1 when a file is stale.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from cairn_crds import GROUP, KINDS, VERSION, Resource
from cairn_crds.base import Column
from cairn_crds.schema import structural_schema

HEADER = "# Generated from the models in crds/cairn_crds by `make manifests`. Do not edit.\n"


def crd(kind: type[Resource]) -> dict[str, Any]:
    """The CustomResourceDefinition of one kind."""
    info = kind.kind_info
    names: dict[str, Any] = {
        "kind": info.kind,
        "listKind": f"{info.kind}List",
        "plural": info.plural,
        "singular": info.singular,
        "categories": list(info.categories),
    }
    if info.short_names:
        names["shortNames"] = list(info.short_names)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{info.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": str(info.scope),
            "names": names,
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_column(column) for column in info.columns],
                    "schema": {"openAPIV3Schema": _root_schema(kind)},
                }
            ],
        },
    }


def _root_schema(kind: type[Resource]) -> dict[str, Any]:
    schema = structural_schema(kind)
    properties = {name: schema["properties"][name] for name in ("spec", "status")}
    # A status that nobody has written yet reads as its defaults, at no cost in writes: `kubectl get`
    # shows the phase from the first moment.
    properties["status"]["default"] = _defaults_shown(kind)
    required = ["spec"] if kind.model_fields["spec"].is_required() else []
    root: dict[str, Any] = {
        "type": "object",
        "description": schema.get("description", ""),
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            **properties,
        },
    }
    if required:
        root["required"] = required
    return root


def _defaults_shown(kind: type[Resource]) -> dict[str, Any]:
    """The part of the default status that a person is shown; the rest is filled in by the schema."""
    default: dict[str, Any] = kind.model_fields["status"].get_default().to_api()
    return {name: value for name, value in default.items() if name in ("phase", "powerState")}


def _column(column: Column) -> dict[str, Any]:
    out: dict[str, Any] = {"name": column.name, "type": column.type, "jsonPath": column.path}
    if column.description:
        out["description"] = column.description
    if column.wide:
        out["priority"] = 1
    return out


def render(kind: type[Resource]) -> str:
    """The manifest as text."""
    return HEADER + yaml.safe_dump(crd(kind), sort_keys=False, width=110)


def write(folder: Path, check_only: bool = False) -> list[str]:
    """Write every manifest into `folder`; returns the names of the files that were stale."""
    stale = []
    wanted = {f"{kind.kind_info.plural}.yaml": render(kind) for kind in KINDS}
    for name, text in wanted.items():
        path = folder / name
        if not path.exists() or path.read_text() != text:
            stale.append(name)
            if not check_only:
                path.write_text(text)
    for path in folder.glob("*.yaml"):
        if path.name not in wanted:
            stale.append(path.name)
            if not check_only:
                path.unlink()
    return stale


def main(arguments: list[str]) -> int:
    """`[--check] FOLDER`."""
    check_only = "--check" in arguments
    folder = Path(next(argument for argument in arguments if argument != "--check"))
    stale = write(folder, check_only)
    for name in stale:
        sys.stderr.write(f"{name} {'is stale: run make manifests' if check_only else 'written'}\n")
    return 1 if check_only and stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
