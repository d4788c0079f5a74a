#!/bin/sh
# build.sh PROGRAMS VERSION OUT: OUT/sg-agent_VERSION-1_amd64.deb from the native programs of `make aot`.
# The same bytes from the same programs: times are SOURCE_DATE_EPOCH, owners root, the order fixed. COMPRESSION=gzip is
# quicker than xz, for tests.
set -eu
HERE=$(cd "$(dirname "$0")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
PROGRAMS=$1
VERSION=$2
OUT=$3
RELEASE=$VERSION-1
MAINTAINER=${MAINTAINER:-sg-agent maintainers <maintainers@users.noreply.r-seed-04be6d12.example>}
: "${SOURCE_DATE_EPOCH:?names the time of the sources, in seconds since 1970}"
export SOURCE_DATE_EPOCH LC_ALL=C TZ=UTC
umask 022

WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
TREE=$WORK/tree

# Debian's changelog, of the sections of ours: what each says is in changelog.gz, word for word.
changelog() {
    printf 'sg-agent (%s) unstable; urgency=medium\n\n' "$RELEASE"
    printf '  * See changelog.gz: what changed for the people who run it.\n\n'
    printf ' -- %s  %s\n' "$MAINTAINER" "$(date -u -R -d "@$SOURCE_DATE_EPOCH")"
}

# Names and least versions of the libraries that the programs name.
shared_libraries() {
    mkdir "$WORK/debian"
    printf 'Source: sg-agent\n\nPackage: sg-agent\nArchitecture: amd64\n' >"$WORK/debian/control"
    (cd "$WORK" && dpkg-shlibdeps -O -xlibssl3 tree/usr/sbin/sg-agentd tree/usr/bin/sgctl) \
        | sed 's/^shlibs:Depends=//'
}

control() {
    sed -e "s|@VERSION@|$RELEASE|" -e "s|@MAINTAINER@|$MAINTAINER|" -e "s|@SHLIBS@|$(shared_libraries)|" \
        -e "s|@SIZE@|$(du -k -s --apparent-size "$TREE" | cut -f1)|" "$HERE/control.in"
}

"$ROOT/packaging/stage.sh" "$PROGRAMS" "$TREE" deb
doc=$TREE/usr/share/doc/sg-agent
install -m 644 "$HERE/copyright" "$doc/copyright"
changelog | gzip -9n >"$doc/changelog.Debian.gz"
gzip -9n <"$ROOT/CHANGELOG.md" >"$doc/changelog.gz"
install -d "$TREE/usr/share/lintian/overrides"
install -m 644 "$HERE/lintian-overrides" "$TREE/usr/share/lintian/overrides/sg-agent"

mkdir "$TREE/DEBIAN"
control >"$TREE/DEBIAN/control"
(cd "$TREE" && find etc -type f | sort | sed 's|^|/|') >"$TREE/DEBIAN/conffiles"
for script in postinst prerm postrm; do
    install -m 755 "$HERE/$script" "$TREE/DEBIAN/"
done
(cd "$TREE" && find usr -type f | sort | xargs md5sum) >"$TREE/DEBIAN/md5sums"

mkdir -p "$OUT"
DPKG_DEB_THREADS_MAX=1 dpkg-deb --root-owner-group "-Z${COMPRESSION:-xz}" --build \
    "$TREE" "$OUT/sg-agent_${RELEASE}_amd64.deb"
