#!/bin/sh
# Make the cluster at the first start, then serve. Settings by the variables of the official PostgreSQL image.
set -eu
made="$PGDATA/amilab.made"
making="$PGDATA/amilab.making"
if [ ! -e "$made" ]; then
    # What is there is of a first start that was cut short, or not ours to remove.
    if [ ! -e "$making" ] && [ -n "$(ls -A "$PGDATA")" ]; then
        echo "amilab: $PGDATA has data that this image has not made; nothing was changed" >&2
        exit 78
    fi
    find "$PGDATA" -mindepth 1 -delete
    initdb --pgdata="$making" --username="$POSTGRES_USER" --pwfile="$POSTGRES_PASSWORD_FILE" \
        --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 >/dev/null
    echo "host all all all scram-sha-256" >>"$making/pg_hba.conf"
    pg_ctl --pgdata="$making" --silent --wait start \
        --options="-c listen_addresses='' -c shared_preload_libraries=timescaledb -c unix_socket_directories=/tmp"
    PGPASSWORD=$(cat "$POSTGRES_PASSWORD_FILE")
    export PGPASSWORD PGHOST=/tmp PGUSER="$POSTGRES_USER"
    createdb "$POSTGRES_DB"
    for script in /docker-entrypoint-initdb.d/*.sh; do
        [ -e "$script" ] && PGDATABASE="$POSTGRES_DB" sh "$script"
    done
    pg_ctl --pgdata="$making" --silent --wait stop
    unset PGPASSWORD PGHOST PGUSER
    find "$making" -mindepth 1 -maxdepth 1 -exec mv {} "$PGDATA" \;
    touch "$made"
    rmdir "$making"
fi
exec "$@"
