#!/bin/sh
# build.sh PROGRAMS VERSION OUT: OUT/sg-agent-VERSION-1.x86_64.rpm from the native programs of `make aot`.
# The same bytes from the same programs: times are SOURCE_DATE_EPOCH, and the host has no name.
set -eu
HERE=$(cd "$(dirname "$0")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
PROGRAMS=$1
VERSION=$2
OUT=$3
: "${SOURCE_DATE_EPOCH:?names the time of the sources, in seconds since 1970}"
export SOURCE_DATE_EPOCH LC_ALL=C TZ=UTC
umask 022

WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

"$ROOT/packaging/stage.sh" "$PROGRAMS" "$WORK/tree" rpm
install -m 644 "$ROOT/CHANGELOG.md" "$WORK/tree/usr/share/doc/sg-agent/"
manuals=
[ ! -d "$WORK/tree/usr/share/man" ] || manuals='/usr/share/man/man*/*'

rpmbuild -bb --quiet -D "_topdir $WORK/rpm" -D "_dbpath $WORK/db" -D "staged $WORK/tree" \
    -D "agent_version $(echo "$VERSION" | tr - '~')" \
    -D "agent_date $(date -u -d "@$SOURCE_DATE_EPOCH" '+%a %b %d %Y')" \
    -D "manuals $manuals" -D '_buildhost localhost' -D 'use_source_date_epoch_as_buildtime 1' \
    -D 'clamp_mtime_to_source_date_epoch 1' -D '_binary_payload w19.zstdio' "$HERE/sg-agent.spec"
mkdir -p "$OUT"
cp "$WORK"/rpm/RPMS/x86_64/*.rpm "$OUT/"
