"""Extra specs of flavors. Source of behaviour: Nova API, os-extra_specs."""

from __future__ import annotations

import re
from typing import Any

from pydantic import Field, RootModel, field_validator

from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest, NotFound
from cairn_gateway.http.models import RequestModel
from cairn_gateway.http.routes import Route
from cairn_gateway.nova import microversions as at
from cairn_gateway.nova.extra_spec_rules import refusal
from cairn_gateway.nova.flavor_access import change, flavor_of
from cairn_gateway.nova.queries import refuse_query

RULE = "os_compute_api:os-flavor-extra-specs:"
KEY = re.compile(r"[a-zA-Z0-9\-_:. ]{1,255}")
LONGEST_VALUE = 255
MOST = 128
"""So many a flavor has at most."""
Specs = dict[str, str | int | float]


def _check(specs: Any) -> Specs:
    if not isinstance(specs, dict):
        raise ValueError(f"{specs!r} is not of type 'object'")  # noqa: TRY004
    for key, value in specs.items():
        if not KEY.fullmatch(key):
            raise ValueError(f"'{key}' does not match any of the regexes: '^[a-zA-Z0-9-_:. ]{{1,255}}$'")
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError(f"{value!r} is not of type 'string', 'number'")  # noqa: TRY004
        if len(str(value)) > LONGEST_VALUE:
            raise ValueError(f"the value of '{key}' is longer than {LONGEST_VALUE} characters")
    return specs


class CreateExtraSpecs(RequestModel):
    """POST /flavors/{id}/os-extra_specs."""

    extra_specs: dict[str, Any] = Field(max_length=MOST)

    @field_validator("extra_specs", mode="before")
    @classmethod
    def _as_nova_takes_them(cls, value: Any) -> Any:
        return _check(value)


class OneExtraSpec(RootModel[dict[str, Any]]):
    """`{"hw:cpu_policy": "dedicated"}`."""

    @field_validator("root", mode="before")
    @classmethod
    def _exactly_one(cls, value: Any) -> Any:
        specs = _check(value)
        if len(specs) != 1:
            raise ValueError("there must be exactly one extra spec")
        return specs


async def index(call: Call) -> Answer:
    """A flavor's extra specs"""
    refuse_query(call)
    return Answer({"extra_specs": (await flavor_of(call)).spec.extra_specs})


async def show(call: Call) -> Answer:
    """One extra spec of a flavor"""
    refuse_query(call)
    specs, key = await _specs_with(call)
    return Answer({key: specs[key]})


async def create(call: Call) -> Answer:
    """Add extra specs to a flavor"""
    specs: Specs = call.checked.extra_specs
    await _put(call, specs)
    return Answer({"extra_specs": specs})


async def update(call: Call) -> Answer:
    """Change an extra spec of a flavor"""
    specs: Specs = call.checked.root
    _refuse_unknown(call, specs)
    if call.params["key"] not in specs:
        raise BadRequest("Request body and URI mismatch")
    await _put(call, specs)
    return Answer(specs)


async def delete(call: Call) -> Answer:
    """Delete an extra spec of a flavor"""
    _specs, key = await _specs_with(call)
    await change(call, await flavor_of(call), {"extraSpecs": {key: None}})
    return Answer()


async def _put(call: Call, specs: Specs) -> None:
    _refuse_unknown(call, specs)
    flavor = await flavor_of(call)
    if len(flavor.spec.extra_specs.keys() | specs.keys()) > MOST:
        raise BadRequest(f"A flavor has at most {MOST} extra specs.")
    await change(call, flavor, {"extraSpecs": {key: str(value) for key, value in specs.items()}})


def _refuse_unknown(call: Call, specs: Specs) -> None:
    if call.version < at.EXTRA_SPECS_CHECKED:
        return
    for key, value in specs.items():
        problem = refusal(key, str(value))
        if problem is not None:
            raise BadRequest(f"Validation failed; {problem}.")


async def _specs_with(call: Call) -> tuple[dict[str, str], str]:
    flavor, key = await flavor_of(call), call.params["key"]
    if key not in flavor.spec.extra_specs:
        raise NotFound(f"Flavor {flavor.id} has no extra specs with key {key}.")
    return flavor.spec.extra_specs, key


ROUTES: tuple[Route, ...] = (
    Route("GET", "/flavors/{flavor_id}/os-extra_specs", index, RULE + "index"),
    Route("POST", "/flavors/{flavor_id}/os-extra_specs", create, RULE + "create", body=CreateExtraSpecs),
    Route("GET", "/flavors/{flavor_id}/os-extra_specs/{key}", show, RULE + "show"),
    Route("PUT", "/flavors/{flavor_id}/os-extra_specs/{key}", update, RULE + "update", body=OneExtraSpec),
    Route("DELETE", "/flavors/{flavor_id}/os-extra_specs/{key}", delete, RULE + "delete"),
)
