"""What asking an agent's endpoint can end with.

AgentError
├── AgentUnreachable   nobody answers there, or somebody with another certificate
├── TokenRefused       the token is not, or no longer, good
├── MachineNotFound    no such machine, operation or disk on that host
├── WrongPowerState    not in the machine's power state
├── CannotDo           the hypervisor cannot
├── AgentFailed        anything else that the agent or its hypervisor says
└── DiskIncomplete     a disk came to another size than was told
"""

from __future__ import annotations

from typing import ClassVar


class AgentError(Exception):
    """An agent did not do what it was asked. `reason` is one word for programs, the message is for people."""

    reason: ClassVar[str] = "AgentFailed"


class AgentUnreachable(AgentError):
    """Nobody answers there, or somebody who has another certificate."""

    reason = "AgentUnreachable"


class TokenRefused(AgentError):
    """The token is not good, or no longer: the agent has been started anew."""

    reason = "TokenRefused"


class MachineNotFound(AgentError):
    """There is no such machine, operation or disk on that host."""

    reason = "MachineNotFound"


class WrongPowerState(AgentError):
    """What was asked does not go in the machine's power state."""

    reason = "WrongPowerState"


class CannotDo(AgentError):
    """The host's hypervisor cannot do that."""

    reason = "Unsupported"


class AgentFailed(AgentError):
    """The agent or its hypervisor failed; trying again may help."""


class DiskIncomplete(AgentError):
    """A disk came to another size than the agent had told."""

    reason = "DiskIncomplete"
