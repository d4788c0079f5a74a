#!/usr/bin/env bash
# The kernel tests in virtual machines with Debian's kernels: run.sh [SERIES...], or run.sh --shell SERIES.
# No KVM is needed: the processor is emulated. See README.md beside this file.
set -uo pipefail

HERE=$(cd "$(dirname "$0")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
CACHE="$ROOT/.cache/vm"
TESTS="$ROOT/artifacts/vm/tests"
AGENT="$ROOT/artifacts/aot"

# Seconds until a machine that does not end by itself is a failure.
LIMIT=${VM_LIMIT:-1200}
# How many times slower than this machine the tests expect to be.
SLOW=${SG_TEST_SLOW:-6}

MACHINES=()

. "$HERE/kernels.sh"
. "$HERE/image.sh"

install_tools() {
    local missing=() package
    while read -r program package; do
        [ -e "$program" ] || command -v "$program" >/dev/null || missing+=("$package")
    done <<'TOOLS'
qemu-system-x86_64 qemu-system-x86
busybox busybox-static
cpio cpio
mke2fs e2fsprogs
xz xz-utils
nft nftables
ip iproute2
/etc/protocols netbase
TOOLS
    [ "${#missing[@]}" -eq 0 ] && return
    apt-get update -q && apt-get install -y -q --no-install-recommends "${missing[@]}"
}

# Arguments of the runner: VM_TESTS; or "all"; or the classes of the file "matrix"; never what "except" names.
test_arguments() {
    printf -- '-noColor -noLogo -reporter verbose'
    awk '!/^ *(#|$)/ { printf " -method- %s", "'\''" $1 "'\''" }' "$HERE/except"
    case ${VM_TESTS:-} in
    '') awk '!/^ *(#|$)/ { printf " -class %s", $1 }' "$HERE/matrix" ;;
    all) ;;
    *) printf ' %s' "$VM_TESTS" ;;
    esac
    echo
}

# start SERIES IMAGE CONFIG: qemu with the machine's console on ours. Its processors take turns: in threads of their own
# one may run code that the other has just patched ("Oops: int3"), and with two machines no core of ours would idle.
start() {
    local home="$CACHE/kernels/$1"
    exec timeout --foreground "$LIMIT" qemu-system-x86_64 \
        -accel tcg,thread=single -cpu max,la57=off -smp 2 -m 2048 -nodefaults -no-user-config -nographic -no-reboot \
        -serial mon:stdio -kernel "$home/vmlinuz" -initrd "$home/initramfs" \
        -drive "file=$2,if=virtio,format=raw,readonly=on" \
        -append "console=ttyS0 loglevel=4 panic=-1 oops=panic nowatchdog rcupdate.rcu_cpu_stall_suppress=1 \
no_timer_check mitigations=off edd=off tsc=reliable random.trust_cpu=on $3"
}

# Signs of a kernel in trouble, whatever the tests say.
TROUBLE='Kernel panic|Oops:|BUG:|kernel BUG at|WARNING: CPU|possible recursive locking'
TROUBLE+='|circular locking|inconsistent lock'

# judge LOG: why this run is no success, or nothing.
judge() {
    local log=$1
    if grep -qE "$TROUBLE" "$log"; then
        echo "the kernel complained: $(grep -m1 -E "$TROUBLE" "$log")"
    elif ! grep -q 'Total: [0-9]*, Errors: ' "$log"; then
        echo 'no summary of the tests: the machine ended early, or in '"$LIMIT"' s not at all'
    elif ! grep -q '^vm: tests ended with 0' "$log"; then
        echo 'tests failed'
    fi
}

# show SERIES LOG: all lines of the console to the log; failures, the summary and now and then the progress to us.
show() {
    local line done=0 up=''
    : >"$2"
    while IFS= read -r line; do
        line=${line//$'\r'/}
        printf '%s\n' "$line" >>"$2"
        case $line in
        *'vm: Linux'*)
            up=1
            printf 'vm %s | %s\n' "$1" "vm: ${line##*vm: }"
            ;;
        *'[FINISHED]'*)
            done=$((done + 1))
            [ $((done % 25)) -ne 0 ] || echo "vm $1 | $done tests done"
            ;;
        *'[STARTING]'* | '') ;;
        *) [ -z "$up" ] || printf 'vm %s | %s\n' "$1" "$line" ;;
        esac
    done
}

# All machines side by side: half of the time they wait for packets that must not come.
run() {
    local series log why status=0 consoles=()
    trap 'kill "${MACHINES[@]}" 2>/dev/null' EXIT
    trap 'exit 1' INT TERM
    for series in "$@"; do
        exec {console}< <(start "$series" "$IMAGE" '' </dev/null 2>&1)
        MACHINES+=($!)
        show "$series" "$ROOT/artifacts/vm/$series.log" <&"$console" &
        consoles+=($!)
    done
    wait "${consoles[@]}"

    for series in "$@"; do
        log="$ROOT/artifacts/vm/$series.log"
        why=$(judge "$log")
        if [ -n "$why" ]; then
            echo "vm $series: $why (console: ${log#"$ROOT/"})" >&2
            status=1
        fi
    done
    return "$status"
}

main() {
    local shell='' series
    if [ "${1:-}" = --shell ]; then
        shell=1
        shift
    fi
    [ "$#" -gt 0 ] || set -- 6.1 6.12
    mkdir -p "$CACHE/kernels" "$ROOT/artifacts/vm"
    install_tools || return 1
    for series in "$@"; do
        fetch_kernel "$series" || return 1
        make_initramfs "$CACHE/kernels/$series/initramfs" "$CACHE/kernels/$series" || return 1
    done

    IMAGE="$ROOT/artifacts/vm/root.ext4"
    printf 'SG_TEST_SLOW=%s\nVM_TEST_ARGUMENTS="%s"\n' "$SLOW" "$(test_arguments)" >"$CACHE/vm.conf"
    make_root "$IMAGE" "$TESTS" "$AGENT" "${@/#/$CACHE/kernels/}" || return 1
    if [ -n "$shell" ]; then
        LIMIT=0
        start "$1" "$IMAGE" vm.shell
    fi

    run "$@"
}

main "$@"
