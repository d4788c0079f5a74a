#!/usr/bin/env bash
# build.sh COMMIT DIRECTORY: the daemon of a commit, as DIRECTORY/sg-agentd with what belongs to it. Some minutes.
set -euo pipefail
commit=$1
to=$2
cd "$(dirname "$0")/../.."
rm -rf "$to"
mkdir -p "$to/sources"
git archive "$commit" | tar -x -C "$to/sources"
# Its own artifacts directory is in its sources, as it was then.
dotnet build "$to/sources/src/Agent.Daemon" -c Release -v quiet -p:RunAnalyzers=false
cp -r "$to/sources/artifacts/bin/Agent.Daemon/release/." "$to"
rm -rf "$to/sources"
test -x "$to/sg-agentd"
