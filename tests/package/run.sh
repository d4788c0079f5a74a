#!/usr/bin/env bash
# The Debian package in a virtual machine with a real systemd as process 1: run.sh OLD.deb NEW.deb, both of the same
# programs but for the version. No KVM is needed. See README.md beside this file.
set -uo pipefail

SELF=$(cd "$(dirname "$0")" && pwd)
ROOT=$(cd "$SELF/../.." && pwd)
HERE="$ROOT/tests/vm"
KERNELS="$ROOT/.cache/vm"

# Seconds until a machine that does not end by itself is a failure.
LIMIT=${VM_LIMIT:-900}
SERIES=${KERNEL:-6.12}

. "$HERE/image.sh"
. "$HERE/kernels.sh"
. "$SELF/root.sh"

install_tools() {
    local missing=() program package
    while read -r program package; do
        command -v "$program" >/dev/null || missing+=("$package")
    done <<'TOOLS'
qemu-system-x86_64 qemu-system-x86
mmdebstrap mmdebstrap
busybox busybox-static
cpio cpio
mke2fs e2fsprogs
xz xz-utils
gcc gcc
TOOLS
    [ "${#missing[@]}" -eq 0 ] && return
    apt-get update -q && apt-get install -y -q --no-install-recommends "${missing[@]}"
}

# One processor: with several threads an emulated one may run code that the kernel has just patched ("Oops: int3").
# The disks are as they were when it ends: what is written goes to a file that nobody sees. A reboot keeps it.
start() {
    local home="$KERNELS/kernels/$SERIES"
    exec timeout --foreground "$LIMIT" qemu-system-x86_64 \
        -accel tcg,thread=single -cpu max,la57=off,svm=off -smp 1 -m 2048 -nodefaults -no-user-config -nographic \
        -serial mon:stdio -kernel "$home/vmlinuz" -initrd "$home/initramfs" \
        -drive "file=$1,if=virtio,format=raw,snapshot=on,cache=unsafe" \
        -drive "file=$2,if=virtio,format=raw,readonly=on" \
        -append "console=ttyS0 loglevel=4 panic=-1 oops=panic nowatchdog rcupdate.rcu_cpu_stall_suppress=1 \
no_timer_check mitigations=off edd=off tsc=reliable random.trust_cpu=on vm.systemd systemd.show_status=0"
}

# All lines of the console to the log; those of the scenario to us.
show() {
    local line
    : >"$1"
    while IFS= read -r line; do
        line=${line//$'\r'/}
        printf '%s\n' "$line" >>"$1"
        case $line in
        'package: '* | '  package '*) printf '%s\n' "$line" ;;
        esac
    done
}

TROUBLE='Kernel panic|Oops:|BUG:|kernel BUG at|WARNING: CPU|possible recursive locking'

main() {
    local log="$ROOT/artifacts/vm/package-$SERIES.log" machine disk console
    CACHE="$KERNELS"
    mkdir -p "$CACHE/kernels" "$ROOT/artifacts/vm"
    install_tools || return 1
    fetch_kernel "$SERIES" || return 1
    make_initramfs "$CACHE/kernels/$SERIES/initramfs" "$CACHE/kernels/$SERIES" || return 1

    CACHE="$ROOT/.cache/package"
    mkdir -p "$CACHE"
    machine="$CACHE/machine-$SERIES.ext4"
    disk="$ROOT/artifacts/vm/package-$SERIES.ext4"
    fetch_root || return 1
    make_machine "$machine" "$KERNELS/kernels/$SERIES" || return 1
    make_test_disk "$disk" "$1" "$2" || return 1

    exec {console}< <(start "$machine" "$disk" </dev/null 2>&1)
    trap 'kill '"$!"' 2>/dev/null' EXIT
    trap 'exit 1' INT TERM
    show "$log" <&"$console"
    rm -f "$machine" "$disk"

    if grep -qE "$TROUBLE" "$log"; then
        echo "package: the kernel complained: $(grep -m1 -E "$TROUBLE" "$log")" >&2
        return 1
    elif ! grep -q '^package: ended with 0' "$log"; then
        echo "package: failed, or in $LIMIT s not ended (console: ${log#"$ROOT/"})" >&2
        return 1
    fi
}

main "$@"
