"""The libvirt driver: real guests on KVM or QEMU, and libvirt's own in-memory `test:///` for scale.

- `driver.py`: the protocols of `drivers/api.py`, put together from the rest
- `operations.py`: those of `drivers/api_operations.py`, each from a module of its own: `rebuilding.py`,
  `rescuing.py`, `resizing.py`, `snapshots.py`, `moving.py` (while it is off)
- live migration: `incoming.py` where it arrives, and where it leaves `live.py`, `departures.py` and
  `arriving_xml.py`
- `plugging.py`, `device_kinds.py`: devices that come and go; `guest_access.py`: passwords and NMIs
- `spawning.py`: a boot, top to bottom; `workshop.py`: what it and they work with
- `domain_xml.py`, `devices.py`: from a GuestSpec to libvirt's domain XML, pure
- `domains.py`: finding and reading domains; `power.py`: power changes
- `network.py`: NAT networks and their DHCP entries; `anti_spoof.py`: the guests' traffic filter
- `storage.py`, `records.py`: a machine's directory and what is in it
- `console.py`: the console log
- `host.py`, `virt_type.py`, `inventory.py`, `cpu_traits.py`: what the host offers
- `connection.py`, `events.py`, `errors.py`: the road to libvirtd

Debian packages: qemu-system-x86 qemu-utils seabios ipxe-qemu dnsmasq-base iptables nftables bridge-utils
libvirt-daemon-system libvirt-clients libvirt-daemon-driver-qemu (and libvirt-dev pkg-config gcc
python3-dev to build libvirt-python).
"""
