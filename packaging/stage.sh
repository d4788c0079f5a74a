#!/bin/sh
# stage.sh PROGRAMS TREE DISTRIBUTION: lays out in TREE what a package installs, the same for every format.
# PROGRAMS holds the native sg-agentd and sgctl; DISTRIBUTION is deb or rpm. Owners and times are the packer's business.
set -eu
HERE=$(cd "$(dirname "$0")" && pwd)
ROOT=$(dirname "$HERE")
PROGRAMS=$1
TREE=$2
DISTRIBUTION=$3

# put MODE FILE... DIRECTORY: makes the directory, too.
put() {
    mode=$1
    shift
    for last; do :; done
    install -d -m 755 "$TREE$last"
    while [ "$#" -gt 1 ]; do
        install -m "$mode" "$1" "$TREE$last/"
        shift
    done
}

programs() {
    put 755 "$PROGRAMS/sg-agentd" /usr/sbin
    put 755 "$PROGRAMS/sgctl" /usr/bin
}

service() {
    put 644 "$ROOT/systemd/sg-agentd.service" "$ROOT/systemd/sg-agentd.socket" /usr/lib/systemd/system
    install -d -m 755 "$TREE/usr/lib/sysusers.d"
    install -m 644 "$ROOT/systemd/sg-agent.sysusers" "$TREE/usr/lib/sysusers.d/sg-agent.conf"
    put 644 "$HERE/journal/sg-agent.catalog" /usr/lib/systemd/catalog
    put 644 "$HERE/config.json" /etc/sg-agent
    put 644 "$HERE/default/sg-agentd" /etc/default
}

manuals() {
    for page in "$HERE"/man/*.[158]; do
        section=/usr/share/man/man${page##*.}
        put 644 "$page" "$section"
        gzip -9n "$TREE$section/$(basename "$page")"
    done
}

# What this sgctl says of itself, so that the two cannot disagree.
completions() {
    zsh=/usr/share/zsh/vendor-completions
    [ "$DISTRIBUTION" = deb ] || zsh=/usr/share/zsh/site-functions
    completion bash /usr/share/bash-completion/completions/sgctl
    completion zsh "$zsh/_sgctl"
    completion fish /usr/share/fish/vendor_completions.d/sgctl.fish
}

completion() {
    install -d -m 755 "$(dirname "$TREE$2")"
    "$PROGRAMS/sgctl" completion "$1" >"$TREE$2"
    chmod 644 "$TREE$2"
}

# What other programs read.
shared() {
    put 644 "$HERE"/grafana/*.json /usr/share/sg-agent/grafana
    put 644 "$HERE/prometheus/alerts.yml" /usr/share/sg-agent/prometheus
    put 644 "$ROOT/proto/agent/v1/agent.proto" /usr/share/sg-agent/proto/agent/v1
    put 644 "$HERE"/schema/*.json /usr/share/sg-agent/schema
}

# What people read.
documents() {
    doc=/usr/share/doc/sg-agent
    put 644 "$ROOT/README.md" "$HERE/prometheus/RUNBOOK.md" "$HERE"/sbom/*.json "$doc"
    (cd "$HERE" && find examples -type f | LC_ALL=C sort) | while read -r file; do
        mode=644
        [ ! -x "$HERE/$file" ] || mode=755
        put "$mode" "$HERE/$file" "$doc/$(dirname "$file")"
    done
}

rm -rf "$TREE"
programs
service
manuals
completions
shared
documents
