"""KVM or emulation: KVM only where it is proven to run guests."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from cairn_agent.drivers.api import Unsupported
from cairn_agent.drivers.settings import VirtType

X86 = frozenset({"x86_64", "i686"})
X86_MODULES = ("kvm_intel", "kvm_amd")


def choose_virt_type(wanted: VirtType, offered: Collection[str], *, kvm_works: bool) -> str:
    """libvirt's domain type: what was asked for, or the best that works.

    `offered` is what libvirt says it has; it lists kvm as soon as /dev/kvm is there, which proves nothing.
    Raises Unsupported when what was asked for is not offered.
    """
    if wanted is not VirtType.AUTO:
        if wanted.value not in offered:
            have = ", ".join(sorted(offered)) or "nothing"
            raise Unsupported(f"virt_type {wanted} was asked for, but libvirt offers {have}")
        return wanted.value
    if "kvm" in offered and kvm_works:
        return "kvm"
    if "qemu" in offered:
        return "qemu"
    others = sorted(set(offered) - {"kvm"})
    if not others:
        raise Unsupported("libvirt offers no way to run guests; install QEMU")
    return others[0]


def kvm_works(architecture: str, sys_module: Path = Path("/sys/module"), device: str = "/dev/kvm") -> bool:
    """Whether KVM runs ordinary guests here.

    On x86, /dev/kvm may be there without hardware virtualisation behind it (a para-virtual KVM inside a
    virtual machine, where stock kernels die): only the modules for real hardware count.
    """
    if not os.access(device, os.R_OK | os.W_OK):
        return False
    return architecture not in X86 or any((sys_module / module).is_dir() for module in X86_MODULES)
