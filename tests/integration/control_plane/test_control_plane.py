"""The local control plane is a real Kubernetes: custom resources, RBAC, tokens, collection of garbage."""

from __future__ import annotations

import dataclasses
import json
import stat
from collections.abc import Iterator
from typing import Any

import pytest

from cairn_local.control_plane.kubeconfig import KubeconfigError, certificate_kubeconfig
from cairn_local.control_plane.pki import CertificateAuthority, Subject
from cairn_local.control_plane.running import KubectlFailed, RunningControlPlane
from cairn_local.install import install_manifests
from cairn_local.process import HttpProbe
from cairn_local.stack import CRDS
from cairn_local.waiting import wait_until

NAMESPACE = "control-plane-tests"

STONES: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "stones.tests.cairn.dev"},
    "spec": {
        "group": "tests.cairn.dev",
        "scope": "Namespaced",
        "names": {"plural": "stones", "singular": "stone", "kind": "Stone"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {
                                    "weight": {"type": "integer", "minimum": 1},
                                    "colour": {"type": "string", "default": "grey"},
                                },
                            },
                            "status": {"type": "object", "properties": {"placed": {"type": "boolean"}}},
                        },
                    }
                },
            }
        ],
    },
}


def stone(name: str, weight: int = 1) -> dict[str, Any]:
    return {
        "apiVersion": "tests.cairn.dev/v1",
        "kind": "Stone",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"weight": weight},
    }


@pytest.fixture(scope="module")
def plane(control_plane: RunningControlPlane) -> Iterator[RunningControlPlane]:
    """The session's control plane with a namespace, and the resource `stones`."""
    control_plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}, STONES)
    control_plane.kubectl("wait", "--for=condition=Established", "crd/stones.tests.cairn.dev")
    wait_until(
        lambda: "stones" in control_plane.kubectl("api-resources", "-o", "name"), "stones to be served"
    )
    yield control_plane
    control_plane.kubectl("delete", "--wait=false", "crd/stones.tests.cairn.dev")
    control_plane.kubectl("delete", "--wait=false", "namespace", NAMESPACE)


def test_custom_resources_have_defaults_validation_and_a_status_of_their_own(
    plane: RunningControlPlane,
) -> None:
    plane.apply(stone("defaulted"))
    assert (
        plane.kubectl("-n", NAMESPACE, "get", "stone", "defaulted", "-o", "jsonpath={.spec.colour}") == "grey"
    )

    with pytest.raises(KubectlFailed, match="should be greater than or equal to 1"):
        plane.apply(stone("weightless", weight=0))

    path = f"/apis/tests.cairn.dev/v1/namespaces/{NAMESPACE}/stones/defaulted/status"
    current = json.loads(plane.kubectl("get", "--raw", path))
    current["status"] = {"placed": True}
    current["spec"]["weight"] = 9
    plane.kubectl("replace", "--raw", path, "-f", "-", stdin=json.dumps(current))
    stored = json.loads(plane.kubectl("-n", NAMESPACE, "get", "stone", "defaulted", "-o", "json"))
    assert stored["status"] == {"placed": True}
    assert stored["spec"]["weight"] == 1, "the status endpoint does not change the spec"


def test_an_empty_string_is_a_string(plane: RunningControlPlane) -> None:
    install_manifests(plane.kubeconfig, CRDS, [])
    wait_until(lambda: "instances" in plane.kubectl("api-resources", "-o", "name"), "instances to be served")
    metadata = {"role": "", "tier": "web"}
    instance: dict[str, Any] = {
        "apiVersion": "compute.cairn.dev/v1alpha1",
        "kind": "Instance",
        "metadata": {"name": "labelled", "namespace": NAMESPACE},
        "spec": {"flavor": "tiny", "image": "demo", "metadata": metadata},
    }
    plane.apply(instance)
    stored = json.loads(plane.kubectl("-n", NAMESPACE, "get", "instance", "labelled", "-o", "json"))
    assert stored["spec"]["metadata"] == metadata

    plane.kubectl("-n", NAMESPACE, "delete", "instance", "labelled")
    with pytest.raises(KubectlFailed, match="string"):
        plane.apply(instance | {"spec": {**instance["spec"], "metadata": {"role": 7}}})


def test_an_anonymous_request_is_refused(plane: RunningControlPlane) -> None:
    ask = HttpProbe(f"{plane.plane.server}/api/v1/namespaces", plane.plane.certificate_authority)
    assert "403" in (ask() or "")
    assert "system:anonymous" in (ask() or "")


def test_a_certificate_of_another_authority_is_refused(plane: RunningControlPlane) -> None:
    forger = CertificateAuthority(plane.plane.data_dir / "forger").issue(
        "admin", Subject("cairn-admin", ("system:masters",))
    )
    forged = certificate_kubeconfig(
        plane.plane.data_dir / "forged.kubeconfig",
        plane.plane.server,
        plane.plane.certificate_authority,
        forger,
    )
    with pytest.raises(KubectlFailed):
        plane.kubectl("get", "namespaces", kubeconfig=forged)


def test_a_service_account_may_do_what_its_role_says_and_nothing_else(plane: RunningControlPlane) -> None:
    plane.kubectl("-n", NAMESPACE, "create", "serviceaccount", "mason")
    plane.kubectl("-n", NAMESPACE, "create", "role", "mason", "--verb=get,create", "--resource=stones")
    plane.kubectl(
        "-n",
        NAMESPACE,
        "create",
        "rolebinding",
        "mason",
        "--role=mason",
        f"--serviceaccount={NAMESPACE}:mason",
    )
    mason = plane.service_account_kubeconfig(NAMESPACE, "mason")

    assert stat.S_IMODE(mason.stat().st_mode) == 0o600
    plane.kubectl("create", "-f", "-", stdin=json.dumps(stone("by-mason")), kubeconfig=mason)
    assert "by-mason" in plane.kubectl("get", "stone", "by-mason", kubeconfig=mason)
    with pytest.raises(KubectlFailed, match=r"[Ff]orbidden"):
        plane.kubectl("delete", "stone", "by-mason", kubeconfig=mason)
    with pytest.raises(KubectlFailed, match=r"[Ff]orbidden"):
        plane.kubectl("-n", "default", "get", "stone", "by-mason", kubeconfig=mason)


def test_a_service_account_kubeconfig_is_kept_while_it_works(plane: RunningControlPlane) -> None:
    plane.kubectl("-n", NAMESPACE, "create", "serviceaccount", "carter")
    first = plane.service_account_kubeconfig(NAMESPACE, "carter").read_text()
    assert plane.service_account_kubeconfig(NAMESPACE, "carter").read_text() == first

    plane.kubectl("-n", NAMESPACE, "delete", "serviceaccount", "carter")
    with pytest.raises(KubeconfigError, match="not found"):
        plane.service_account_kubeconfig(NAMESPACE, "carter")
    plane.kubectl("-n", NAMESPACE, "create", "serviceaccount", "carter")
    renewed = plane.service_account_kubeconfig(NAMESPACE, "carter")
    assert renewed.read_text() != first, "a token for a deleted account is replaced"
    assert "v1" in plane.kubectl("get", "--raw", "/api", kubeconfig=renewed)


def test_a_deleted_namespace_takes_its_objects_with_it(plane: RunningControlPlane) -> None:
    plane.kubectl("create", "namespace", "short-lived")
    plane.kubectl("-n", "short-lived", "create", "configmap", "inside")
    plane.kubectl("delete", "namespace", "short-lived", "--timeout=30s")
    assert "short-lived" not in plane.kubectl("get", "configmap", "-A")


def test_objects_go_when_their_owner_goes(plane: RunningControlPlane) -> None:
    plane.kubectl("-n", NAMESPACE, "create", "configmap", "owner")
    uid = plane.kubectl("-n", NAMESPACE, "get", "configmap", "owner", "-o", "jsonpath={.metadata.uid}")
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}
    dependent = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "dependent", "namespace": NAMESPACE, "ownerReferences": [owner]},
    }
    plane.apply(dependent)
    plane.kubectl("-n", NAMESPACE, "delete", "configmap", "owner")
    wait_until(
        lambda: not plane.kubectl("-n", NAMESPACE, "get", "configmap", "dependent", "--ignore-not-found"),
        "the dependent to be collected",
    )


def test_a_role_with_the_aggregation_label_becomes_part_of_view(plane: RunningControlPlane) -> None:
    plane.apply(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {
                "name": "stone-viewer",
                "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"},
            },
            "rules": [{"apiGroups": ["tests.cairn.dev"], "resources": ["stones"], "verbs": ["get", "list"]}],
        }
    )
    wait_until(
        lambda: "tests.cairn.dev" in plane.kubectl("get", "clusterrole", "view", "-o", "yaml"),
        "the view role to hold the stones",
    )
    plane.kubectl("delete", "clusterrole", "stone-viewer")


def test_the_audit_log_counts_writes_and_not_reads(plane: RunningControlPlane) -> None:
    mark = plane.mark()
    plane.apply(stone("counted"))
    plane.kubectl("-n", NAMESPACE, "get", "stones")
    plane.kubectl("-n", NAMESPACE, "delete", "stone", "counted")
    writes = [write for write in plane.writes_since(mark) if write.name == "counted"]
    assert [(write.verb, write.resource, write.user) for write in writes] == [
        ("patch", "stones", "cairn-admin"),
        ("delete", "stones", "cairn-admin"),
    ]


def test_etcd_lets_nobody_in_without_a_certificate(plane: RunningControlPlane) -> None:
    probe = plane.group["etcd"].spec.ready
    assert isinstance(probe, HttpProbe)
    assert probe() is None
    assert dataclasses.replace(probe, client=None)() is not None
