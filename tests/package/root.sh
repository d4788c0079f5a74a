# Sourced by run.sh: a minimal Debian 12 with systemd as process 1, from Debian's mirror, and the disks of the machine.

DEBIAN=bookworm
MIRROR=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
# The product's own dependencies, and what the scenario calls.
INSIDE=systemd,systemd-sysv,udev,kmod,libssl3,nftables,iproute2,procps,netbase,init-system-helpers

# Leaves the root file system in $CACHE/root.tar, once: `rm .cache/package/root.tar` makes it anew.
fetch_root() {
    [ -s "$CACHE/root.tar" ] && return
    echo "making a Debian $DEBIAN" >&2
    mmdebstrap --quiet --format=tar --variant=minbase --include="$INSIDE" \
        --customize-hook='rm -rf "$1"/var/cache/apt/archives/*.deb "$1"/var/lib/apt/lists/*' \
        "$DEBIAN" "$CACHE/root.tar.new" "$MIRROR" >"$CACHE/mmdebstrap.log" 2>&1 \
        || { cat "$CACHE/mmdebstrap.log" >&2; return 1; }
    mv "$CACHE/root.tar.new" "$CACHE/root.tar"
}

# make_machine IMAGE KERNEL_HOME: the root, with the kernel's modules and the units of the test.
make_machine() {
    local image=$1 home=$2 tree="$CACHE/tree.$$" release unit
    release=$(cat "$home/release")
    rm -rf "$tree"
    mkdir -p "$tree"
    tar -xf "$CACHE/root.tar" -C "$tree"
    mkdir -p "$tree/mnt/test" "$tree/usr/lib/modules"
    cp -r "$home/lib/modules/." "$tree/usr/lib/modules/"
    chroot "$tree" depmod "$release"
    printf '/dev/vda / ext4 rw 0 0\n/dev/vdb /mnt/test ext4 ro 0 0\n' >"$tree/etc/fstab"
    echo sg-test >"$tree/etc/hostname"
    echo 'net.ipv4.ip_forward=1
net.ipv6.conf.all.forwarding=1
net.ipv4.conf.all.rp_filter=0
net.core.netdev_max_backlog=20000' >"$tree/etc/sysctl.d/router.conf"
    for unit in "$SELF"/units/*; do
        install -m 644 "$unit" "$tree/etc/systemd/system/"
        mkdir -p "$tree/etc/systemd/system/multi-user.target.wants"
        ln -s "../$(basename "$unit")" "$tree/etc/systemd/system/multi-user.target.wants/"
    done
    # Nothing of this is looked at, and each costs seconds on an emulated processor.
    for unit in getty.target serial-getty@ttyS0.service systemd-timesyncd.service apt-daily.timer \
        apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \
        systemd-update-utmp.service systemd-update-utmp-runlevel.service systemd-logind.service; do
        ln -sf /dev/null "$tree/etc/systemd/system/$unit"
    done
    echo force-unsafe-io >"$tree/etc/dpkg/dpkg.cfg.d/test"
    # The whole journal is kept, for the scenario reads it after the reboot.
    mkdir -p "$tree/var/log/journal" "$tree/etc/systemd/journald.conf.d"
    printf '[Journal]\nStorage=persistent\nRateLimitIntervalSec=0\n' >"$tree/etc/systemd/journald.conf.d/test.conf"
    rm -f "$image"
    mke2fs -q -t ext4 -m 0 -E root_owner=0:0 -d "$tree" "$image" "$(($(du -sm "$tree" | cut -f1) + 400))M"
    rm -rf "$tree"
}

# make_test_disk IMAGE OLD NEW: packages, scenario and traffic, read-only in the machine.
make_test_disk() {
    local image=$1 tree="$CACHE/disk.$$"
    rm -rf "$tree"
    mkdir -p "$tree"
    install -m 644 "$2" "$tree/old.deb"
    install -m 644 "$3" "$tree/new.deb"
    install -m 755 "$SELF/scenario" "$SELF/guests" "$tree/"
    cp "$SELF/checks.sh" "$SELF/policy.yaml" "$tree/"
    gcc -O2 -Wall -static -o "$tree/traffic" "$SELF/traffic.c"
    rm -f "$image"
    mke2fs -q -t ext4 -O ^has_journal -m 0 -E root_owner=0:0 -d "$tree" "$image" \
        "$(($(du -sm "$tree" | cut -f1) + 16))M"
    rm -rf "$tree"
}
