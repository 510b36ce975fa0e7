"""What a supervisor runs for a room: `python -m cairn_local.hypervisor --data-dir FOLDER --name NAME`.

Makes the room or takes over a living one, waits, and takes it down on SIGTERM. Ends with status 1 when the
room ended by itself, so that the supervisor starts it again.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from types import FrameType

import click

from cairn_local.hypervisor.room import HypervisorRoom, RoomError


class _Stop(BaseException):
    """SIGTERM came."""


def _stop(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise _Stop


@click.command()
@click.option("--data-dir", type=click.Path(path_type=Path), required=True)
@click.option("--name", required=True, help="Name of the room's network namespace and host.")
@click.option("--shutdown-seconds", type=float, default=30.0, show_default=True)
def main(data_dir: Path, name: str, shutdown_seconds: float) -> None:
    """Keep a hypervisor room until SIGTERM."""
    room = HypervisorRoom(data_dir, name, shutdown_seconds=shutdown_seconds)
    try:
        signal.signal(signal.SIGTERM, _stop)
        signal.signal(signal.SIGINT, _stop)
        made = room.start()
        click.echo(f"room {name} {'made' if made else 'taken over'}: {room.uri}")
        room.wait()
    except _Stop:
        click.echo(f"room {name}: shutting the guests down")
        room.stop()
        click.echo(f"room {name}: gone")
        return
    except RoomError as error:
        sys.exit(str(error))
    sys.exit(f"room {name} ended by itself; its log is {room.files.log}")


if __name__ == "__main__":
    main()
