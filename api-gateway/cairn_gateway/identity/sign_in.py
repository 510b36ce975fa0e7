"""From what somebody says of themselves to a token: `POST /v3/auth/tokens` (Keystone: api/auth.py)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import structlog

from cairn_database.identity import access, credentials, users
from cairn_database.identity.access import Claim, Standing
from cairn_database.identity.errors import NotAuthentic
from cairn_database.identity.records import User
from cairn_gateway.http.faults import BadRequest, Forbidden, NotImplementedYet
from cairn_gateway.identity.builtin import BuiltInIdentity
from cairn_gateway.identity.models import (
    ApplicationCredentialMethod,
    Auth,
    DomainRef,
    PasswordMethod,
    Scope,
    TokenMethod,
    UserRef,
)
from cairn_gateway.identity.tokens import METHODS, Token

log = structlog.get_logger()


@dataclass(frozen=True)
class Proof:
    """Who it is, and what that was shown by."""

    user_id: str
    generation: int
    methods: tuple[str, ...]
    expires_at: datetime | None = None
    """A token made from another ends with it."""
    parent_audit_id: str | None = None
    application_credential_id: str | None = None
    project_id: str | None = None
    """Of an application credential: the one project that it is for."""


async def sign_in(identity: BuiltInIdentity, auth: Auth, remote: str) -> tuple[str, Token, Standing]:
    """A token for whoever proves to be somebody: its text, what it says, what it stands for.

    Raises NotAuthentic, TooManyRequests, BadRequest.
    """
    proof = await _prove(identity, auth, remote)
    standing = await _standing(identity, auth, proof)
    text, token = await identity.issue(
        standing,
        tuple(method for method in METHODS if method in proof.methods),
        expires_at=proof.expires_at,
        parent_audit_id=proof.parent_audit_id,
    )
    log.info(
        "identity.signed_in",
        user_id=token.user_id,
        scope=token.scope,
        scope_id=token.scope_id,
        methods=token.methods,
        audit_id=token.audit_id,
        remote=remote,
    )
    return text, token, standing


# --- who it is -------------------------------------------------------------------------------------------


async def _prove(identity: BuiltInIdentity, auth: Auth, remote: str) -> Proof:
    asked = auth.identity
    proofs = []
    for method in dict.fromkeys(asked.methods):
        part = getattr(asked, method, None) if method in METHODS else None
        if method not in METHODS:
            raise NotAuthentic(f"no such method: {method[:64]}")
        if part is None:
            raise BadRequest(f"Invalid input for field 'identity': '{method}' is a required property.")
        if isinstance(part, PasswordMethod):
            proofs.append(await _by_password(identity, part, remote))
        elif isinstance(part, TokenMethod):
            proofs.append(await _by_token(identity, part))
        else:
            proofs.append(await _by_application_credential(identity, part, remote))
    first, *others = proofs
    for other in others:
        if (other.user_id, other.generation) != (first.user_id, first.generation):
            raise NotAuthentic("the methods are about different users")
        first = _both(first, other)
    return first


def _both(one: Proof, other: Proof) -> Proof:
    ends = [proof.expires_at for proof in (one, other) if proof.expires_at is not None]
    return Proof(
        one.user_id,
        one.generation,
        (*one.methods, *other.methods),
        min(ends) if ends else None,
        one.parent_audit_id or other.parent_audit_id,
        one.application_credential_id or other.application_credential_id,
        one.project_id or other.project_id,
    )


async def _by_password(identity: BuiltInIdentity, part: PasswordMethod, remote: str) -> Proof:
    _require_name(part.user)
    attempt = identity.throttle.attempt(_label(part.user), remote)
    user = await _find_user(identity, part.user)
    stored = user.password_hash if user is not None and user.enabled else None
    right = await identity.passwords.matches(part.user.password, stored)
    if not right or user is None:
        log.info("identity.sign_in_refused", user=_label(part.user), remote=remote)
        raise NotAuthentic("wrong user or password")
    attempt.succeeded()
    return Proof(user.id, user.generation, ("password",))


async def _by_token(identity: BuiltInIdentity, part: TokenMethod) -> Proof:
    verified = await identity.verify(part.id)
    token = verified.token
    if token.application_credential_id is not None:
        raise Forbidden("A token of an application credential cannot be made into another token.")
    return Proof(
        token.user_id,
        token.generation,
        (*token.methods, "token"),
        token.expires_at,
        token.parent_audit_id or token.audit_id,
    )


async def _by_application_credential(
    identity: BuiltInIdentity, part: ApplicationCredentialMethod, remote: str
) -> Proof:
    if part.id is None and (part.name is None or part.user is None):
        raise BadRequest("An application credential is named by its id, or by its name and its user.")
    who = part.id or f"{part.name} of {_label(part.user)}"
    attempt = identity.throttle.attempt(f"application credential {who}", remote)
    user: User | None = None
    if part.id is None:
        _require_name(part.user)
        user = await _find_user(identity, part.user)
    found = await credentials.find_application_credential(
        identity.db, key=part.id, user_id=user.id if user else None, name=part.name
    )
    if found is not None:
        user = await users.find_user(identity.db, user_id=found.user_id)
    right = await identity.passwords.matches(part.secret, found.secret_hash if found else None)
    if not right or found is None or user is None:
        log.info("identity.sign_in_refused", application_credential=who, remote=remote)
        raise NotAuthentic("wrong application credential or secret")
    attempt.succeeded()
    return Proof(
        user.id,
        user.generation,
        ("application_credential",),
        application_credential_id=found.id,
        project_id=found.project_id,
    )


async def _find_user(identity: BuiltInIdentity, ref: UserRef | None) -> User | None:
    if ref is None:
        return None
    domain = ref.domain or DomainRef()
    return await users.find_user(
        identity.db, user_id=ref.id, name=ref.name, domain_id=domain.id, domain_name=domain.name
    )


def _require_name(ref: UserRef | None) -> None:
    if ref is None or (ref.id is None and ref.name is None):
        raise BadRequest("Expecting to find id or name in user.")
    if ref.id is None and (ref.domain is None or (ref.domain.id is None and ref.domain.name is None)):
        raise BadRequest("Expecting to find domain in user: a user's name needs the domain that it is in.")


def _label(ref: UserRef | None) -> str:
    if ref is None:
        return ""
    domain = ref.domain or DomainRef()
    return ref.id or f"{ref.name}@{domain.id or domain.name}"


# --- where the token is to count -------------------------------------------------------------------------


async def _standing(identity: BuiltInIdentity, auth: Auth, proof: Proof) -> Standing:
    if proof.project_id is not None:
        if auth.scope is not None:
            raise NotAuthentic("an application credential is for its own project; no scope may be given")
        return await access.stand(
            identity.db,
            Claim(
                proof.user_id,
                project_id=proof.project_id,
                application_credential_id=proof.application_credential_id,
                generation=proof.generation,
            ),
        )
    if auth.scope is not None:
        return await access.stand(identity.db, await _scoped(identity, auth.scope, proof))
    plain = await access.stand(identity.db, Claim(proof.user_id, generation=proof.generation))
    home = plain.user.default_project_id
    if home is None:
        return plain
    try:
        return await access.stand(
            identity.db, Claim(proof.user_id, project_id=home, generation=proof.generation)
        )
    except NotAuthentic:
        return plain  # as in Keystone: a default that does not hold is none


async def _scoped(identity: BuiltInIdentity, scope: Scope | str, proof: Proof) -> Claim:
    who, since = proof.user_id, proof.generation
    if isinstance(scope, str):
        if scope != "unscoped":
            raise BadRequest("Invalid input for field 'scope': it is an object, or the word unscoped.")
        return Claim(who, generation=since)
    if scope.trust is not None:
        raise NotImplementedYet("Cairn has no trusts; use an application credential.")
    given = [name for name in ("project", "domain", "system", "unscoped") if getattr(scope, name) is not None]
    if len(given) != 1:
        raise BadRequest("Invalid input for field 'scope': exactly one of project, domain, system, unscoped.")
    if scope.project is not None:
        return Claim(who, project_id=await _project_id(identity, scope), generation=since)
    if scope.domain is not None:
        return Claim(who, domain_id=await _domain_id(identity, scope.domain), generation=since)
    if scope.system is not None:
        if not scope.system.all:
            raise BadRequest("Invalid input for field 'scope': the system is {\"all\": true}.")
        return Claim(who, system=True, generation=since)
    return Claim(who, generation=since)


async def _project_id(identity: BuiltInIdentity, scope: Scope) -> str:
    ref = scope.project
    if ref is None or (ref.id is None and ref.name is None):
        raise BadRequest("Expecting to find id or name in project.")
    if ref.id is not None:
        return ref.id
    if ref.domain is None or (ref.domain.id is None and ref.domain.name is None):
        raise BadRequest("Expecting to find domain in project: its name needs the domain that it is in.")
    found = await access.find_scope(
        identity.db, name=ref.name or "", domain_id=ref.domain.id, domain_name=ref.domain.name
    )
    if found is None:
        raise NotAuthentic("there is no such project")
    return found


async def _domain_id(identity: BuiltInIdentity, ref: DomainRef) -> str:
    if ref.id is not None:
        return ref.id
    if ref.name is None:
        raise BadRequest("Expecting to find id or name in domain.")
    found = await access.find_domain(identity.db, ref.name)
    if found is None:
        raise NotAuthentic("there is no such domain")
    return found
