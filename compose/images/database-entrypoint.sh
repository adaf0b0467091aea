#!/bin/sh
# Make the cluster at the first start, then serve. Settings by the variables of the official PostgreSQL image.
set -eu
made="$PGDATA/amilab.made"
if [ ! -e "$made" ]; then
    # A first start that was cut short leaves something that no server takes.
    find "$PGDATA" -mindepth 1 -delete
    initdb --pgdata="$PGDATA" --username="$POSTGRES_USER" --pwfile="$POSTGRES_PASSWORD_FILE" \
        --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 >/dev/null
    echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
    pg_ctl --pgdata="$PGDATA" --silent --wait start \
        --options="-c listen_addresses='' -c shared_preload_libraries=timescaledb -c unix_socket_directories=/tmp"
    PGPASSWORD=$(cat "$POSTGRES_PASSWORD_FILE")
    export PGPASSWORD PGHOST=/tmp PGUSER="$POSTGRES_USER"
    createdb "$POSTGRES_DB"
    for script in /docker-entrypoint-initdb.d/*.sh; do
        [ -e "$script" ] && PGDATABASE="$POSTGRES_DB" sh "$script"
    done
    pg_ctl --pgdata="$PGDATA" --silent --wait stop
    unset PGPASSWORD PGHOST PGUSER
    touch "$made"
fi
exec "$@"
