"""Decides whether a caller may do something, by oslo.policy and a policy file that may change under way.

A decision is a boolean function of the caller's roles, the token's scope and, per rule, a few comparisons of
the target with the caller (`project_id:%(project_id)s`). The enforcer makes those comparisons itself and asks
oslo.policy once for each outcome that it has not seen: asking again costs microseconds.

`is_admin:True` in a policy file, Nova's older way of writing, means the rule `context_is_admin`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import structlog
from oslo_config import cfg
from oslo_policy import _checks, policy

from cairn_gateway.policy.rules import Rule
from cairn_gateway.policy.table import all_rules

# oslo.policy would load its checks that ask a web server, and an HTTP library with them, when it reads its
# first rule. Cairn has no use for them: they would stop the whole process while they wait.
_checks.extension_checks = {}
REMOTE_CHECKS: Final = frozenset({"http", "https", "opa", "opaque"})

LOOK_AGAIN_AFTER: Final = 1.0
"""Seconds between two looks at the policy file."""
MOST_DECISIONS: Final = 20_000
"""Decisions that are remembered; more than that begins anew."""

log = structlog.get_logger()


class Credentials(Protocol):
    """What rules may ask of a caller; `http.caller.Caller` is one."""

    @property
    def user_id(self) -> str: ...
    @property
    def user_domain_id(self) -> str: ...
    @property
    def project_id(self) -> str | None: ...
    @property
    def project_domain_id(self) -> str | None: ...
    @property
    def domain_id(self) -> str | None: ...
    @property
    def system_scope(self) -> str | None: ...
    @property
    def roles(self) -> frozenset[str]: ...


Target = Mapping[str, str | None]
Comparison = Callable[[Credentials, Target], bool]


class UnknownRule(LookupError):
    """A handler asks for a rule that no table has: a mistake in the program."""


class PolicyFileInvalid(ValueError):
    """The policy file cannot be used; the message says what to correct."""


class Enforcer:
    """Decides by the defaults, overridden by `policy_file` (YAML: name to check) where that exists.

    The file is read again within a second after it changed. One that cannot be used is refused at the
    start; later the rules before it stay in force, and the log says why.
    """

    def __init__(
        self,
        policy_file: Path | None = None,
        rules: Iterable[Rule] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises PolicyFileInvalid."""
        self._file = policy_file
        self._defaults = {rule.name: rule for rule in (all_rules() if rules is None else rules)}
        self._clock = clock
        self._look_again_at = clock() + LOOK_AGAIN_AFTER
        self._stamp = self._file_stamp()
        self._load()

    def allows(self, rule: str, credentials: Credentials, target: Target) -> bool:
        """Whether a caller may do `rule` to `target`. Raises UnknownRule.

        What is None, of the caller or the target, equals nothing, not even None.
        """
        if self._clock() >= self._look_again_at:
            self._look_again()
        comparisons = self._comparisons.get(rule)
        if comparisons is None:
            raise UnknownRule(f"no policy table has the rule {rule}")
        key = (
            rule,
            credentials.roles,
            _scope(credentials),
            *[compare(credentials, target) for compare in comparisons],
        )
        decision = self._decisions.get(key)
        if decision is None:
            decision = self._decide(rule, credentials, target)
            if len(self._decisions) >= MOST_DECISIONS:
                self._decisions.clear()
            self._decisions[key] = decision
        return decision

    def checks(self) -> dict[str, str]:
        """What is in force: every rule's check."""
        return {name: str(self._oslo.rules[name]) for name in self._defaults}

    def _decide(self, rule: str, credentials: Credentials, target: Target) -> bool:
        known = {name: value for name, value in target.items() if value is not None}
        return bool(self._oslo.authorize(rule, known, _credential_values(credentials)))

    def _look_again(self) -> None:
        self._look_again_at = self._clock() + LOOK_AGAIN_AFTER
        refused: PolicyFileInvalid | None = None
        try:
            stamp = self._file_stamp()
            if stamp == self._stamp:
                return
            self._stamp = stamp
            self._load()
        except PolicyFileInvalid as error:
            refused = error
        if refused:
            log.error("policy.file_refused", file=str(self._file), error=str(refused))
        else:
            log.info("policy.file_read", file=str(self._file))

    def _file_stamp(self) -> tuple[int, int, int] | None:
        try:
            found = self._file.stat() if self._file else None
        except FileNotFoundError:
            return None
        except OSError as error:
            raise PolicyFileInvalid(f"{self._file} cannot be read: {error}") from error
        return (found.st_mtime_ns, found.st_size, found.st_ino) if found else None

    def _load(self) -> None:
        overrides = self._read_overrides()
        texts = {name: rule.check for name, rule in self._defaults.items()} | overrides
        oslo = _oslo_enforcer(self._defaults.values(), texts)
        _refuse_mistakes(oslo, texts, overrides)
        self._oslo = oslo
        self._comparisons = {
            name: tuple(_comparison(leaf) for leaf in _unique(_leaves(oslo, name))) for name in self._defaults
        }
        self._decisions: dict[tuple[Any, ...], bool] = {}
        unused = sorted(overrides.keys() - self._defaults.keys() - _named_rules(oslo))
        if unused:
            log.warning("policy.rules_unused", file=str(self._file), rules=unused)

    def _read_overrides(self) -> dict[str, str]:
        if self._file is None:
            return {}
        try:
            found = policy.parse_file_contents(self._file.read_text())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise PolicyFileInvalid(f"{self._file} cannot be read: {error}") from error
        if not isinstance(found, dict) or not all(
            isinstance(item, str) for pair in found.items() for item in pair
        ):
            raise PolicyFileInvalid(f"{self._file} must map names of rules to checks, both strings")
        return {name: _IS_ADMIN.sub("rule:context_is_admin", text) for name, text in found.items()}


_IS_ADMIN = re.compile(r"\bis_admin:(?:True|1)(?!\w)")
_FIELD = re.compile(r"%\(([^()]+)\)s")
_LITERAL = re.compile(r"'[^'\\]*'|\"[^\"\\]*\"")


def _oslo_enforcer(rules: Iterable[Rule], texts: Mapping[str, str]) -> policy.Enforcer:
    conf = cfg.ConfigOpts()
    conf([], project="cairn", default_config_files=[], default_config_dirs=[])
    oslo = policy.Enforcer(conf, use_conf=False)
    oslo.register_defaults(
        [policy.RuleDefault(rule.name, rule.check, scope_types=list(rule.scopes) or None) for rule in rules]
    )
    oslo.set_rules(policy.Rules.from_dict(dict(texts)), use_conf=False)
    return oslo


def _refuse_mistakes(oslo: policy.Enforcer, texts: Mapping[str, str], overrides: Mapping[str, str]) -> None:
    for name, text in overrides.items():
        if str(oslo.rules[name]) == "!" and text.strip() != "!":
            raise PolicyFileInvalid(f"the check of {name} cannot be understood: {text}")
    for name in texts:
        for leaf in _leaves(oslo, name):
            if leaf.kind in REMOTE_CHECKS:
                raise PolicyFileInvalid(f"{name}: Cairn asks no other server for decisions ({leaf})")


def _walk(check: Any) -> Iterator[policy.Check]:
    """What a check is put together from: `kind:match` each."""
    if isinstance(check, policy.Check):
        yield check
    elif isinstance(check, policy.NotCheck):
        yield from _walk(check.rule)
    elif isinstance(check, policy.AndCheck | policy.OrCheck):
        for part in check.rules:
            yield from _walk(part)


def _leaves(oslo: policy.Enforcer, name: str, above: tuple[str, ...] = ()) -> Iterator[policy.Check]:
    """Everything that the decision of a rule depends on beside plain roles and the scope.

    Raises PolicyFileInvalid for a rule that names an unknown one, or itself.
    """
    if name not in oslo.rules:
        raise PolicyFileInvalid(f"{above[-1]} names the rule {name}, which there is not")
    if name in above:
        raise PolicyFileInvalid(f"the rule {name} names itself: {' → '.join((*above, name))}")
    for part in _walk(oslo.rules[name]):
        if isinstance(part, policy.RuleCheck):
            yield from _leaves(oslo, part.match, (*above, name))
        elif part.kind != "role" or "%" in part.match:
            yield part


def _unique(leaves: Iterable[policy.Check]) -> list[policy.Check]:
    return list({str(leaf): leaf for leaf in leaves}.values())


def _named_rules(oslo: policy.Enforcer) -> set[str]:
    parts = (part for check in oslo.rules.values() for part in _walk(check))
    return {part.match for part in parts if isinstance(part, policy.RuleCheck)}


_ATTRIBUTES: Final = {
    "user_id": "user_id",
    "user_domain_id": "user_domain_id",
    "project_id": "project_id",
    "tenant_id": "project_id",
    "project_domain_id": "project_domain_id",
    "domain_id": "domain_id",
    "system_scope": "system_scope",
}
"""What checks may ask of a caller; `tenant_id` is the Network API's word for the project."""


def _comparison(leaf: policy.Check) -> Comparison:
    """The common comparisons in a few instructions, every other one as oslo.policy makes it."""
    field = _FIELD.fullmatch(leaf.match)
    if field and leaf.kind in _ATTRIBUTES:
        return _caller_has_field(_ATTRIBUTES[leaf.kind], field[1])
    if leaf.kind in _ATTRIBUTES and "%" not in leaf.match:
        return _caller_has(_ATTRIBUTES[leaf.kind], leaf.match)
    if field and _LITERAL.fullmatch(leaf.kind):
        return _field_is(field[1], leaf.kind[1:-1])

    def compare(credentials: Credentials, target: Target) -> bool:
        known = {name: value for name, value in target.items() if value is not None}
        return bool(leaf(known, _credential_values(credentials), _NO_ENFORCER))

    return compare


_NO_ENFORCER: Any = None
"""Only checks that name rules need one, and those are taken apart before."""


def _caller_has_field(attribute: str, field: str) -> Comparison:
    def compare(credentials: Credentials, target: Target) -> bool:
        value = target.get(field)
        return value is not None and value == getattr(credentials, attribute)

    return compare


def _caller_has(attribute: str, value: str) -> Comparison:
    def compare(credentials: Credentials, _target: Target) -> bool:
        return bool(getattr(credentials, attribute) == value)

    return compare


def _field_is(field: str, value: str) -> Comparison:
    def compare(_credentials: Credentials, target: Target) -> bool:
        return target.get(field) == value

    return compare


def _scope(credentials: Credentials) -> str:
    if credentials.system_scope:
        return "system"
    return "domain" if credentials.domain_id else "project"


def _credential_values(credentials: Credentials) -> dict[str, Any]:
    """The caller as oslo.policy sees it."""
    values = {name: getattr(credentials, attribute) for name, attribute in _ATTRIBUTES.items()}
    known = {name: value for name, value in values.items() if value is not None}
    return known | {"roles": sorted(credentials.roles)}
