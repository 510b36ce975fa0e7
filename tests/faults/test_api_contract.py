"""The API server in memory answers as a real one does: every test here is put to both."""

from __future__ import annotations

import uuid

import pytest

from cairn_crds import Flavor, Guest
from cairn_runtime.kubernetes import AlreadyExists, Conflict, Forbidden, Invalid, NotFound
from faults.api_servers import AnyApiServer

FINALIZER = "compute.cairn.dev/test"


async def test_what_is_created_gets_an_identity_and_its_defaults(api: AnyApiServer) -> None:
    made = await api.guest("one")
    metadata = made["metadata"]
    assert metadata["generation"] == 1
    assert uuid.UUID(metadata["uid"])
    assert int(metadata["resourceVersion"]) > 0
    assert made["spec"]["powerState"] == "Running"
    assert made["spec"]["reboot"] == {"generation": 0, "type": "Soft"}
    assert made["spec"]["config"]["configDrive"] is True
    assert made["status"]["phase"] == "Pending"
    assert await api.kubernetes.get(Guest, "one", api.namespace) == made


async def test_fields_that_nobody_knows_are_dropped(api: AnyApiServer) -> None:
    name = f"flavor-{uuid.uuid4().hex[:8]}"
    made = await api.flavor(name, vcpus=1, memoryMiB=64, surprise=True)
    assert "surprise" not in made["spec"]
    await api.kubernetes.delete(Flavor, name)


async def test_what_breaks_the_schema_is_refused(api: AnyApiServer) -> None:
    with pytest.raises(Invalid):
        await api.flavor("wrong", vcpus=0, memoryMiB=64)
    await api.guest("one")
    patch = {"spec": {"powerState": "Flying"}}
    with pytest.raises(Invalid):
        await api.kubernetes.patch(Guest, "one", api.namespace, patch)


async def test_a_name_is_given_once(api: AnyApiServer) -> None:
    await api.guest("one")
    with pytest.raises(AlreadyExists):
        await api.guest("one")


async def test_nothing_is_made_in_a_namespace_that_is_not_there(api: AnyApiServer) -> None:
    with pytest.raises(NotFound):
        await api.guest("one", namespace="nowhere-at-all")


async def test_a_status_comes_through_its_own_door_only(api: AnyApiServer) -> None:
    made = await api.guest("one")
    patch = {"spec": {"vcpus": 2}, "status": {"phase": "Ready"}}
    changed = await api.kubernetes.patch(Guest, "one", api.namespace, patch)
    assert (changed["spec"]["vcpus"], changed["status"]["phase"]) == (2, "Pending")
    assert changed["metadata"]["generation"] == made["metadata"]["generation"] + 1
    patch = {"spec": {"vcpus": 3}, "status": {"phase": "Ready"}, "metadata": {"labels": {"a": "b"}}}
    reported = await api.kubernetes.patch(Guest, "one", api.namespace, patch, "status")
    assert (reported["spec"]["vcpus"], reported["status"]["phase"]) == (2, "Ready")
    assert "labels" not in reported["metadata"]
    assert reported["metadata"]["generation"] == changed["metadata"]["generation"]


async def test_a_patch_that_changes_nothing_is_no_new_version(api: AnyApiServer) -> None:
    await api.guest("one")
    # The first one may change who manages the fields.
    made = await api.kubernetes.patch(Guest, "one", api.namespace, {"spec": {"vcpus": 1}})
    same = await api.kubernetes.patch(Guest, "one", api.namespace, {"spec": {"vcpus": 1}})
    assert same["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


async def test_a_label_is_a_new_version_and_no_new_generation(api: AnyApiServer) -> None:
    made = await api.guest("one")
    labelled = await api.kubernetes.patch(Guest, "one", api.namespace, {"metadata": {"labels": {"a": "b"}}})
    assert labelled["metadata"]["labels"] == {"a": "b"}
    assert labelled["metadata"]["generation"] == made["metadata"]["generation"]
    assert int(labelled["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])


async def test_a_patch_of_an_old_version_is_refused(api: AnyApiServer) -> None:
    made = await api.guest("one")
    await api.kubernetes.patch(Guest, "one", api.namespace, {"spec": {"vcpus": 2}})
    stale = {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}, "spec": {"vcpus": 3}}
    with pytest.raises(Conflict):
        await api.kubernetes.patch(Guest, "one", api.namespace, stale)
    stale = {
        "metadata": {"resourceVersion": made["metadata"]["resourceVersion"]},
        "status": {"phase": "Ready"},
    }
    with pytest.raises(Conflict):
        await api.kubernetes.patch(Guest, "one", api.namespace, stale, "status")


async def test_null_removes_a_field_or_brings_its_default_back(api: AnyApiServer) -> None:
    await api.guest("one")
    await api.kubernetes.patch(
        Guest, "one", api.namespace, {"spec": {"requestId": "r", "powerState": "Paused"}}
    )
    patch = {"spec": {"requestId": None, "powerState": None}}
    changed = await api.kubernetes.patch(Guest, "one", api.namespace, patch)
    assert "requestId" not in changed["spec"]
    assert changed["spec"]["powerState"] == "Running"


async def test_a_delete_removes_at_once_what_nobody_holds(api: AnyApiServer) -> None:
    await api.guest("one")
    await api.kubernetes.delete(Guest, "one", api.namespace)
    with pytest.raises(NotFound):
        await api.kubernetes.get(Guest, "one", api.namespace)
    with pytest.raises(NotFound):
        await api.kubernetes.delete(Guest, "one", api.namespace)
    with pytest.raises(NotFound):
        await api.kubernetes.patch(Guest, "one", api.namespace, {"spec": {"vcpus": 2}})


async def test_a_delete_of_another_object_of_that_name_is_refused(api: AnyApiServer) -> None:
    await api.guest("one")
    with pytest.raises(Conflict):
        await api.kubernetes.delete(Guest, "one", api.namespace, uid=str(uuid.uuid4()))


async def test_a_finalizer_holds_what_is_deleted(api: AnyApiServer) -> None:
    made = await api.guest("one", finalizers=[FINALIZER])
    doomed = await api.kubernetes.delete(Guest, "one", api.namespace)
    assert doomed["metadata"]["deletionTimestamp"]
    assert doomed["metadata"]["generation"] == made["metadata"]["generation"] + 1
    again = await api.kubernetes.delete(Guest, "one", api.namespace)
    assert again["metadata"]["resourceVersion"] == doomed["metadata"]["resourceVersion"]
    patch = {"metadata": {"finalizers": [FINALIZER, "compute.cairn.dev/other"]}}
    with pytest.raises((Invalid, Forbidden)):
        await api.kubernetes.patch(Guest, "one", api.namespace, patch)
    released = await api.kubernetes.patch(Guest, "one", api.namespace, {"metadata": {"finalizers": None}})
    assert released["metadata"]["name"] == "one"
    with pytest.raises(NotFound):
        await api.kubernetes.get(Guest, "one", api.namespace)


async def test_a_successor_of_the_same_name_is_another_object(api: AnyApiServer) -> None:
    first = await api.guest("one")
    await api.kubernetes.delete(Guest, "one", api.namespace)
    second = await api.guest("one")
    assert second["metadata"]["uid"] != first["metadata"]["uid"]
    assert second["metadata"]["generation"] == 1
    assert int(second["metadata"]["resourceVersion"]) > int(first["metadata"]["resourceVersion"])


async def test_a_watch_tells_everything_in_order(api: AnyApiServer) -> None:
    _items, since = await api.kubernetes.list_all(Guest, api.namespace)
    made = await api.guest("one", finalizers=[FINALIZER])
    await api.kubernetes.patch(Guest, "one", api.namespace, {"spec": {"vcpus": 2}})
    await api.kubernetes.patch(Guest, "one", api.namespace, {"status": {"phase": "Ready"}}, "status")
    await api.kubernetes.delete(Guest, "one", api.namespace)
    await api.kubernetes.patch(Guest, "one", api.namespace, {"metadata": {"finalizers": None}})
    version = made["metadata"]["resourceVersion"]
    heard = await api.events(str(int(version) - 1) if since == "0" else since, 5)
    assert [kind for kind, _body in heard] == ["ADDED", "MODIFIED", "MODIFIED", "MODIFIED", "DELETED"]
    assert [body["metadata"]["generation"] for _kind, body in heard] == [1, 2, 2, 3, 3]
    versions = [int(body["metadata"]["resourceVersion"]) for _kind, body in heard]
    assert versions == sorted(set(versions)), "the last one is newer, too"


async def test_a_list_has_what_is_there_and_a_version(api: AnyApiServer) -> None:
    await api.guest("one")
    made = await api.guest("two")
    answer = await api.kubernetes.request("GET", Guest.kind_info.path(api.namespace))
    assert sorted(item["metadata"]["name"] for item in answer["items"]) == ["one", "two"]
    assert int(answer["metadata"]["resourceVersion"]) >= int(made["metadata"]["resourceVersion"])
