"""The text files of the Debian image: what makes a Debian installation a cloud image."""

BOOT_MENU = "DEFAULT debian\nLABEL debian\n LINUX /vmlinuz\n INITRD /initrd\n APPEND {command_line}\n"

_CLOUD = """\
datasource_list: [ConfigDrive, OpenStack, None]
# The package lists of the machine that built this image are as good as any: leave them.
apt:
  preserve_sources_list: true
locale: false
# An RSA key takes half a minute under emulation, and every client of today takes these.
ssh_genkeytypes: [ed25519, ecdsa]
"""

_FSTAB = """\
PARTUUID=6e726163-02 / ext4 errors=remount-ro 0 1
PARTUUID=6e726163-01 /boot/syslinux vfat umask=0077,nofail 0 2
"""

# The BIOS's boot loader reads kernel and initramfs from the FAT partition.
_COPY_KERNEL = """\
#!/bin/sh
set -e
mountpoint -q /boot/syslinux || exit 0
cp -L /vmlinuz /boot/syslinux/vmlinuz
cp -L /initrd.img /boot/syslinux/initrd
"""

_NETWORK = """\
auto lo
iface lo inet loopback
source /etc/network/interfaces.d/*
"""

FILES: dict[str, tuple[str, int]] = {
    "etc/cloud/cloud.cfg.d/90_cairn.cfg": (_CLOUD, 0o644),
    "etc/fstab": (_FSTAB, 0o644),
    "etc/kernel/postinst.d/zz-cairn-boot": (_COPY_KERNEL, 0o755),
    "etc/initramfs/post-update.d/cairn-boot": (_COPY_KERNEL, 0o755),
    "etc/network/interfaces": (_NETWORK, 0o644),
}
"""Path, content and mode; they are there before the packages are installed."""

CUSTOMIZE = r"""#!/bin/sh
# Run by mmdebstrap when everything is installed; $1 is the root directory.
set -e
mkdir -p "$1/boot/syslinux"
for unit in apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service; do
    ln -sf /dev/null "$1/etc/systemd/system/$unit"
done
# Each guest gets an identity of its own.
: > "$1/etc/machine-id"
rm -f "$1"/var/lib/dbus/machine-id "$1"/etc/ssh/ssh_host_* "$1"/etc/hostname
rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*.bin "$1"/var/log/*.log "$1"/var/log/apt
chroot "$1" passwd --lock root
"""
