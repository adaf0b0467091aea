#!/bin/sh
# Run once, when the cluster is made: the role that dashboards read with. Tables of any schema made by the head-end's
# role are readable for it, and nothing is writable.
set -eu
password=$(cat /run/secrets/grafana_database_password)
psql --quiet --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" --set=password="$password" <<'SQL'
CREATE EXTENSION IF NOT EXISTS timescaledb;
CREATE ROLE dashboards LOGIN PASSWORD :'password' CONNECTION LIMIT 20;
ALTER ROLE dashboards SET default_transaction_read_only = on;
ALTER ROLE dashboards SET statement_timeout = '15s';
ALTER ROLE dashboards SET search_path = headend, public;
ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO dashboards;
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO dashboards;
SQL
