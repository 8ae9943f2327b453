-- Roles and rights of the database. Run it as a superuser, connected to the database of the service; it may be
-- run again at any time. Plain SQL: psql and any driver can run it.
--
--   createdb tcma && psql -d tcma -f deploy/roles.sql
--   psql -d tcma -c '\password tcma_app' -c '\password tcma_owner'
--
-- tcma_owner  runs migrations and owns every table          (TCMA_MIGRATION_URL)
-- tcma_app    does everything else, under row-level security (TCMA_DATABASE_URL)
-- tcma_system what tcma_app becomes for single statements that must see every tenant (SET LOCAL ROLE)
--
-- Needs PostgreSQL 15 or newer.

DO $roles$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['tcma_owner', 'tcma_app', 'tcma_system'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            EXECUTE format('CREATE ROLE %I', wanted);
        END IF;
    END LOOP;
END
$roles$;

ALTER ROLE tcma_owner LOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
ALTER ROLE tcma_app LOGIN NOINHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
ALTER ROLE tcma_system NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;

-- tcma_app must never have the rights of tcma_system without asking for them. Up to PostgreSQL 15 the role's
-- NOINHERIT says so; since 16 each grant carries its own option, and an older grant may have it wrong.
GRANT tcma_system TO tcma_owner;
DO $grants$
BEGIN
    IF current_setting('server_version_num')::integer >= 160000 THEN
        EXECUTE 'GRANT tcma_system TO tcma_app WITH INHERIT FALSE, SET TRUE';
    ELSE
        EXECUTE 'GRANT tcma_system TO tcma_app';
    END IF;
    EXECUTE format('ALTER DATABASE %I OWNER TO tcma_owner', current_database());
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO tcma_app, tcma_system', current_database());
END
$grants$;

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
REVOKE CREATE ON SCHEMA public FROM tcma_app;
GRANT USAGE ON SCHEMA public TO tcma_app, tcma_system;
GRANT USAGE, CREATE ON SCHEMA public TO tcma_owner;
-- The new owner of a function needs CREATE on its schema: trigger functions that must see every row belong to
-- tcma_system. Nobody can sign in as tcma_system; the service becomes it for single statements only.
GRANT CREATE ON SCHEMA public TO tcma_system;

-- Tables of the message broker, where the database is the broker; migrations make them.
CREATE SCHEMA IF NOT EXISTS broker AUTHORIZATION tcma_owner;
ALTER SCHEMA broker OWNER TO tcma_owner;
GRANT USAGE ON SCHEMA broker TO tcma_app;
ALTER DEFAULT PRIVILEGES FOR ROLE tcma_owner IN SCHEMA broker
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO tcma_app;
ALTER DEFAULT PRIVILEGES FOR ROLE tcma_owner IN SCHEMA broker GRANT USAGE ON SEQUENCES TO tcma_app;
