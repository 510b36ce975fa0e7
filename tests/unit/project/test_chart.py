"""The chart lints, renders, and says what the rest of the tree says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from cairn_cli.settings_reference import PROCESSES
from cairn_runtime.settings import load_settings

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts" / "cairn"
NAMESPACE = "clouds"
CLUSTER_WIDE = {"ClusterRole", "ClusterRoleBinding", "Namespace"}
ENDPOINTS = "cairn-endpoints"
"""The namespace of the agents' endpoints, the same whatever the release's is called."""
WARNING = 2
"""Helm's severities: 1 info, 2 warning, 3 error."""
VARIANTS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "single": {
        "conductor": {"replicas": 1},
        "scheduler": {"replicas": 1},
        "gateway": {"replicas": 1, "service": {"type": "NodePort", "nodePort": 30774}},
        "awayFromHypervisors": "preferred",
        "agent": {"driver": "fake"},
        "imagePullSecrets": [{"name": "pull"}],
    },
    "no agent": {"agent": {"enabled": False}, "database": {"upgrade": False}},
    "settings": {"settings": {"conductor": {"sweep_seconds": 30}, "scheduler": {"host_subset_size": 3}}},
}


def _render(values: dict[str, Any]) -> list[dict[str, Any]]:
    with helm_python.Chart.load(CHART) as chart:
        files = chart.render(values, name="cairn", namespace=NAMESPACE)
    objects = [
        item
        for name, text in files.items()
        if not name.endswith("NOTES.txt")
        for item in yaml.safe_load_all(text)
    ]
    return [item for item in objects if item]


@pytest.fixture(params=list(VARIANTS))
def manifests(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    """What the chart renders, once for each set of values."""
    return _render(VARIANTS[request.param])


def _find(manifests: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    found = [item for item in manifests if item["kind"] == kind and item["metadata"]["name"] == name]
    assert len(found) == 1, f"{len(found)} of {kind} {name}"
    return found[0]


def _pods(manifests: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for item in manifests:
        if item["kind"] in ("Deployment", "DaemonSet", "Job"):
            yield item["metadata"]["name"], item["spec"]["template"]["spec"]


@pytest.mark.parametrize("values", VARIANTS.values(), ids=list(VARIANTS))
def test_the_chart_lints_without_warnings(values: dict[str, Any]) -> None:
    report = helm_python.lint(CHART, values, strict=True, namespace=NAMESPACE)
    assert report["errors"] == []
    assert [message for message in report["messages"] if message["severity"] >= WARNING] == []


@pytest.mark.parametrize(
    "values",
    [
        {"replicas": 3},
        {"conductor": {"replicas": -1}},
        {"conductor": {"replicsa": 1}},
        {"awayFromHypervisors": "never"},
        {"settings": {"database": {"url": "it belongs in a Secret"}}},
    ],
    ids=str,
)
def test_values_that_make_no_sense_are_refused(values: dict[str, Any]) -> None:
    with helm_python.Chart.load(CHART) as chart, pytest.raises(helm_python.HelmError):
        chart.validate_schema(chart.merge_values(values))


def test_every_manifest_has_namespace_and_labels(manifests: list[dict[str, Any]]) -> None:
    assert manifests
    for item in manifests:
        metadata = item["metadata"]
        assert item["apiVersion"]
        assert metadata["labels"]["app.kubernetes.io/name"] == "cairn"
        assert metadata["labels"]["app.kubernetes.io/managed-by"] == "Helm"
        if item["kind"] in CLUSTER_WIDE:
            assert "namespace" not in metadata
        else:
            own = ENDPOINTS if metadata["name"].endswith("-endpoints") else NAMESPACE
            assert metadata["namespace"] == own, item


def test_no_two_manifests_are_the_same_object(manifests: list[dict[str, Any]]) -> None:
    names = [(item["kind"], item["metadata"]["name"]) for item in manifests]
    assert len(names) == len(set(names))


def test_selectors_select_their_own_pods(manifests: list[dict[str, Any]]) -> None:
    templates = {
        item["metadata"]["name"]: item["spec"]["template"]["metadata"]["labels"]
        for item in manifests
        if item["kind"] in ("Deployment", "DaemonSet", "Job")
    }
    for item in manifests:
        if item["kind"] in ("Deployment", "DaemonSet", "PodDisruptionBudget"):
            wanted = item["spec"]["selector"]["matchLabels"]
        elif item["kind"] == "Service":
            wanted = item["spec"]["selector"]
        else:
            continue
        chosen = [name for name, labels in templates.items() if wanted.items() <= labels.items()]
        assert chosen == [item["metadata"]["name"]]


def test_processes_are_probed_bounded_and_unprivileged(manifests: list[dict[str, Any]]) -> None:
    for name, pod in _pods(manifests):
        (container,) = pod["containers"]
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["args"][0] == "cairn"
        if name == "cairn-db-upgrade":
            continue
        assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
        assert container["resources"]["limits"]["memory"]
        mounts = {mount["name"] for mount in container["volumeMounts"]}
        assert mounts == {volume["name"] for volume in pod["volumes"]}


def test_only_those_that_ask_the_api_server_have_a_token() -> None:
    tokens = {
        name for name, pod in _pods(_render({})) if pod.get("automountServiceAccountToken") is not False
    }
    assert tokens == {"cairn-conductor", "cairn-scheduler"}


def test_a_compute_host_gets_no_road_to_the_database() -> None:
    assert "cairn-database" not in str(_find(_render({}), "DaemonSet", "cairn-agent"))


def test_the_control_plane_stays_off_the_hypervisors() -> None:
    manifests = _render({})
    (agent,) = (pod for name, pod in _pods(manifests) if name == "cairn-agent")
    (label,) = agent["nodeSelector"]
    for name in ("cairn-conductor", "cairn-scheduler", "cairn-gateway"):
        affinity = _find(manifests, "Deployment", name)["spec"]["template"]["spec"]["affinity"]
        required = affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        (rule,) = required["nodeSelectorTerms"][0]["matchExpressions"]
        assert rule == {"key": label, "operator": "DoesNotExist"}


def test_the_crds_are_the_generated_manifests() -> None:
    generated = {path.name: path.read_text() for path in (ROOT / "crds" / "manifests").glob("*.yaml")}
    assert {path.name: path.read_text() for path in (CHART / "crds").glob("*.yaml")} == generated
    with helm_python.Chart.load(CHART) as chart:
        assert len(chart.crds) == len(generated)


def test_the_roles_are_those_of_the_one_file() -> None:
    text = (CHART / "files" / "rbac.yaml").read_text()
    stated = [item for item in yaml.safe_load_all(text) if item["kind"] != "Namespace"]
    rendered = _render({})
    for item in stated:
        found = _find(rendered, item["kind"], item["metadata"]["name"])
        for part in ("rules", "roleRef"):
            assert found.get(part) == item.get(part)
        for subject in found.get("subjects", []):
            assert subject.get("namespace") in (None, NAMESPACE)
    assert len(stated) == sum(
        item["apiVersion"].startswith("rbac") or item["kind"] == "ServiceAccount" for item in rendered
    )


@pytest.mark.parametrize("variant", ["defaults", "settings"])
def test_the_environment_and_the_file_are_settings_that_the_processes_take(
    variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifests = _render(VARIANTS[variant])
    file = tmp_path / "cairn.yaml"
    file.write_text(_find(manifests, "ConfigMap", "cairn-settings")["data"]["cairn.yaml"])
    schemas = {(schema.__doc__ or "").split(":")[0].split()[1]: schema for schema in PROCESSES}
    for name, pod in _pods(manifests):
        (container,) = pod["containers"]
        with monkeypatch.context() as environment:
            for variable in container["env"]:
                value = variable.get("value", "from-elsewhere")
                environment.setenv(variable["name"], value.replace("$(NODE_NAME)", "host-1"))
            environment.delenv("CAIRN_CONFIG", raising=False)
            schema = schemas[name.removeprefix("cairn-").split("-")[0]]
            settings: Any = load_settings(schema, ["--config", str(file)], name)
        taken = {
            f"CAIRN_{section}__{field}".upper()
            for section, model in schema.model_fields.items()
            for field in getattr(model.annotation, "model_fields", {})
        }
        named = {variable["name"] for variable in container["env"]} - {"CAIRN_CONFIG", "NODE_NAME"}
        assert named <= taken
        if name != "cairn-db-upgrade":
            assert settings.health.host == "0.0.0.0"  # noqa: S104 - that is the point
            assert settings.health.port == container["ports"][0]["containerPort"]
        if name == "cairn-agent":
            assert settings.agent.nodes == ["host-1"]
        if name == "cairn-conductor":
            assert settings.conductor.sweep_seconds == (30 if variant == "settings" else 5)


def test_the_settings_that_the_schema_lets_through_are_sections_of_some_process() -> None:
    with helm_python.Chart.load(CHART) as chart:
        schema = chart.schema
    assert schema is not None
    settings = schema["properties"]["settings"]
    sections = {name for process in PROCESSES for name in process.model_fields}
    assert set(settings["properties"]) == sections - {"database", "health", "bootstrap"}
