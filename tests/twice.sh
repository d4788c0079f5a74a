#!/usr/bin/env bash
# twice.sh LOG PROGRAM ARGUMENT...: runs a test program, and what failed once more, alone.
#
# These tests send real packets on a machine that others use, too: now and then one waits longer for a processor than it
# waits for its packet. A fault of ours fails again; what passes alone is named as unsteady, and more than LIMIT methods
# that failed are not excused. The last line is the program's own summary, with what is left of the failures.
set -uo pipefail
LIMIT=4

log=$1
shift
mkdir -p "$(dirname "$log")"

# Both runs are shown; the sums that .ci/run adds up are told once, at the end.
show() { "$@" 2>&1 | tee "$log" | sed -u 's/ Total: / total: /'; return "${PIPESTATUS[0]}"; }
plain() { sed 's/\x1b\[[0-9;]*m//g' "$log"; }
failures() { plain | sed -n 's/^ *\(.*\) \[FAIL\]$/\1/p'; }

show "$@"
status=$?
summary=$(plain | grep -a ' Total: [0-9]*, Errors: ')
mapfile -t methods < <(failures | sed 's/(.*//' | sort -u)

if [ "${#methods[@]}" -gt 0 ] && [ "${#methods[@]}" -le "$LIMIT" ]; then
    unsteady=$(failures)
    echo "failed, and run once more, alone: ${methods[*]}"
    arguments=()
    for method in "${methods[@]}"; do
        arguments+=(-method "$method")
    done
    log=$log.again
    show "$@" "${arguments[@]}"
    status=$?
    left=$(failures | wc -l)
    [ "$status" -ne 0 ] || printf 'unsteady, passed alone: %s\n' "$unsteady"
    summary=$(sed "s/Failed: [0-9]*/Failed: $left/" <<<"$summary")
fi

echo "$summary"
exit "$status"
