# Sourced by run.sh: Debian's kernels, unpacked below $CACHE without being installed.

# Leaves a kernel of the series in $CACHE/kernels/SERIES: vmlinuz, config, release, and lib/modules with modules.dep.
fetch_kernel() {
    local series=$1 home="$CACHE/kernels/$1" work package release
    [ -s "$home/release" ] && return

    package=$(newest_package "$series")
    if [ -z "$package" ]; then
        apt-get update -q >&2
        package=$(newest_package "$series")
    fi
    [ -n "$package" ] || { echo "apt offers no cloud kernel of series $series" >&2; return 1; }

    work="$CACHE/kernels/$series.new"
    rm -rf "$work" "$home"
    mkdir -p "$work/unpacked"
    echo "fetching $package" >&2
    (cd "$work" && { apt-get download -q "$package" || { apt-get update -q && apt-get download -q "$package"; }; }) \
        >"$work/apt.log" 2>&1 || { cat "$work/apt.log" >&2; return 1; }
    dpkg -x "$work"/*.deb "$work/unpacked"
    release=$(basename "$work"/unpacked/lib/modules/*)
    mv "$work/unpacked/boot/vmlinuz-$release" "$work/vmlinuz"
    mv "$work/unpacked/boot/config-$release" "$work/config"
    mkdir -p "$work/lib"
    keep_modules "$work/unpacked/lib/modules/$release" "$work/lib/modules/$release"
    busybox depmod -b "$work" "$release"
    rm -rf "$work/unpacked" "$work"/*.deb "$work/apt.log"
    echo "$release" >"$work/release"
    mv "$work" "$home"
}

# The signed package, or where there is none the unsigned one; "-dbg" and meta packages have other names.
newest_package() {
    apt-cache pkgnames "linux-image-$1." \
        | grep -E "^linux-image-${1//./\\.}\.[0-9][0-9a-z.+-]*-cloud-amd64(-unsigned)?$" \
        | sort -V -t_ | awk '
            { base = $0; sub(/-unsigned$/, "", base) }
            base != last || $0 == base { name = $0; last = base }
            END { print name }'
}

# Networking and the virtual machine's own devices. busybox reads no .xz modules: they are unpacked here.
keep_modules() {
    local from=$1 to=$2 part
    mkdir -p "$to/kernel/drivers"
    cp "$from"/modules.builtin "$from"/modules.builtin.modinfo "$from"/modules.order "$to/"
    for part in net lib crypto arch drivers/net drivers/virtio drivers/block drivers/char; do
        [ -d "$from/kernel/$part" ] && mkdir -p "$to/kernel/$part" && cp -r "$from/kernel/$part/." "$to/kernel/$part/"
    done
    find "$to" -name '*.ko.xz' -exec xz -d {} +
}
