"""Keystone and Glance from their packages, as other tests use them."""

from __future__ import annotations

import pytest

from support.openstack_services import RunningGlance, RunningKeystone, ServiceRefused


def test_keystone_signs_in_those_who_know_the_password(real_keystone: RunningKeystone) -> None:
    user = real_keystone.create("user", name="ann", password="correct", domain_id="default")
    project = real_keystone.create("project", name="ann-project", domain_id="default")
    real_keystone.grant(user["id"], project["id"], "member")
    token = real_keystone.token("ann", "correct", "ann-project")
    shown = real_keystone.request("GET", f"/users/{user['id']}", token=token)
    assert shown["user"]["name"] == "ann"
    with pytest.raises(ServiceRefused) as refusal:
        real_keystone.token("ann", "wrong", "ann-project")
    assert refusal.value.status == 401


def test_glance_believes_keystone(real_glance: RunningGlance) -> None:
    image = {"name": "empty", "disk_format": "raw", "container_format": "bare"}
    made = real_glance.request("POST", "/v2/images", image)
    assert made["status"] == "queued"
    with pytest.raises(ServiceRefused) as refusal:
        real_glance.request("GET", f"/v2/images/{made['id']}", token="no such token")
    assert refusal.value.status == 401
