"""The guests' room: libvirt and the guests of `cairn up` and of the tests, off the machine's own network.

A room is a set of namespaces (network, mount, process, UTS) around one libvirtd. Bridges, DHCP and firewall
rules of the guests' networks exist in it alone; from outside it is reached over unix sockets in its data
folder, and `HypervisorRoom.exec_argv` runs a command next to the guests.

Three processes, so that nothing but the machine's own end takes the guests along:
- `__main__` is what a supervisor runs. It makes the room or takes over a living one, and takes it down on
  SIGTERM. Killed, it is started again and finds the room as it was.
- `init` is the first process of the room: it starts libvirtd again when that dies, and reaps.
- libvirtd. Started again, it finds its guests by their monitor sockets.

Folders at the same path inside and outside are shared, so an agent outside can hand out disk images and
sockets by path; only libvirt's own folders and `/run/dbus` are different inside.
"""

from cairn_local.hypervisor.room import HypervisorRoom, RoomError

__all__ = ["HypervisorRoom", "RoomError"]
