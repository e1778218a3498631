-- name: end_clients
-- Ends whoever is connected to a database; answers how many are, or are not quite gone yet.
select count(pg_terminate_backend(client.pid)) as clients
from pg_stat_activity as client
where client.datname = %(database)s;

-- name: count_clients
-- How many are connected to a database, or not quite gone yet.
select count(*) as clients
from pg_stat_activity as client
where client.datname = %(database)s;

-- name: read_shape
-- What tells this database from one that somebody changed more than the rows of: how many rows its
-- catalogues have and which transactions wrote them; and how many bytes its tables take.
with written (xmin) as (
    select xmin
    from pg_namespace
    union all
    select xmin
    from pg_class
    where oid >= 16384
    union all
    select xmin
    from pg_attribute
    where attrelid >= 16384
    union all
    select xmin
    from pg_proc
    where oid >= 16384
    union all
    select xmin
    from pg_type
    where oid >= 16384
    union all
    select xmin
    from pg_constraint
    where oid >= 16384
    union all
    select xmin
    from pg_trigger
    union all
    select xmin
    from pg_rewrite
    where oid >= 16384
    union all
    select xmin
    from pg_policy
    union all
    select xmin
    from pg_extension
    union all
    select xmin
    from pg_event_trigger
    union all
    select xmin
    from pg_default_acl
    union all
    select xmin
    from pg_largeobject_metadata
    union all
    select setting.xmin
    from pg_db_role_setting as setting
    inner join pg_database as here on setting.setdatabase = here.oid
    where here.datname = current_database()
)

select
    format('%%s %%s', count(*), sum(xmin::text::bigint)) as shape,
    (
        select sum(pg_total_relation_size(relation.oid))
        from pg_class as relation
        where relation.relkind = 'r' and relation.oid >= 16384
    ) as size_bytes
from written;

-- name: act_as_replica
-- No trigger fires any more, neither those that refuse changes nor those of foreign keys.
set session_replication_role = replica;

-- name: empty_tables
-- Deletes, because to truncate makes new files, which takes longer than the test. What migrations
-- wrote about themselves stays.
do $$
declare
    relation text;
begin
    for relation in
        select format('%I.%I', known.schemaname, known.tablename)
        from pg_tables as known
        where
            known.schemaname not in ('pg_catalog', 'information_schema')
            and known.tablename <> 'schema_migrations'
        order by known.schemaname, known.tablename
    loop
        execute 'delete from ' || relation;
    end loop;

    perform setval(format('%I.%I', known.schemaname, known.sequencename), known.start_value, false)
    from pg_sequences as known;
end
$$;
