#!/bin/sh
# Before the database starts: whether the volume is one that this image can serve. The shell is Debian's or BusyBox's.
# Two images of one PostgreSQL do not serve each other's data: their users differ, the C library by which text is sorted
# (and so every index on it), and the TimescaleDB whose library the data name.
set -eu

refuse() {
    printf 'amilab: %s\n' "$@" \
        'Nothing was changed. Either go back to the image that made it (COMPOSE_FILE, AMILAB_DATABASE_IMAGE in compose/.env),' \
        'or bring its data over: there `amilab compose backup`, then' \
        "  docker compose rm --stop --force database && docker volume rm ${AMILAB_DATABASE_VOLUME:-the volume}" \
        'and here `amilab compose restore`. compose/README.md has both.' >&2
    exit 78
}

if command -v database-entrypoint >/dev/null; then
    entrypoint=database-entrypoint
    here="Debian's packages"
else
    entrypoint=docker-entrypoint.sh
    here="the official image"
fi
volume="the volume ${AMILAB_DATABASE_VOLUME:-of the database}"

if ! content=$(ls -A "$PGDATA" 2>/dev/null); then
    refuse "$volume is closed to this image's user $(id -u): it belongs to the user $(stat -c %u "$PGDATA"). Another image made it."
fi
if [ -n "$content" ] && [ ! -e "$PGDATA/amilab.making" ]; then
    [ -s "$PGDATA/PG_VERSION" ] || refuse "$volume holds something else than a PostgreSQL's data: $(printf '%s' "$content" | tr '\n' ' ' | cut -c 1-60)"
    found=$(cat "$PGDATA/PG_VERSION")
    major=$(postgres --version | sed 's/^[^0-9]*\([0-9]*\).*/\1/')
    [ "$found" = "$major" ] || refuse "$volume is of PostgreSQL $found, and this image has PostgreSQL $major."
fi
made="the official image"
[ ! -e "$PGDATA/amilab.made" ] && [ ! -e "$PGDATA/amilab.making" ] || made="Debian's packages"
if [ -n "$content" ] && [ "$made" != "$here" ]; then
    refuse "$volume was made by $made, and this container is of $here."
fi
exec "$entrypoint" "$@"
