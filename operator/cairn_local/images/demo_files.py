"""The text files of the demo image: what its one program, busybox, is told to do."""

INITTAB = """\
::sysinit:/etc/rc
::respawn:/sbin/getty -n -l /sbin/console-shell -L 115200 ttyS0 vt100
tty1::respawn:/sbin/getty -n -l /sbin/console-shell 0 tty1 linux
::ctrlaltdel:/sbin/reboot
::shutdown:/etc/rc.shutdown
"""

RC = r"""#!/bin/sh
# Brings the guest up. Lines that begin with "cairn-demo:" are for people and tests that watch the console.
mount -t proc proc /proc
read -r uptime _ < /proc/uptime
say() { echo "cairn-demo: $*"; }
say "userspace up after $uptime s"
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /run /tmp /mnt/config
mount -t devpts devpts /dev/pts
load() { while read -r module; do insmod "/lib/modules/$module.ko" 2>/dev/null; done < "/lib/modules/$1"; }
load early
ip link set lo up
# Looking for disks that are not there takes long under emulation.
[ -b /dev/vda ] || load late

# The unused second sector of the disk counts boots, which shows that the disk outlives the machine.
for disk in /dev/vda /dev/sda; do
    [ -b "$disk" ] || continue
    boots=$(dd if="$disk" bs=512 skip=1 count=1 2>/dev/null | tr -cd 0-9)
    boots=$((${boots:-0} + 1))
    printf '%-512s' "$boots" | dd of="$disk" bs=512 seek=1 conv=notrunc,fsync 2>/dev/null
    say "boot $boots of disk $disk"
    break
done

. /etc/rc.metadata
. /etc/rc.network
acpid
/etc/rc.services
if [ -s /run/user_data ]; then
    read -r first < /run/user_data
    case "$first" in
        "#!"*)
            chmod 700 /run/user_data
            say "running user data"
            (/run/user_data > /dev/console 2>&1; say "user data ended with status $?" > /dev/console) &
            ;;
        *) say "user data is no script: left in /run/user_data" ;;
    esac
fi
say "ready"
"""

RC_METADATA = r"""# The config drive, in OpenStack's layout: host name, keys, user data, root's password.
hostname=cairn-demo
keys=0
password=
read_config_drive() {
    for device in /dev/sr0 /dev/vd[b-z] /dev/sd[a-z]; do
        [ -b "$device" ] || continue
        mount -t iso9660 -o ro "$device" /mnt/config 2>/dev/null || continue
        drive=/mnt/config/openstack/latest
        if [ -f "$drive/meta_data.json" ]; then
            say "config drive $device"
            name=$(sed -n 's/.*"hostname": *"\([A-Za-z0-9.-]*\)".*/\1/p' "$drive/meta_data.json")
            hostname=${name:-$hostname}
            sed 's/"data": *"/\n&/g' "$drive/meta_data.json" |
                sed -n 's/^"data": *"\([^"\\]*\).*/\1/p' > /root/.ssh/authorized_keys
            chmod 600 /root/.ssh/authorized_keys
            keys=$(grep -c . /root/.ssh/authorized_keys)
            [ -f "$drive/user_data" ] && cp "$drive/user_data" /run/user_data
            password=$(sed -n 's|.*password: \([$]6[$][A-Za-z0-9./$=]*\).*|\1|p' "$drive/vendor_data.json")
            umount /mnt/config
            return 0
        fi
        umount /mnt/config
    done
    return 1
}
read_config_drive || { load late; read_config_drive; } || say "no config drive"
hostname "$hostname"
echo "$hostname" > /etc/hostname
echo "127.0.0.1 localhost $hostname" > /etc/hosts
say "hostname $hostname"
say "authorized keys $keys"
[ -n "$password" ] && sed -i "s|^root:[^:]*|root:$password|" /etc/shadow && say "password set"
"""

RC_NETWORK = r"""# Every network card asks for its address, and asks on in the background.
for card in /sys/class/net/eth*; do
    [ -e "$card" ] || continue
    card=${card##*/}
    ip link set "$card" up
    udhcpc -i "$card" -x "hostname:$hostname" -O mtu -s /etc/udhcpc.script -t 10 -T 1 -A 5 -b > /dev/null 2>&1
    ip -4 -o address show dev "$card" | grep -q inet || say "network $card still waits for an address"
done
"""

UDHCPC = r"""#!/bin/sh
# Called by udhcpc: $1 is what happened, the rest comes as variables.
case "$1" in
    deconfig)
        ip address flush dev "$interface"
        ip link set "$interface" up
        ;;
    bound|renew)
        ip address replace "$ip/$mask" broadcast + dev "$interface"
        [ -n "$mtu" ] && ip link set "$interface" mtu "$mtu"
        for gateway in $router; do
            ip route replace default via "$gateway" dev "$interface"
            break
        done
        for server in $dns; do echo "nameserver $server"; done > /etc/resolv.conf
        if [ "$1" = bound ]; then echo "cairn-demo: network $interface $ip" > /dev/console; fi
        ;;
esac
"""

RC_SERVICES = r"""#!/bin/sh
# A shell over SSH for the keys and the password of the config drive, and a page to look at.
grep -q '^root:[$]' /etc/shadow && by_password= || by_password=-s
if [ -s /root/.ssh/authorized_keys ] || [ -z "$by_password" ]; then
    dropbear -R $by_password -E 2>/dev/null && echo "cairn-demo: ssh on port 22"
fi
echo "<h1>$(hostname)</h1><p>is a Cairn demo instance.</p>" > /www/index.html
httpd -h /www && echo "cairn-demo: http on port 80"
"""

RC_SHUTDOWN = r"""#!/bin/sh
echo "cairn-demo: shutting down" > /dev/console
"""

CONSOLE_SHELL = r"""#!/bin/sh
export HOME=/root USER=root ENV=/etc/profile
cd /root
exec /bin/sh -l
"""

PROFILE = r"""export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PS1='\u@\h:\w\$ '
"""

ISSUE = "\nCairn demo image. You are root here; `poweroff` and `reboot` do what they say.\n\n"

ACPID_CONF = "PWRF PWRF/00000080\n"

POWER_BUTTON = """#!/bin/sh
echo "cairn-demo: power button" > /dev/console
exec poweroff
"""

ACCOUNTS = "root:x:0:0:root:/root:/bin/sh\n"
GROUP = "root:x:0:\n"
SHADOW = "root:*:19000:0:99999:7:::\n"

OS_RELEASE = 'NAME="Cairn demo"\nID=cairn-demo\nPRETTY_NAME="Cairn demo image"\n'
