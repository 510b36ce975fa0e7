"""Two libvirt hosts on one machine."""
