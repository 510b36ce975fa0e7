"""Events tell a transition once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
import pytest_asyncio

from cairn_crds import Flavor, Instance, Resource
from cairn_runtime import events
from cairn_runtime.events import EventRecorder
from cairn_runtime.kubernetes import ApiServerUnavailable, NotFound

INSTANCE = Instance.from_api(
    {
        "metadata": {"name": "web", "namespace": "acme", "uid": "u-1"},
        "spec": {"flavor": "small", "image": "demo"},
    }
)


class Api:
    """Keeps what is written; `errors` are raised first."""

    def __init__(self) -> None:
        self.written: list[tuple[str, str, dict[str, Any]]] = []
        self.errors: list[Exception] = []

    async def request(self, method: str, path: str, body: dict[str, Any], **_: Any) -> dict[str, Any]:
        if self.errors:
            raise self.errors.pop(0)
        self.written.append((method, path, body))
        return {}


class Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(events, "time", made)
    return made


@pytest_asyncio.fixture
async def recorder(api: Api, clock: Clock) -> AsyncIterator[EventRecorder]:
    made = EventRecorder(cast(Any, api), "cairn-conductor")
    await made.start()
    yield made
    await made.stop()


async def written(recorder: EventRecorder) -> None:
    await recorder.written()


async def test_an_event_says_who_what_and_why(recorder: EventRecorder, api: Api) -> None:
    recorder.warning(INSTANCE, "NoValidHost", "No host has room.")
    await written(recorder)
    ((method, path, body),) = api.written
    assert (method, path) == ("POST", "/api/v1/namespaces/acme/events")
    assert body["involvedObject"] == {
        "apiVersion": "compute.cairn.dev/v1alpha1",
        "kind": "Instance",
        "name": "web",
        "namespace": "acme",
        "uid": "u-1",
    }
    assert (body["type"], body["reason"], body["message"], body["count"]) == (
        "Warning",
        "NoValidHost",
        "No host has room.",
        1,
    )
    assert body["source"] == {"component": "cairn-conductor"}
    assert body["metadata"]["name"].startswith("web.")


async def test_what_repeats_raises_the_count(recorder: EventRecorder, api: Api) -> None:
    for _ in range(3):
        recorder.normal(INSTANCE, "Launched", "It runs.")
    await written(recorder)
    assert [method for method, _path, _body in api.written] == ["POST", "PATCH", "PATCH"]
    assert [body["count"] for _method, _path, body in api.written] == [1, 2, 3]
    assert api.written[1][1].endswith(api.written[0][2]["metadata"]["name"])


@pytest.mark.parametrize(("reason", "message"), [("Launched", "Again."), ("Restored", "It runs.")])
async def test_another_word_is_another_event(
    recorder: EventRecorder, api: Api, reason: str, message: str
) -> None:
    recorder.normal(INSTANCE, "Launched", "It runs.")
    recorder.normal(INSTANCE, reason, message)
    await written(recorder)
    assert [method for method, _path, _body in api.written] == ["POST", "POST"]


async def test_after_a_while_it_is_told_anew(recorder: EventRecorder, api: Api, clock: Clock) -> None:
    recorder.normal(INSTANCE, "Launched", "It runs.")
    await written(recorder)
    clock.now += events.REPEAT_SECONDS + 1
    recorder.normal(INSTANCE, "Launched", "It runs.")
    await written(recorder)
    assert [method for method, _path, _body in api.written] == ["POST", "POST"]


async def test_an_event_that_somebody_removed_is_told_anew(recorder: EventRecorder, api: Api) -> None:
    recorder.normal(INSTANCE, "Launched", "It runs.")
    await written(recorder)
    api.errors.append(NotFound(404, "NotFound", "gone"))
    recorder.normal(INSTANCE, "Launched", "It runs.")
    await written(recorder)
    assert [(method, body["count"]) for method, _path, body in api.written] == [("POST", 1), ("POST", 1)]


async def test_an_event_that_cannot_be_written_holds_up_no_other(recorder: EventRecorder, api: Api) -> None:
    api.errors.append(ApiServerUnavailable(0, "NoAnswer", "away"))
    recorder.normal(INSTANCE, "Scheduled", "On h1.")
    recorder.normal(INSTANCE, "Launched", "It runs.")
    await written(recorder)
    assert [body["reason"] for _method, _path, body in api.written] == ["Launched"]


async def test_one_about_something_cluster_wide_is_in_the_default_namespace(
    recorder: EventRecorder, api: Api
) -> None:
    flavor: Resource = Flavor.from_api(
        {"metadata": {"name": "small", "uid": "u"}, "spec": {"vcpus": 1, "memoryMiB": 1}}
    )
    recorder.normal(flavor, "Mirrored", "Taken in.")
    await written(recorder)
    assert api.written[0][1] == "/api/v1/namespaces/default/events"


async def test_long_messages_are_cut(recorder: EventRecorder, api: Api) -> None:
    recorder.normal(INSTANCE, "Launched", "x" * 5000)
    await written(recorder)
    assert len(api.written[0][2]["message"]) == 1024


async def test_a_full_queue_drops_events_and_never_waits(api: Api) -> None:
    recorder = EventRecorder(cast(Any, api), "cairn-conductor", capacity=2, writers=1)
    for number in range(5):
        recorder.normal(INSTANCE, "Launched", str(number))
    await recorder.start()
    await recorder.stop()
    assert [body["message"] for _method, _path, body in api.written] == ["0", "1"]
