"""The list of images: filters, sorting, pages."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest

from integration.gateway.image.world import World


async def _five(world: World) -> list[dict[str, Any]]:
    return [
        await world.active(name="a", data=b"x" * 10, tags=["old", "red"]),
        await world.active(name="b", data=b"x" * 20, tags=["red"], os_type="linux"),
        await world.queued(name="c,d", os_type="linux"),
        await world.queued(name="e", container_format="ovf", protected=True),
        await world.queued(name="f", os_hidden=True),
    ]


async def test_filters(world: World) -> None:
    made = await _five(world)
    expected = {
        "": {"a", "b", "c,d", "e"},
        "name=a": {"a"},
        "name=nothing": set(),
        "name=None": {"a", "b", "c,d", "e"},
        "name=in:a,b": {"a", "b"},
        'name=in:"c,d",e': {"c,d", "e"},
        f"id=in:{made[0]['id']},{made[3]['id']}": {"a", "e"},
        "status=queued": {"c,d", "e"},
        "status=in:queued,active": {"a", "b", "c,d", "e"},
        "visibility=shared": {"a", "b", "c,d", "e"},
        "visibility=private": set(),
        f"owner={world.projects['green']}": {"a", "b", "c,d", "e"},
        f"owner={world.projects['blue']}": set(),
        "tag=red": {"a", "b"},
        "tag=red&tag=old": {"a"},
        "os_type=linux": {"b", "c,d"},
        "os_type=linux&tag=red": {"b"},
        "size_min=15": {"b"},
        "size_max=15": {"a"},
        "container_format=ovf": {"e"},
        "disk_format=in:raw,qcow2": {"a", "b", "c,d", "e"},
        "protected=true": {"e"},
        "os_hidden=true": {"f"},
        "created_at=gt:2020-01-01T00:00:00Z": {"a", "b", "c,d", "e"},
        "created_at=lt:2020-01-01T00:00:00Z": set(),
        f"checksum={made[0]['checksum']}": {"a"},
        f"os_hash_value={made[1]['os_hash_value']}": {"b"},
    }
    for query, names in expected.items():
        assert set(await world.names(world.green, query)) == names, query


async def test_sorting_and_pages(world: World) -> None:
    await _five(world)
    assert await world.names(world.green) == ["e", "c,d", "b", "a"]
    assert await world.names(world.green, "sort=name:asc") == ["a", "b", "c,d", "e"]
    assert await world.names(world.green, "sort_key=name&sort_dir=desc") == ["e", "c,d", "b", "a"]
    assert await world.names(world.green, "sort=size:desc,name:asc") == ["b", "a", "c,d", "e"]
    assert await world.names(world.green, "sort_key=status&sort_key=name&sort_dir=asc") == [
        *("a", "b"),
        *("c,d", "e"),
    ]
    for query in ("limit=2", "limit=1&sort=name:asc", "limit=3&sort=size:asc", "limit=1&tag=red"):
        where, seen = f"/v2/images?{query}", []
        while where:
            page = (await world.green.get(where)).json()
            assert page["first"] == f"/v2/images?{urlencode(parse_qsl(query))}"
            seen += [image["name"] for image in page["images"]]
            where = page.get("next", "")
        unpaged = "&".join(part for part in query.split("&") if not part.startswith("limit"))
        assert seen == await world.names(world.green, unpaged), query
    assert await world.names(world.green, "limit=0") == []


async def test_a_page_has_25_unless_asked_otherwise(world: World) -> None:
    for number in range(27):
        await world.queued(name=str(number))
    answer = (await world.green.get("/v2/images")).json()
    assert len(answer["images"]) == 25
    assert "next" in answer
    answer = (await world.green.get("/v2/images?limit=1000")).json()
    assert len(answer["images"]) == 27
    assert "next" not in answer


@pytest.mark.parametrize(
    "query",
    [
        "limit=x",
        "limit=-1",
        "sort=color",
        "sort=name:up",
        "sort=name&sort_key=id",
        "sort_key=name&sort_key=id&sort_key=size&sort_dir=asc&sort_dir=desc",
        "visibility=secret",
        "member_status=perhaps",
        "size_min=big",
        "created_at=yesterday",
        "created_at=about:2020-01-01T00:00:00Z",
        "name=like:x",
        'name=in:"a',
        "os_hidden=perhaps",
        "marker=nothing",
        "changes-since=2020-01-01T00:00:00Z",
        "name=%00",
    ],
)
async def test_what_cannot_be_asked(world: World, query: str) -> None:
    assert (await world.green.get(f"/v2/images?{query}")).status_code == 400


async def test_administrators_see_every_projects_images(world: World) -> None:
    await world.queued(name="greens", visibility="private")
    await world.queued(world.blue, name="blues", visibility="private")
    assert set(await world.names(world.admin)) == {"greens", "blues"}
    assert await world.names(world.admin, f"owner={world.projects['blue']}") == ["blues"]
