"""The built-in identity: tokens that this process, or another gateway, has issued.

A token that has been seen before costs two look-ups: the process' own memory, and the revision in the
database, which says whether anything has changed since that tokens depend on
(`cairn_database.identity.revision`). So a token that is revoked at one gateway is refused by the next
request at any other."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Final

import structlog

from cairn_database import Database
from cairn_database.identity import access, keys
from cairn_database.identity.access import Standing
from cairn_database.identity.errors import NotAuthentic
from cairn_database.identity.records import SYSTEM
from cairn_database.identity.revision import Revision
from cairn_database.rows import now
from cairn_gateway.http.call import Call
from cairn_gateway.http.caller import Caller
from cairn_gateway.http.faults import Unauthorized
from cairn_gateway.identity.catalog import PREFIX, V3
from cairn_gateway.identity.keys import KeyRing, KeyWrap
from cairn_gateway.identity.passwords import PasswordHasher
from cairn_gateway.identity.settings import IdentitySettings
from cairn_gateway.identity.throttle import Throttle
from cairn_gateway.identity.tokens import LONGEST, Token, new_audit_id, pack, unpack

log = structlog.get_logger()
MOST_REMEMBERED: Final = 4096


@dataclass(frozen=True, slots=True)
class Verified:
    """A token that counted at `revision`."""

    revision: int
    token: Token
    caller: Caller
    expires: float
    """Seconds since the epoch."""


class BuiltInIdentity:
    """`services.Identity` over Cairn's own database."""

    def __init__(self, settings: IdentitySettings, db: Database) -> None:
        self.db = db
        self.passwords = PasswordHasher(settings)
        self.throttle = Throttle(settings.failed_sign_ins_per_minute)
        wrap = KeyWrap(settings.key_secret.get_secret_value())
        self._revision = Revision(db)
        self._credential_keys = KeyRing(db, keys.CREDENTIALS, wrap, self._revision)
        self._token_keys = KeyRing(db, keys.TOKENS, wrap, self._revision)
        self._token_life = timedelta(seconds=settings.token_seconds)
        self._verified: OrderedDict[bytes, Verified] = OrderedDict()

    async def authenticate(self, call: Call) -> None:
        """As `services.Identity` says."""
        token = call.headers.get("x-auth-token")
        if not token:
            raise challenge(call)
        try:
            call.caller_or_none = (await self.verify(token)).caller
        except NotAuthentic as error:
            log.info("identity.token_refused", reason=str(error), remote=call.remote)
            raise challenge(call) from error

    async def close(self) -> None:
        """Let go of threads and files."""
        self.passwords.close()
        self._revision.close()

    # --- tokens ------------------------------------------------------------------------------------------

    async def verify(self, text: str) -> Verified:
        """What the token stands for at this moment. Raises NotAuthentic, DatabaseUnavailable."""
        if len(text) > LONGEST or not text.isascii():
            raise NotAuthentic("it is no token of ours")
        key = blake2b(text.encode(), digest_size=16).digest()
        known = self._verified.get(key)
        if known is not None and known.expires <= time.time():
            del self._verified[key]
            raise NotAuthentic("the token has expired")
        at = await self._revision.now()  # before all that it is to vouch for
        if known is not None and known.revision == at:
            self._verified.move_to_end(key)
            return known
        try:
            # Again, for a known one: its key may have been dropped.
            token = await self.read(text)
            standing = await access.stand(self.db, token.claim())
        except NotAuthentic:
            self._verified.pop(key, None)
            raise
        found = Verified(at, token, caller_of(standing, token), token.expires_at.timestamp())
        self._verified[key] = found
        while len(self._verified) > MOST_REMEMBERED:
            self._verified.popitem(last=False)
        return found

    async def read(self, text: str, *, allow_expired: timedelta = timedelta(0)) -> Token:
        """What the token says, whether or not that is still so. Raises NotAuthentic."""
        token = unpack(await self._token_keys.decrypt(text))
        if token.expires_at + allow_expired <= now():
            raise NotAuthentic("the token has expired")
        return token

    async def issue(
        self,
        standing: Standing,
        methods: tuple[str, ...],
        *,
        expires_at: datetime | None = None,
        parent_audit_id: str | None = None,
    ) -> tuple[str, Token]:
        """A token for what stands, and what it says. `expires_at`: no later than that."""
        issued_at = now()
        ends = [issued_at + self._token_life]
        if expires_at is not None:
            ends.append(expires_at)
        credential = standing.application_credential
        if credential is not None and credential.expires_at is not None:
            ends.append(credential.expires_at)
        scope, scope_id = scope_of(standing)
        token = Token(
            user_id=standing.user.id,
            methods=methods,
            generation=standing.user.generation,
            issued_at=issued_at,
            expires_at=min(ends),
            audit_id=new_audit_id(),
            parent_audit_id=parent_audit_id,
            scope=scope,
            scope_id=scope_id,
            application_credential_id=credential.id if credential else None,
        )
        return await self._token_keys.encrypt(pack(token)), token

    async def revoke(self, token: Token) -> None:
        """It counts no longer, anywhere."""
        await access.revoke_token(self.db, token.audit_id, token.expires_at)

    # --- credentials -------------------------------------------------------------------------------------

    async def seal(self, blob: str) -> str:
        """A credential's secret as the database may have it."""
        return await self._credential_keys.encrypt(blob.encode())

    async def unseal(self, sealed: str) -> str:
        """The secret again. Raises RuntimeError where its key is gone from the database."""
        try:
            return (await self._credential_keys.decrypt(sealed)).decode()
        except NotAuthentic as error:
            raise RuntimeError("the key that a credential was encrypted with is lost") from error


def challenge(call: Call) -> Unauthorized:
    """401, with where to sign in."""
    fault = Unauthorized()
    fault.headers["WWW-Authenticate"] = f'Keystone uri="{call.base_url}{PREFIX}{V3}"'
    return fault


def scope_of(standing: Standing) -> tuple[str | None, str | None]:
    """(kind, id) as a token says it."""
    if standing.project is not None:
        return "project", standing.project.id
    if standing.domain is not None:
        return "domain", standing.domain.id
    return ("system", SYSTEM) if standing.system else (None, None)


def caller_of(standing: Standing, token: Token) -> Caller:
    """The owner of a token as every API sees it."""
    return replace(caller_of_standing(standing), expires_at=token.expires_at, token_id=token.audit_id)


def caller_of_standing(standing: Standing) -> Caller:
    """Somebody who has shown by other means than a token who it is."""
    project = standing.project
    return Caller(
        user_id=standing.user.id,
        user_name=standing.user.name,
        user_domain_id=standing.user.domain_id,
        project_id=project.id if project else None,
        project_name=project.display_name if project else None,
        project_domain_id=project.domain_id if project else None,
        roles=frozenset(role.name.lower() for role in standing.roles),
        system_scope=SYSTEM if standing.system else None,
        domain_id=standing.domain.id if standing.domain else None,
        project=project.name if project else None,
        namespace=project.namespace if project else None,
    )
