"""libvirt's errors as the few that the agent knows."""

from __future__ import annotations

import errno

import libvirt

from cairn_agent.drivers.api import DriverError, MachineNotFound, NetworkFailed, NoSpace, Unsupported

FULL = (
    "no space left on device",
    "cannot allocate memory",
    "cannot set up guest memory",
    "disk quota exceeded",
)

_BY_CODE: dict[int, type[DriverError]] = {
    libvirt.VIR_ERR_NO_DOMAIN: MachineNotFound,
    libvirt.VIR_ERR_NO_MEMORY: NoSpace,
    libvirt.VIR_ERR_NO_NETWORK: NetworkFailed,
    libvirt.VIR_ERR_NO_SUPPORT: Unsupported,
    libvirt.VIR_ERR_CONFIG_UNSUPPORTED: Unsupported,
    libvirt.VIR_ERR_XML_ERROR: Unsupported,
    libvirt.VIR_ERR_XML_DETAIL: Unsupported,
    libvirt.VIR_ERR_XML_INVALID_SCHEMA: Unsupported,
}


class Unreachable(DriverError):
    """libvirtd does not answer; the connection is being made again."""

    reason = "HypervisorUnreachable"


def translate(error: libvirt.libvirtError) -> DriverError:
    """The DriverError that says the same."""
    message = error.get_error_message() or str(error)
    if any(text in message.lower() for text in FULL):
        return NoSpace(message)
    return _BY_CODE.get(error.get_error_code(), DriverError)(message)


def is_code(error: libvirt.libvirtError, *codes: int) -> bool:
    """Whether the error has one of libvirt's error codes."""
    return error.get_error_code() in codes


def file_error(error: OSError) -> DriverError:
    """The DriverError for what went wrong with a file."""
    full = error.errno in {errno.ENOSPC, errno.EDQUOT}
    return (NoSpace if full else DriverError)(str(error))
