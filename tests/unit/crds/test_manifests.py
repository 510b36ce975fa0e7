"""The CRD manifests: generated, fresh, and structural."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cairn_crds import KINDS, Guest, Instance, InstanceSpec, Metadata, reference
from cairn_crds.manifests import crd, render, write

ROOT = Path(__file__).parents[3]


def test_the_manifests_in_the_tree_are_what_the_models_say() -> None:
    assert write(ROOT / "crds" / "manifests", check_only=True) == []


def test_the_reference_page_is_what_the_models_say() -> None:
    assert (ROOT / "docs" / "resources.md").read_text() == reference.page()


def test_no_name_belongs_to_two_kinds() -> None:
    """An API server takes neither of two kinds that share a short name."""
    infos = [kind.kind_info for kind in KINDS]
    names = [name for info in infos for name in (info.plural, info.singular, *info.short_names)]
    assert len(names) == len(set(names))


def test_a_stale_or_superfluous_manifest_is_named(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "instances.yaml").write_text("old")
    (tmp_path / "surplus.yaml").write_text("old")
    assert write(tmp_path, check_only=True) == ["instances.yaml", "surplus.yaml"]
    assert (tmp_path / "instances.yaml").read_text() == "old"


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("properties", {}).values():
        yield from _nodes(child)
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            yield from _nodes(node[key])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_node_is_structural_and_bounded(kind: Any) -> None:
    version = crd(kind)["spec"]["versions"][0]
    for node in _nodes(version["schema"]["openAPIV3Schema"]["properties"]["spec"]):
        assert "type" in node
        assert not {"$ref", "anyOf", "oneOf", "title"} & node.keys()
        if node["type"] == "array":
            assert "maxItems" in node
        if node["type"] == "object" and "additionalProperties" in node:
            assert "maxProperties" in node
        if node["type"] == "string" and "enum" not in node:
            assert "maxLength" in node or "format" in node, node
    assert version["subresources"] == {"status": {}}
    assert version["additionalPrinterColumns"]
    assert "cairn" in crd(kind)["spec"]["names"]["categories"]


def test_units_are_spelled_as_kubernetes_users_spell_them() -> None:
    assert "memoryMiB" in render(Guest)


def test_a_spec_survives_the_way_to_the_api_and_back() -> None:
    spec = InstanceSpec.model_validate(
        {
            "flavor": "m1.tiny",
            "image": "demo",
            "powerState": "Stopped",
            "networks": [{"network": "blue", "address": "10.1.0.9"}],
            "schedulerHints": {"group": "web", "query": '[">=", "$free_ram_mb", 1]'},
        }
    )
    assert InstanceSpec.model_validate(spec.to_api()) == spec
    instance = Instance(metadata=Metadata(name="a", namespace="demo"), spec=spec)
    assert instance.manifest()["spec"]["networks"] == [{"network": "blue", "address": "10.1.0.9"}]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("flavor", ""),
        ("flavor", "No Such Name"),
        ("powerState", "On"),
        ("hostname", "-x"),
        ("userData", "x" * 65536),
        ("networks", [{"network": "a", "mac": "zz"}]),
        ("networks", [{"network": "a", "address": "10.0.0.256"}]),
    ],
)
def test_bad_input_is_refused_with_the_fields_name(field: str, value: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        InstanceSpec.model_validate({"flavor": "f", "image": "i", field: value})
    assert refused.value.errors()[0]["loc"][0] == field
