-- The role that a head-end works as in the current database. It makes its own schema there, and is no superuser: it can
-- neither run programs nor read files of the server, nor make other roles. To be run by whoever may create roles; again
-- is no harm. The password comes in the setting amilab.headend_password of this session.
DO $role$
BEGIN
    IF to_regrole('amilab_headend') IS NULL THEN
        CREATE ROLE amilab_headend;
    END IF;
    EXECUTE format(
        'ALTER ROLE amilab_headend LOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD %L',
        current_setting('amilab.headend_password')
    );
    -- Batches are staged in temporary tables.
    EXECUTE format('GRANT CONNECT, CREATE, TEMPORARY ON DATABASE %I TO amilab_headend', current_database());
    -- Before PostgreSQL 15 everybody may put functions where other roles look for theirs.
    REVOKE CREATE ON SCHEMA public FROM PUBLIC;
    -- Where dashboards' roles are there, the live page reads as them.
    IF to_regrole('amilab_dashboards') IS NOT NULL AND to_regrole('amilab_households') IS NOT NULL THEN
        GRANT amilab_dashboards, amilab_households TO amilab_headend;
    END IF;
END
$role$;
