#!/bin/sh
# Fetch the two editions of TimescaleDB that tests and benches can run on: Debian's packages below build/timescale-apache,
# and PGlite, by npm, below tests/timescale. What is there is left alone. What cannot be had is said in one line, with what
# to do, and is not tried again on the same day; with --now it is, and the exit code says whether both are there.
set -u
now=${1:-}
notes=build/editions
mkdir -p "$notes"
all=0

# attempt NAME WORDS TEST COMMAND: run the command unless the test passes, five minutes at most.
attempt() {
    note=$notes/$1.lacking
    log=$notes/$1.log
    if sh -c "$3"; then
        rm -f "$note"
        return
    fi
    if [ "$now" = --now ] || [ -z "$(find "$note" -mtime -1 2>/dev/null)" ]; then
        printf 'Fetching %s …\n' "$2" >&2
        if timeout 300 sh -c "$4" >"$log" 2>&1 && sh -c "$3"; then
            rm -f "$note"
            return
        fi
        reason=$(grep -v '^[[:space:]]*$' "$log" | tail -n 1 | cut -c 1-160)
        printf '%s\n' "${reason:-it took more than five minutes}" >"$note"
    fi
    printf 'left out: tests on %s (%s; make editions tries again)\n' "$2" "$(cat "$note")" >&2
    all=1
}

attempt apache "TimescaleDB's Apache edition" '[ -e build/timescale-apache/complete ]' 'sh scripts/timescale-apache.sh'
# npm says why it failed before it says where its log is.
attempt community "TimescaleDB's community edition" \
    'command -v node >/dev/null && [ -d tests/timescale/node_modules/@electric-sql ]' '
        command -v npm >/dev/null || { echo "npm is missing: apt install npm"; exit 1; }
        npm ci --prefix tests/timescale --no-fund --no-audit --fetch-retries=1 --fetch-timeout=20000 && exit
        echo "npm cannot fetch PGlite: is there a network, is its registry reachable?"
        exit 1'
[ "$now" != --now ] || exit "$all"
