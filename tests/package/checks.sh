# Sourced by the scenario: steps, what they expect, and what becomes of the traffic meanwhile.
RUN=/run/sg-guests
LIFE=/var/lib/sg-scenario
# Processors are emulated, and a busy machine makes them slower still: it is to be answered at all.
CLIENT_TIMEOUT=120

STEP=''
SEEN=/run/sg-scenario.output
mkdir -p "$LIFE"
[ -e "$LIFE/results" ] || : >"$LIFE/results"

say() {
    echo "package: $*"
}

step() {
    STEP=$1
    say "[$(cut -d' ' -f1 /proc/uptime) s] $STEP"
}

# expect WHAT COMMAND...: it succeeds; what it printed is in $SEEN, where "printed" looks for the next ones.
expect() {
    local what=$1
    shift
    if "$@" >"$SEEN.now" 2>&1; then
        echo "pass $STEP: $what" >>"$LIFE/results"
        echo "[$(cut -d' ' -f1 /proc/uptime) s] passed: $what" # for the console's log only
    else
        echo "fail $STEP: $what" >>"$LIFE/results"
        say "FAILED $STEP: $what ($*)"
        [ "$1" != printed ] || cp "$SEEN" "$SEEN.now"
        head -n 40 "$SEEN.now" | sed 's/^/package:     /'
    fi
    [ "$1" = printed ] || mv "$SEEN.now" "$SEEN"
}

# refuse WHAT COMMAND...: it fails.
refuse() {
    local what=$1
    shift
    expect "$what" not "$@"
}

not() {
    ! "$@"
}

# within SECONDS COMMAND...: it succeeds in that time.
within() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.3
    done
}

printed() {
    grep -qE -- "$1" "$SEEN"
}

same() {
    [ "$1" = "$2" ] || { echo "'$1' is not '$2'"; return 1; }
}

property() {
    systemctl show -P "$1" "${2:-sg-agentd.service}"
}

main_pid() {
    property MainPID
}

is_active() {
    systemctl is-active --quiet "${1:-sg-agentd.service}"
}

was_replaced() {
    is_active && [ "$(main_pid)" != "$1" ] && [ "$(main_pid)" != 0 ]
}

answers() {
    timeout "$CLIENT_TIMEOUT" sgctl status >/dev/null 2>&1
}

# flow NAME FIELD: 2 received, 3 lost.
flow() {
    awk -v name="$1" -v field="$2" '$1 == name { print $field; found = 1 } END { if (!found) print 0 }' "$RUN/arrived"
}

permitted() {
    echo ok-session ok-opening ok-ipv6
}

forbidden() {
    echo no-port no-port-ipv6 no-sender no-session
}

# The numbers that must not move from here on: what was lost of the permitted flows, what arrived of the others.
mark_traffic() {
    local name
    for name in $(permitted); do
        flow "$name" 3 >"/run/lost.$name"
    done
    for name in $(forbidden); do
        flow "$name" 2 >"/run/came.$name"
    done
}

# What lost.NAME and came.NAME are when enforcement is there before the first packet.
mark_nothing() {
    local name
    for name in $(permitted) $(forbidden); do
        echo 0 >"/run/lost.$name"
        echo 0 >"/run/came.$name"
    done
}

# At least so many more of a flow arrive in 20 s.
arrives() {
    local name=$1 more=$2 from
    from=$(flow "$name" 2)
    within 20 more_than "$name" $((from + more))
}

more_than() {
    [ "$(flow "$1" 2)" -ge "$2" ]
}

# Since the mark, no permitted packet was lost, and each flow goes on; no forbidden one has arrived.
check_traffic() {
    local name
    for name in $(permitted); do
        expect "flow $name goes on" arrives "$name" 20
    done
    for name in $(permitted); do
        expect "no packet of $name is lost" same "$(flow "$name" 3)" "$(cat "/run/lost.$name")"
    done
    for name in $(forbidden); do
        expect "no packet of $name arrives" same "$(flow "$name" 2)" "$(cat "/run/came.$name")"
    done
}

tables() {
    nft list tables | grep -w sg_agent
}

# The journal since this boot has no sign of a call that the sandbox keeps from the daemon.
no_denials() {
    local found
    found=$(journalctl -b --no-pager -o cat | grep -v '^package:' \
        | grep -iE 'EPERM|EACCES|Operation not permitted|Permission denied|SIGSYS|type=1326|status=31')
    [ -z "$found" ] || { echo "$found"; return 1; }
}

summary() {
    local passed failed
    passed=$(grep -c '^pass' "$LIFE/results")
    failed=$(grep -c '^fail' "$LIFE/results")
    grep '^fail' "$LIFE/results" | sed 's/^/package: /'
    echo "  package $(uname -r)  Total: $((passed + failed)), Errors: 0, Failed: $failed, Skipped: 0, Not Run: 0," \
        "Time: $SECONDS s"
    if [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]; then
        say 'ended with 0'
    else
        say 'ended with 1'
    fi
}
