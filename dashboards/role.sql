-- The two roles that dashboards read with, in the current database. To be run by whoever may create roles, before the
-- head-end starts: it gives them their rights (headend/grants.sql). Running it again changes passwords and limits only.
--
-- amilab_dashboards    sees the network: reads and their times, voltages, outages; of households only sums.
-- amilab_households    sees what single households used as well.
--
-- Passwords come in the settings amilab.dashboards_password and amilab.households_password of this session.
DO $role$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['amilab_dashboards', 'amilab_households'] LOOP
        IF to_regrole(role) IS NULL THEN
            EXECUTE format('CREATE ROLE %I', role);
        END IF;
        EXECUTE format(
            'ALTER ROLE %I LOGIN NOCREATEDB NOCREATEROLE INHERIT CONNECTION LIMIT 20 PASSWORD %L',
            role, current_setting(replace(role, '_', '.') || '_password')
        );
        -- Against accidents: a role can lift these for itself. Its rights it cannot.
        EXECUTE format('ALTER ROLE %I SET default_transaction_read_only = on', role);
        EXECUTE format('ALTER ROLE %I SET statement_timeout = ''15s''', role);
        EXECUTE format('ALTER ROLE %I SET lock_timeout = ''2s''', role);
        EXECUTE format('ALTER ROLE %I SET idle_in_transaction_session_timeout = ''30s''', role);
    END LOOP;
    GRANT amilab_dashboards TO amilab_households;
    -- Temporary tables fill the disk as others do. The owner of the database keeps the right.
    EXECUTE format('REVOKE CREATE, TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    REVOKE CREATE ON SCHEMA public FROM PUBLIC;
    -- Large objects fill it, too, and before PostgreSQL 16 a transaction that is read-only makes them all the same.
    IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        REVOKE EXECUTE ON FUNCTION lo_create(oid), lo_creat(integer), lo_from_bytea(oid, bytea) FROM PUBLIC;
    END IF;
END
$role$;
