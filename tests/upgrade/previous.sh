#!/usr/bin/env bash
# Prints the commit of the previous version: the parent of the last commit that changed <Version>; while there has been
# one version only, the commit that is named here.
set -euo pipefail
cd "$(dirname "$0")/../.."
first=79e3134

if [ "$(git rev-parse --is-shallow-repository)" = true ]; then
    echo "this clone is shallow: there is no previous version in it (git fetch --unshallow)" >&2
    exit 1
fi
# The first commit of the file is no change of the version.
changed=$(git log --format=%h -G'<Version>' -- Directory.Build.props | head -n -1 | head -n 1)
if [ -n "$changed" ]; then git rev-parse --short "$changed^"; else echo "$first"; fi
