#!/bin/sh
# Asks nft for the bytes it sends for each rule of rules.nft, and writes them to rules.hex: one line a rule,
# the payload of NFTA_RULE_EXPRESSIONS in hexadecimal. Needs root; runs in a throwaway network namespace.
# nft --debug=mnl prints messages four bytes a line; attribute headers are printed as "|length|flags|type|".
set -eu
[ "${SG_GOLDEN_NETNS:-}" = 1 ] || exec env SG_GOLDEN_NETNS=1 unshare -n "$0" "$@"
cd "$(dirname "$0")"
nft -f objects.nft
: > rules.hex.new
while IFS= read -r rule; do
    nft --debug=mnl add rule inet sg_agent forward "$rule" | sed 's/\x1b\[[0-9;]*m//g' | awk '
        function le16(n) { return sprintf("%02x%02x", n % 256, int(n / 256)) }
        /type \| flags/ { newrule = ($2 == "02566"); depth = 0; next }
        !newrule { next }
        /\|len \|flags\| type\|/ {
            split($0, part, "|"); len = part[2] + 0; nested = index(part[3], "N") > 0; type = part[4] + 0
            if (!inside && type == 4 && nested) { inside = 1; left = len - 4; next }
            if (inside && left > 0) { out = out le16(len) le16(type + (nested ? 32768 : 0)); left -= 4 }
            next
        }
        /data      \|/ && inside && left > 0 { out = out $2 $3 $4 $5; left -= 4 }
        END { print out }' >> rules.hex.new
done < rules.nft
mv rules.hex.new rules.hex
