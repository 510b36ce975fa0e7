"""What a guest is called by its own system: as asked for, or made from the server's name.

Source: Nova API, `hostname` of POST and PUT /servers (2.90; a full domain name from 2.94), and how Nova makes
one from the display name.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated

from pydantic import StringConstraints

from cairn_gateway.http.call import Call
from cairn_gateway.http.faults import BadRequest
from cairn_gateway.nova import microversions as since

LONGEST = 63
"""Of a name without a domain; no guest's system takes more."""
LABEL = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?")
DOMAIN = r"^[A-Za-z0-9]([-A-Za-z0-9._]*[A-Za-z0-9])?$"
"""Begins and ends with a letter or digit, of which Nova is not so sure."""
Hostname = Annotated[str, StringConstraints(strict=True, max_length=255, pattern=DOMAIN)]


def check(call: Call, hostname: str | None) -> None:
    """Raise BadRequest for a domain name in a version that takes plain names only."""
    if hostname is None or call.version >= since.HOSTNAME_FQDN:
        return
    if len(hostname) > LONGEST or not LABEL.fullmatch(hostname):
        raise BadRequest(
            f"Invalid input for field/attribute hostname. Value: {hostname}. It has at most {LONGEST} "
            "letters, digits and dashes, and begins and ends with a letter or digit."
        )


def from_name(display_name: str, server_id: str, number: int | None = None) -> str:
    """The hostname of a server that was given none; `number` counts servers that were made at once.

    >>> from_name("Web_Server 1.example", "…", 2)
    'web-server-1-example-2'
    """
    plain = unicodedata.normalize("NFKD", display_name).encode("ascii", "ignore").decode().lower()
    made = re.sub(r"[^a-z0-9-]", "", re.sub(r"[ _.]", "-", plain)).strip("-")
    if not made:
        return f"server-{server_id}"
    end = "" if number is None else f"-{number}"
    return made[: LONGEST - len(end)].rstrip("-") + end
