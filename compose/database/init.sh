#!/bin/sh
# Run once, when the cluster is made: the extension, the two roles that dashboards read with (dashboards/role.sql), and the
# head-end's (headend/role.sql). What dashboards may read is said by the head-end, whenever it makes a schema
# (headend/grants.sql).
set -eu
export AMILAB_SECRETS="${AMILAB_SECRETS:-/run/secrets}" AMILAB_ROLE_SQL="${AMILAB_ROLE_SQL:-/etc/amilab/role.sql}"
export AMILAB_HEADEND_ROLE_SQL="${AMILAB_HEADEND_ROLE_SQL:-/etc/amilab/headend-role.sql}"
psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" <<'SQL'
CREATE EXTENSION IF NOT EXISTS timescaledb;
\set dashboards `cat "$AMILAB_SECRETS/grafana_database_password"`
\set households `cat "$AMILAB_SECRETS/grafana_households_password"`
\set headend `cat "$AMILAB_SECRETS/headend_database_password"`
SELECT set_config('amilab.dashboards_password', :'dashboards', false),
    set_config('amilab.households_password', :'households', false),
    set_config('amilab.headend_password', :'headend', false) \g /dev/null
\set role_sql `echo "$AMILAB_ROLE_SQL"`
\i :role_sql
\set role_sql `echo "$AMILAB_HEADEND_ROLE_SQL"`
\i :role_sql
-- What a role may not do here, it may in a database that nobody thought of: temporary tables and large objects fill the disk.
SELECT format('REVOKE CONNECT ON DATABASE %I FROM PUBLIC', datname) FROM pg_database
    WHERE datname <> current_database() \gexec
SQL
