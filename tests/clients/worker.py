"""Runs OpenStack clients in one interpreter, because importing them takes longer than what they do.

A program of the `clients` environment (it imports nothing of Cairn). It reads one JSON object per line:

    {"program": "openstack", "argv": ["server", "list"], "env": {"OS_AUTH_URL": …}}
    {"program": "sdk", "call": "compute.find_server", "args": ["web"], "kwargs": {}, "env": {…}}

and answers each with one: `{"status": 0, "stdout": …, "stderr": …, "seconds": …}`. `sdk` and `novaclient`
(the libraries) print what a call returned as JSON; an exception becomes status 1 with its class and text.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import pty
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from typing import Any

PREFIX = "OS_"


def openstack(request: dict[str, Any]) -> int:
    """`openstack`, as its console script runs it."""
    from openstackclient.common import clientmanager
    from openstackclient.shell import OpenStackShell
    from osc_lib.clientmanager import ClientCache

    # The clients of the user before are kept on the class, where a new process would find none.
    for owner in clientmanager.ClientManager.__mro__:
        for kept in vars(owner).values():
            if isinstance(kept, ClientCache):
                kept._handle = None
    status: int = OpenStackShell().run(request["argv"])
    return status


def nova(request: dict[str, Any]) -> int:
    """`nova`, as its console script runs it."""
    from novaclient import shell

    shell.main(request["argv"])
    return 0


def sdk(request: dict[str, Any]) -> int:
    """A call of openstacksdk's Connection: `compute.servers`, `create_server` …"""
    import openstack as openstacksdk

    version = request.get("version")
    options = {"compute_default_microversion": version} if version else {}
    with openstacksdk.connect(cloud="envvars", **options) as connection:
        return _print(_call(connection, request))


def novaclient(request: dict[str, Any]) -> int:
    """A call of python-novaclient's Client: `servers.list`, `keypairs.create` …"""
    from keystoneauth1 import loading, session
    from novaclient import client

    names = {"OS_AUTH_URL", "OS_USERNAME", "OS_PASSWORD", "OS_PROJECT_NAME"}
    values = {key[len(PREFIX) :].lower(): os.environ[key] for key in names}
    domains = {"user_domain_name": "Default", "project_domain_name": "Default"}
    auth = loading.get_plugin_loader("password").load_from_options(**values, **domains)
    nova = client.Client(request.get("version") or "2.1", session=session.Session(auth=auth))
    return _print(_call(nova, request))


PROGRAMS: dict[str, Callable[[dict[str, Any]], int]] = {
    "openstack": openstack,
    "nova": nova,
    "sdk": sdk,
    "novaclient": novaclient,
}


def _call(start: Any, request: dict[str, Any]) -> Any:
    """Follow the dots of `call` and call what is there; an attribute that is no function is the answer."""
    target = start
    for name in request["call"].split("."):
        target = getattr(target, name)
    return target(*request.get("args", []), **request.get("kwargs", {})) if callable(target) else target


def _print(value: Any) -> int:
    print(json.dumps(_plain(value), default=str))
    return 0


def _plain(value: Any) -> Any:
    """Resources of both libraries, and lists of them, as JSON's own types."""
    if hasattr(value, "to_dict"):
        return _plain(value.to_dict())
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value


def run(request: dict[str, Any]) -> dict[str, Any]:
    """One request in an environment of its own, with what it printed."""
    for key in [key for key in os.environ if key.startswith(PREFIX)]:
        del os.environ[key]
    os.environ.update(request.get("env", {}))
    # Each start of the shell adds handlers, which hold the streams of that start.
    logging.getLogger().handlers.clear()
    out, err = io.StringIO(), io.StringIO()
    began = time.monotonic()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = PROGRAMS[request["program"]](request)
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
        except Exception as error:  # noqa: BLE001 - whatever a client raises is what the step has to tell
            status = 1
            if request.get("trace"):
                traceback.print_exc()
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
    seconds = round(time.monotonic() - began, 3)
    return {"status": status, "stdout": out.getvalue(), "stderr": err.getvalue(), "seconds": seconds}


def main() -> None:
    """Answer until standard input ends."""
    requests = os.fdopen(os.dup(0))
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a client writes past sys.stdout must not look like an answer
    # Standard input is a terminal that nobody types at: `image create` would upload anything else.
    _keyboard, terminal = pty.openpty()
    os.dup2(terminal, 0)
    sys.stdin = os.fdopen(0)
    for line in requests:
        answers.write(json.dumps(run(json.loads(line))) + "\n")


if __name__ == "__main__":
    main()
