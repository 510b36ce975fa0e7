"""Shut a room's guests down through libvirt before the room goes."""

from __future__ import annotations

import threading
import time
from typing import Any

POLL_SECONDS = 0.1


def shut_down(uri: str, seconds: float) -> list[str]:
    """Ask every running guest to shut down, wait up to `seconds`, then pull the plug of the rest.

    Returns the names of those whose plug had to be pulled. A libvirtd that does not answer is given up
    a few seconds after the limit: the guests then end with the room.
    """
    stopped: list[str] = []
    worker = threading.Thread(target=_shut_down, args=(uri, seconds, stopped), daemon=True)
    worker.start()
    worker.join(seconds + 5.0)
    return stopped


def _shut_down(uri: str, seconds: float, stopped: list[str]) -> None:
    import libvirt

    libvirt.registerErrorHandler(lambda *_: None, None)
    try:
        connection = libvirt.open(uri)
    except libvirt.libvirtError:
        return
    try:
        for domain in connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_RUNNING):
            _ignoring_ended(domain.shutdown)
        deadline = time.monotonic() + seconds
        while connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_RUNNING):
            if time.monotonic() > deadline:
                break
            time.sleep(POLL_SECONDS)
        for domain in connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
            stopped.append(domain.name())
            _ignoring_ended(domain.destroy)
    finally:
        connection.close()


def _ignoring_ended(action: Any) -> None:
    """A guest may end between being listed and being asked to; what then still runs ends with the room."""
    import libvirt

    try:
        action()
    except libvirt.libvirtError as error:
        if error.get_error_code() not in (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID):
            raise
