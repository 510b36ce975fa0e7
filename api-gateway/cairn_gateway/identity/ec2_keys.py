"""EC2 keys: an access key, and the secret that signs requests of a user in a project."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final

import orjson

from cairn_database.identity import access, credentials
from cairn_database.identity.access import Claim
from cairn_database.identity.errors import IdentityNotFound, NotAuthentic
from cairn_gateway.http.call import Call
from cairn_gateway.http.caller import Caller
from cairn_gateway.http.faults import BadRequest, Forbidden
from cairn_gateway.identity.builtin import BuiltInIdentity, caller_of_standing

TYPE: Final = "ec2"


@dataclass(frozen=True)
class Ec2Key:
    """What a credential of type `ec2` keeps."""

    access: str
    secret: str = field(repr=False)


def id_of(access_key: str) -> str:
    """The credential's id: the access key is found by it (as in Keystone)."""
    return hashlib.sha256(access_key.encode()).hexdigest()


def read(blob: str) -> Ec2Key:
    """The key in a credential's blob. Raises BadRequest."""
    try:
        found = orjson.loads(blob)
        access_key, secret = found["access"], found["secret"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        access_key = secret = None
    if not isinstance(access_key, str) or not isinstance(secret, str) or not access_key or not secret:
        raise BadRequest("Invalid blob in credential: an EC2 credential is JSON with access and secret.")
    return Ec2Key(access_key, secret)


def write(key: Ec2Key) -> str:
    """A credential's blob."""
    return orjson.dumps({"access": key.access, "secret": key.secret, "trust_id": None}).decode()


async def require_role(call: Call, user_id: str, project_id: str | None) -> None:
    """Raises Forbidden unless the user has a role in the project."""
    if project_id is None:
        raise BadRequest("Invalid input for field 'project_id': an EC2 credential needs a project.")
    try:
        await access.stand(call.services.db, Claim(user_id, project_id=project_id))
    except NotAuthentic as error:
        raise Forbidden("The user has no role in that project.") from error


async def find(identity: BuiltInIdentity, access_key: str) -> tuple[Ec2Key, Caller] | None:
    """The key, and on whose behalf it signs; None for one that is unknown, or whose user, project or roles
    are gone. The caller counts once the signature has been checked. For the EC2 API."""
    try:
        record = await credentials.get_credential(identity.db, id_of(access_key))
        if record.type != TYPE or record.project_id is None:
            return None
        blob = await identity.unseal(record.blob)
        standing = await access.stand(identity.db, Claim(record.user_id, project_id=record.project_id))
    except (IdentityNotFound, NotAuthentic):
        return None
    return read(blob), caller_of_standing(standing)
