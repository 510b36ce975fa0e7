"""By hand, in `tests/`: a cloud that stays, and the session (or some subjects of it) against it.

python -m clients serve DIRECTORY            # until interrupted; writes clouds.yaml and NAME.openrc there
python -m clients play DIRECTORY [SUBJECT…]  # as in `play /tmp/cloud servers flavors`
"""

from __future__ import annotations

import json
import signal
import sys
import tempfile
from pathlib import Path

from cairn_local.control_plane.binaries import find_binaries
from cairn_local.control_plane.running import running_control_plane
from clients.play import Player
from clients.programs import Clients
from clients.session_world import variables, write_files
from clients.steps import load, subjects
from support.openstack_cloud import running_openstack

DESCRIPTION = "session.json"


def serve(directory: Path) -> int:
    """Run a cloud with its data in `directory` until interrupted."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    binaries = find_binaries(print)
    with (
        running_control_plane(directory / "kubernetes", binaries) as plane,
        running_openstack(plane, directory / "cairn") as cloud,
    ):
        cloud.write_files(directory)
        description = directory / DESCRIPTION
        description.touch(mode=0o600)
        description.write_text(json.dumps({"users": cloud.users, "variables": variables(cloud)}))
        print(f"{cloud.url} answers; OS_CLIENT_CONFIG_FILE={directory}/clouds.yaml OS_CLOUD=ann", flush=True)
        signal.pause()
    return 0


def play(directory: Path, chosen: list[str]) -> int:
    """Play the subjects whose names contain one of `chosen`, or all."""
    world = json.loads((directory / DESCRIPTION).read_text())
    failed = 0
    with tempfile.TemporaryDirectory() as scratch, Clients(Path(scratch)) as clients:
        write_files(Path(scratch))
        player = Player(clients, world["users"], world["variables"])
        for path in subjects():
            if chosen and not any(word in path.stem for word in chosen):
                continue
            report = player.play(load(path))
            failed += len(report.failed)
            print(f"=== {path.stem}: {report}", *report.slowest(3), sep="\n", flush=True)
    return int(failed > 0)


def main(arguments: list[str]) -> int:
    """See the module."""
    match arguments:
        case ["serve", directory]:
            return serve(Path(directory))
        case ["play", directory, *chosen]:
            return play(Path(directory), chosen)
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
