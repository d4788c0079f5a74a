#!/usr/bin/env bash
# make.sh: writes what the two programs are made of, with versions and licences, as CycloneDX beside this file.
# Needs restored projects (make setup), jq, and the registry for the tool itself.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

dotnet tool install CycloneDX --version 6.3.1 --tool-path "$WORK/tool" >/dev/null

# The runtime is linked into the programs and is in no project file. Its version is the one that the SDK brings.
runtime=$(dotnet msbuild "$ROOT/src/Agent.Daemon" -getProperty:BundledNETCoreAppPackageVersion)

# bill PROJECT NAME RUNTIME...
bill() {
    local project=$1 name=$2
    shift 2
    "$WORK/tool/dotnet-CycloneDX" "$ROOT/src/$project/$project.csproj" --output "$WORK" --filename "$name.json" \
        --output-format Json --set-name "$name" --set-version 0 --recursive --no-serial-number --exclude-dev \
        --disable-package-restore --base-intermediate-output-path "$ROOT/artifacts/obj" >"$WORK/log" 2>&1 \
        || { cat "$WORK/log" >&2; exit 1; }
    # Nothing that differs from one run to the next.
    jq --arg version "$runtime" '
        del(.metadata.timestamp, .metadata.component.version)
        | .metadata.component."bom-ref" = .metadata.component.name
        | .dependencies |= map(if .ref == "\($ARGS.named.name)@0" then .ref = $ARGS.named.name else . end)
        | .components += [$ARGS.positional[] | {
            type: "framework", "bom-ref": "pkg:nuget/\(.)@\($version)", name: ., version: $version, scope: "required",
            licenses: [{license: {id: "MIT"}}], purl: "pkg:nuget/\(.)@\($version)"
          }]
        | .components |= sort_by(.name)
    ' --arg name "$name" "$WORK/$name.json" --args "$@" >"$HERE/$name.cdx.json"
}

bill Agent.Daemon sg-agentd Microsoft.NETCore.App.Runtime.NativeAOT.linux-x64 Microsoft.AspNetCore.App.Runtime.linux-x64
bill Agent.Cli sgctl Microsoft.NETCore.App.Runtime.NativeAOT.linux-x64

for name in sg-agentd sgctl; do
    jq -r --arg name "$name" '"\($name): \(.components | length) components, licences: \(
        [.components[].licenses[].license.id] | unique | join(", "))"' "$HERE/$name.cdx.json"
done
