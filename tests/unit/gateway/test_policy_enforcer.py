"""The enforcer: policy files, what they may say, and what is remembered."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from cairn_gateway.http.caller import Caller
from cairn_gateway.policy import enforcer as module
from cairn_gateway.policy.enforcer import Enforcer, PolicyFileInvalid, UnknownRule
from cairn_gateway.policy.rules import EVERY_SCOPE, Rule, act
from cairn_gateway.policy.table import TABLES, all_rules

SHOW = "os_compute_api:servers:show"
MEMBER = Caller("u1", "ann", "d1", "p1", "blue", "d1", frozenset({"member", "reader"}))
OWN = {"project_id": "p1"}


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "policy.yaml"


def test_an_unknown_rule_is_a_mistake_in_the_program() -> None:
    with pytest.raises(UnknownRule, match="servers:fly"):
        Enforcer().allows("os_compute_api:servers:fly", MEMBER, OWN)


def test_no_file_means_the_defaults(file: Path) -> None:
    assert Enforcer(file).checks() == Enforcer().checks()


def test_a_file_overrides_and_the_rest_stays(file: Path) -> None:
    file.write_text(f'"{SHOW}": "role:auditor or is_admin:True"\n')
    enforcer = Enforcer(file)
    assert not enforcer.allows(SHOW, MEMBER, OWN)
    assert enforcer.allows(SHOW, replace(MEMBER, roles=frozenset({"auditor"})), {})
    assert enforcer.allows(SHOW, replace(MEMBER, roles=frozenset({"admin"})), {})
    assert enforcer.allows("os_compute_api:servers:index", MEMBER, OWN)


def test_a_base_rule_can_be_overridden_for_all_that_name_it(file: Path) -> None:
    file.write_text('context_is_admin: "role:cloud_admin"\n')
    enforcer = Enforcer(file)
    stop = "os_compute_api:os-services:update"
    assert enforcer.allows(stop, replace(MEMBER, roles=frozenset({"cloud_admin"})), {})
    assert not enforcer.allows(stop, replace(MEMBER, roles=frozenset({"admin"})), {})


def test_an_old_token_scope_is_still_refused_by_an_override(file: Path) -> None:
    file.write_text(f'"{SHOW}": "@"\n')
    system = replace(MEMBER, project_id=None, system_scope="all")
    assert not Enforcer(file).allows(SHOW, system, {})


def test_a_changed_file_counts_within_a_second(file: Path) -> None:
    clock = Clock()
    enforcer = Enforcer(file, clock=clock)
    assert enforcer.allows(SHOW, MEMBER, OWN)
    file.write_text(f'"{SHOW}": "!"\n')
    assert enforcer.allows(SHOW, MEMBER, OWN), "the file is not looked at for every question"
    clock.now += 1
    assert not enforcer.allows(SHOW, MEMBER, OWN)
    file.unlink()
    clock.now += 1
    assert enforcer.allows(SHOW, MEMBER, OWN)


def test_a_file_that_breaks_later_changes_nothing_and_is_said_once(file: Path) -> None:
    clock = Clock()
    file.write_text(f'"{SHOW}": "!"\n')
    enforcer = Enforcer(file, clock=clock)
    file.write_text("{ not yaml\n")
    with capture_logs() as logs:
        for _ in range(3):
            clock.now += 1
            assert not enforcer.allows(SHOW, MEMBER, OWN)
    assert [entry["event"] for entry in logs] == ["policy.file_refused"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{ not yaml", "cannot be read"),
        ("- a\n- b\n", "must map names"),
        ("a: [role, admin]\n", "must map names"),
        ("1: role:admin\n", "must map names"),
        (f'"{SHOW}": "role:admin and"\n', "cannot be understood"),
        (f'"{SHOW}": "rule:who_knows"\n', "which there is not"),
        (f'"{SHOW}": "not rule:who_knows"\n', "which there is not"),
        ('a: "rule:b"\nb: "not rule:a"\n', "names itself"),
        (f'"{SHOW}": "http://example.org/%(project_id)s"\n', "no other server"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_at_the_start(file: Path, text: str, complaint: str) -> None:
    file.write_text(text)
    logging.getLogger("oslo_policy").setLevel(logging.CRITICAL)
    with pytest.raises(PolicyFileInvalid, match=complaint):
        Enforcer(file)


def test_rules_that_nothing_uses_are_named(file: Path) -> None:
    file.write_text(f'"os_compute_api:server:show": "!"\nhelper: "role:x"\n"{SHOW}": "rule:helper"\n')
    with capture_logs() as logs:
        Enforcer(file)
    assert [(entry["event"], entry["rules"]) for entry in logs] == [
        ("policy.rules_unused", ["os_compute_api:server:show"])
    ]


def test_the_defaults_make_no_noise(
    caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    with caplog.at_level(logging.INFO), capture_logs() as logs:
        Enforcer().allows(SHOW, MEMBER, OWN)
    assert (caplog.records, logs, recwarn.list) == ([], [], [])


def rule_with(check: str) -> Callable[[Caller, dict[str, str | None]], bool]:
    enforcer = Enforcer(rules=[Rule("it", check, "", scopes=())])
    return lambda caller, target: enforcer.allows("it", caller, target)


@pytest.mark.parametrize(
    ("check", "target", "expected"),
    [
        ("user_id:%(target.user.id)s", {"target.user.id": "u1"}, True),
        ("user_id:%(target.user.id)s", {"target.user.id": "u2"}, False),
        ("tenant_id:%(network:tenant_id)s", {"network:tenant_id": "p1"}, True),
        ("'community':%(visibility)s", {"visibility": "community"}, True),
        ("'community':%(visibility)s", {"visibility": "private"}, False),
        ('"public":%(visibility)s', {"visibility": "public"}, True),
        ("True:%(shared)s", {"shared": "True"}, True),
        ("role:%(wanted)s", {"wanted": "member"}, True),
        ("role:%(wanted)s", {"wanted": "admin"}, False),
        ("project_id:p1", {}, True),
        ("project_id:p2", {}, False),
        ("system_scope:all", {}, False),
        ("user_id:x-%(user_id)s", {"user_id": "u1"}, False),
        ("not user_id:%(user_id)s", {"user_id": "u2"}, True),
        ("(role:reader and project_id:%(owner)s) or user_id:%(user_id)s", {"owner": "p1"}, True),
        ("nothing_we_know:%(project_id)s", {"project_id": "p1"}, False),
    ],
)
def test_the_checks_of_the_other_apis(check: str, target: dict[str, str | None], expected: bool) -> None:
    asked = rule_with(check)
    assert [asked(MEMBER, target), asked(MEMBER, target)] == [expected, expected]


@pytest.mark.parametrize("check", ["project_id:%(project_id)s", "None:%(project_id)s", "project_id:None"])
def test_nothing_is_equal_to_nothing(check: str) -> None:
    nobody = replace(MEMBER, project_id=None)
    assert not rule_with(check)(nobody, {"project_id": None})


def test_decisions_are_not_remembered_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_DECISIONS", 10)
    enforcer = Enforcer()
    for number in range(100):
        assert not enforcer.allows(SHOW, replace(MEMBER, roles=frozenset({f"role{number}"})), OWN)
    assert len(enforcer._decisions) <= 10


def test_no_http_library_comes_with_the_rules() -> None:
    assert "oslo_policy._external" not in sys.modules


def test_rules_are_written_for_people() -> None:
    rules = all_rules()
    assert all(rule.about and not rule.about.endswith(".") for rule in rules)
    assert all(set(rule.scopes) <= set(EVERY_SCOPE) for rule in rules)
    assert act("reboot") == "POST /servers/{server_id}/action (reboot)"
    assert not [rule.name for rule in rules if rule.scopes and not rule.operations]
    assert not any(rule.operations for rule in TABLES["Who counts as what"])
