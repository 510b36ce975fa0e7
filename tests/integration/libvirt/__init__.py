"""The libvirt driver with real QEMU."""
