-- The doctor's questions. Each is asked by the store function of the same name.

-- name: read_server_facts
select
    current_setting('server_version') as version,
    current_setting('server_version_num')::int as version_number,
    current_setting('server_encoding') as encoding,
    current_setting('fsync') as fsync,
    current_setting('full_page_writes') as full_page_writes,
    current_setting('synchronous_commit') as synchronous_commit,
    current_setting('max_connections')::int as max_connections,
    clock_timestamp() as server_now;

-- name: read_role_facts
-- The schemas in which the role could create something, or that it owns.
select
    current_user::text as role_name,
    (
        select rolsuper from pg_roles
        where rolname = current_user
    ) as is_superuser,
    array(
        select nspname::text
        from pg_namespace
        where
            nspname = any(%(schemas)s)
            and (
                has_schema_privilege(current_user, oid, 'create')
                or pg_has_role(current_user, nspowner, 'usage')
            )
        order by nspname
    ) as changeable_schemas;

-- name: read_zone_offsets
-- A zone that the server does not know is missing from the answer.
select
    zone.name,
    array_agg(
        extract(
            epoch from (instant.at at time zone zone.name) - (instant.at at time zone 'UTC')
        )::int
        order by instant.at
    ) as offsets_s
from pg_timezone_names as zone
cross join unnest(%(instants)s::timestamptz[]) as instant (at)
where zone.name = any(%(zones)s)
group by zone.name
order by zone.name;
