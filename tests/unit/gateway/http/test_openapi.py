"""The documents say what the route tables say."""

from __future__ import annotations

from typing import Any

import orjson

from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.documentation import page_routes
from cairn_gateway.http.models import Integer, QueryModel, RequestModel
from cairn_gateway.http.openapi import Described, document
from cairn_gateway.http.routes import Route
from cairn_gateway.nova.routes import ROUTES
from unit.gateway.http.calls import api_of, ask, make_call


class Make(RequestModel):
    size: Integer


class Resize(RequestModel):
    resize: Make


class Filters(QueryModel):
    limit: Integer | None = None


async def handler(_call: Call) -> Answer:
    """Do it."""
    return Answer()


TABLE = (
    Route("GET", "/", handler, None),
    Route("GET", "/things", handler, "list", query=Filters),
    Route("POST", "/things", handler, "make", body=Make, status=202, since=3, until=7),
    Route("GET", "/things/{thing_id}", handler, "show", tags=("stuff",)),
    Route("DELETE", "/things/{thing_id}", handler, "delete", status=204),
    Route("PUT", "/things/{thing_id}/file", handler, "upload", raw=True),
    Route("POST", "/things/{thing_id}/action", handler, "start", action="start", status=202),
    Route("POST", "/things/{thing_id}/action", handler, "resize", action="resize", body=Resize),
    Route("POST", "/things/{thing_id}/action", handler, "fly", action="fly", not_yet=True),
)


def made(*routes: Route, **options: Any) -> dict[str, Any]:
    return document(Described(api_of(*routes), "Test API", "For tests.", **options), "1.2.3")


def test_every_route_of_the_table_is_in_the_document() -> None:
    paths = made(*TABLE)["paths"]
    told = {
        (method.upper(), path, one.get("action"), one.get("x-cairn-rule"))
        for path, item in paths.items()
        for method, operation in item.items()
        if method != "parameters"
        for one in operation["x-cairn-routes"]
    }
    assert told == {(route.method, route.path, route.action, route.rule) for route in TABLE}


def test_an_operation_says_what_the_route_says() -> None:
    whole = made(*TABLE)
    assert (whole["openapi"], whole["info"]["version"]) == ("3.1.0", "1.2.3")
    assert whole["servers"] == [{"url": "/api"}]
    make = whole["paths"]["/things"]["post"]
    assert make["requestBody"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/Make"
    }
    assert whole["components"]["schemas"]["Make"]["required"] == ["size"]
    assert set(make["responses"]) == {"202", "default"}
    assert make["x-cairn-routes"][0]["x-cairn-since"] == "3"
    assert make["x-cairn-routes"][0]["x-cairn-until"] == "7"
    assert "security" not in make
    assert whole["paths"]["/"]["get"]["security"] == []
    listed = whole["paths"]["/things"]["get"]
    assert [(field["name"], field["in"]) for field in listed["parameters"]] == [("limit", "query")]
    shown = whole["paths"]["/things/{thing_id}"]
    assert shown["get"]["tags"] == ["stuff"]
    assert [field["name"] for field in shown["parameters"]] == ["thing_id"]
    assert "content" not in shown["delete"]["responses"]["204"]
    assert whole["paths"]["/things/{thing_id}/file"]["put"]["requestBody"] == {"content": {"*/*": {}}}


def test_actions_are_one_operation_with_a_body_of_each() -> None:
    act = made(*TABLE)["paths"]["/things/{thing_id}/action"]["post"]
    shapes = act["requestBody"]["content"]["application/json"]["schema"]["oneOf"]
    assert {"$ref": "#/components/schemas/Resize"} in shapes
    assert [shape["required"] for shape in shapes if "required" in shape] == [["start"], ["fly"]]
    assert [one["action"] for one in act["x-cairn-routes"] if one.get("x-cairn-not-yet")] == ["fly"]


def test_operation_ids_are_unique_and_references_lead_somewhere() -> None:
    whole = made(*ROUTES)
    ids = [
        operation["operationId"]
        for item in whole["paths"].values()
        for method, operation in item.items()
        if method != "parameters"
    ]
    assert len(ids) == len(set(ids)) > 50
    text = orjson.dumps(whole).decode()
    for reference in {piece.split('"')[0] for piece in text.split('"$ref":"')[1:]}:
        place: Any = whole
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


def test_the_microversion_is_a_header_of_every_path() -> None:
    whole = made(*TABLE, version_header="compute 2.1")
    assert all(
        "OpenStack-API-Version" in [field["name"] for field in item["parameters"]]
        for item in whole["paths"].values()
    )


async def test_the_page_runs_only_its_own_scripts_and_loads_nothing_from_elsewhere() -> None:
    api = api_of(*page_routes([Described(api_of(*TABLE), "Test API", "For tests.")]))
    page = await ask(api, make_call(path="/api/docs", token=False))
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert b"http" not in page.body.replace(b"http-equiv", b"")
    assert b"<script>" not in page.body
    linked = [piece.split(b'"')[0].decode() for piece in page.body.split(b'="docs/')[1:]]
    assert len(linked) >= 5
    for name in linked:
        file = await ask(api, make_call(path=f"/api/docs/{name}", token=False))
        assert (file.status, len(file.body) > 50) == (200, True), name
        assert file.headers["x-content-type-options"] == "nosniff"
    start = await ask(api, make_call(path="/api/docs/start.js", token=False))
    assert b'"url":"/api/openapi.json"' in start.body
    for name in ("..", "flask_swagger_ui.py", "../flask_swagger_ui.py", "swagger-ui.js.map"):
        assert (await ask(api, make_call(path=f"/api/docs/{name}"))).status == 404
