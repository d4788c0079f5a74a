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
# Everything that was laid out, and the directories that are ours alone.
(cd "$WORK/tree" && find . -type f -o -type d -path '*/sg-agent*') | sed 's|^\.||' | sort | while read -r path; do
    kind=
    case $path in
    /etc/*) kind='%config(noreplace) ' ;;
    /usr/share/doc/*) kind='%doc ' ;;
    esac
    [ ! -d "$WORK/tree$path" ] || kind='%dir '
    echo "$kind$path"
done >"$WORK/files"

rpmbuild -bb --quiet -D "_topdir $WORK/rpm" -D "_dbpath $WORK/db" -D "staged $WORK/tree" -D "staged_files $WORK/files" \
    -D "agent_version $(echo "$VERSION" | tr - '~')" \
    -D "agent_date $(date -u -d "@$SOURCE_DATE_EPOCH" '+%a %b %d %Y')" \
    -D '_buildhost localhost' -D 'use_source_date_epoch_as_buildtime 1' \
    -D 'clamp_mtime_to_source_date_epoch 1' -D '_binary_payload w9.zstdio' "$HERE/sg-agent.spec"
mkdir -p "$OUT"
cp "$WORK"/rpm/RPMS/x86_64/*.rpm "$OUT/"
