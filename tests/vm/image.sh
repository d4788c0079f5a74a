# Sourced by run.sh: the machine's disk, made of this machine's own programs and what the tree has built.

# A tree with the given files and every library they name, at the paths they have here.
copy_with_libraries() {
    local tree=$1 file
    shift
    for file in "$@"; do
        echo "$file"
        ldd "$file" 2>/dev/null | grep -o '/[^ ]*'
    done | sort -u | while read -r file; do
        mkdir -p "$tree$(dirname "$file")"
        cp -L --remove-destination "$file" "$tree$file"
    done
}

# make_root IMAGE TESTS AGENT KERNEL_HOME...: an ext4 image without spare room, mounted read-only by the machines.
make_root() {
    local image=$1 tests=$2 agent=$3 tree="$CACHE/root" applet home link found
    shift 3
    rm -rf "$tree"
    mkdir -p "$tree"/{boot,dev,etc,opt/agent,opt/tests,proc,run,sys,tmp,var} "$tree"/usr/{bin,lib/modules,lib64,sbin}
    for link in bin lib lib64 sbin; do
        ln -s "usr/$link" "$tree/$link"
    done

    # busybox prefers its own applets to programs of the same name: what the tests call, and their shell, are the real
    # ones.
    cp "$(command -v busybox)" "$tree/bin/busybox"
    for applet in $(busybox --list | grep -vxE 'busybox|sh|ip|setsid|unshare'); do
        ln -s /bin/busybox "$tree/bin/$applet"
    done
    ln -s /bin/busybox "$tree/sbin/modprobe"

    cp -r "$tests/." "$tree/opt/tests/"
    cp "$agent"/sg-agentd "$agent"/sgctl "$tree/opt/agent/"
    find "$tree/opt" \( -name '*.xml' -o -name '*.dbg' \) -delete

    # The runtime loads OpenSSL by name (random numbers), ldd does not see it.
    mapfile -t found < <(
        command -v dash bash nft ip setsid unshare ping
        find "$tree/opt" -name '*.so'
        echo "$tree/opt/agent/sg-agentd"
        ldconfig -p | awk '/x86-64.*=> .*(libssl|libcrypto|libgcc_s|libstdc..|libnss_files)\.so/ { print $NF }')
    copy_with_libraries "$tree" "${found[@]}"
    rm -rf "${tree:?}${tree}"
    ln -s dash "$tree/bin/sh"

    for home in "$@"; do
        cp -r "$home/lib/modules/." "$tree/lib/modules/"
        cp "$home/config" "$tree/boot/config-$(cat "$home/release")"
    done
    install -m 755 "$HERE/init" "$tree/init"
    cp "$CACHE/vm.conf" "$tree/etc/vm.conf"
    # Names of protocols and ports, as nft prints them.
    cp /etc/protocols /etc/services "$tree/etc/"
    printf 'root:x:0:0:root:/tmp:/bin/sh\n' >"$tree/etc/passwd"
    printf 'root:x:0:\n' >"$tree/etc/group"
    printf '127.0.0.1 localhost\n::1 localhost\n' >"$tree/etc/hosts"

    rm -f "$image"
    mke2fs -q -t ext4 -O ^has_journal -m 0 -E root_owner=0:0 -d "$tree" "$image" \
        "$(( $(du -sm "$tree" | cut -f1) + 64 ))M"
    rm -rf "$tree"
}

# make_initramfs FILE KERNEL_HOME: busybox, and the modules that find the disk.
make_initramfs() {
    local file=$1 home=$2 tree="$CACHE/initramfs.$$" release module path
    release=$(cat "$home/release")
    rm -rf "$tree"
    mkdir -p "$tree"/{bin,dev,proc,root,lib/modules/"$release"}
    cp "$(command -v busybox)" "$tree/bin/busybox"
    for module in virtio_pci virtio_blk virtio_pci_legacy_dev virtio_pci_modern_dev virtio virtio_ring; do
        path=$(find "$home/lib/modules" -name "$module.ko" -printf '%P\n')
        [ -n "$path" ] && install -D "$home/lib/modules/$path" "$tree/lib/modules/$path"
    done
    busybox depmod -b "$tree" "$release"
    install -m 755 "$HERE/initramfs-init" "$tree/init"
    (cd "$tree" && find . | cpio -o -H newc --quiet) >"$file"
    rm -rf "$tree"
}
