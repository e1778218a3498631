-- The statements of the migration engine. {schema} and {history} stand for identifiers, which
-- store.py composes: a name cannot be a parameter.
-- sqlfluff:templater:placeholder:param_regex:(%\(|\{)(?P<param_name>[a-z_]+)(\)s|\})

-- name: read_backend_id
-- The process that serves this statement; behind a pooler it changes, or is not the one greeted.
select pg_backend_pid();

-- name: set_session
-- Settings that every file relies on: nothing is found without its schema, and no clock of the
-- role's own cuts a long statement off.
select
    set_config('search_path', '', false) as search_path,
    set_config('statement_timeout', '0', false) as statement_timeout,
    set_config('lock_timeout', '0', false) as lock_timeout,
    set_config('idle_in_transaction_session_timeout', '0', false) as idle_timeout,
    set_config('standard_conforming_strings', 'on', false) as standard_conforming_strings;

-- name: watch_client
-- Ends a statement within half a second of its client's death; not every platform can.
set client_connection_check_interval = '500ms';

-- name: set_lock_timeout
-- For the rest of the transaction: how long a statement may queue for a lock.
select set_config('lock_timeout', %(timeout)s, true);

-- name: set_statement_timeout
-- For the rest of the transaction: how long a statement may run.
select set_config('statement_timeout', %(timeout)s, true);

-- name: defer_flush
-- For the rest of the transaction: its commit does not wait for the disk.
select set_config('synchronous_commit', 'off', true);

-- name: try_lock
-- True: this session is the schema's migrator until it unlocks or ends. Never waits.
select pg_try_advisory_lock(%(key)s);

-- name: unlock
-- Another may be the schema's migrator from now on.
select pg_advisory_unlock(%(key)s);

-- name: has_schema
-- Whether the schema is there; asked first, because `if not exists` wants rights all the same.
select count(*) > 0
from pg_catalog.pg_namespace
where nspname = %(schema)s;

-- name: create_schema
-- Needs the right to create in the database.
create schema if not exists {schema};

-- name: rename_schema
-- Only inside a transaction that is rolled back: it makes room for a replay of the files.
alter schema {schema} rename to {aside};

-- name: drop_schema
-- With everything in it, and everything elsewhere that depends on it.
drop schema if exists {schema} cascade;

-- name: create_history
-- The history of one schema. catalogue is the reading that the last run left, on its newest row.
create table if not exists {history} (
    module text not null,
    version int not null,
    name text not null,
    checksum text not null,
    state text not null,
    applied_at timestamptz not null,
    applied_by text not null,
    duration_ms int,
    catalogue text[],
    constraint schema_migrations_pk primary key (module, version),
    constraint schema_migrations_state_chk check (state in ('clean', 'dirty'))
);

-- name: comment_history
-- Says in the database itself what the table is.
comment on table {history} is 'Migrations applied to this schema; written by the engine alone.';

-- name: read_history
-- The versions of a set that were applied, in order; no table is no history.
select
    version,
    name,
    checksum,
    state,
    applied_at,
    applied_by,
    duration_ms
from {history}
where module = %(module)s
order by version;

-- name: write_entry
-- Records a version, or the end of one that was marked dirty.
insert into {history} (
    module,
    version,
    name,
    checksum,
    state,
    applied_at,
    applied_by,
    duration_ms
)
values (
    %(module)s,
    %(version)s,
    %(name)s,
    %(checksum)s,
    %(state)s,
    %(now)s,
    current_user,
    %(duration_ms)s
)
on conflict (module, version) do update set
    state = excluded.state,
    applied_at = excluded.applied_at,
    applied_by = excluded.applied_by,
    duration_ms = excluded.duration_ms;

-- name: delete_entry
-- Makes a version pending again.
delete from {history}
where
    module = %(module)s
    and version = %(version)s;

-- name: write_catalogue
-- Keeps the reading on the newest version alone; nothing happens where none is left.
update {history} as entry
set catalogue = case when entry.version = newest.version then %(lines)s::text[] end
from (
    select max(version) as version
    from {history}
    where module = %(module)s
) as newest
where
    entry.module = %(module)s
    and (entry.version = newest.version or entry.catalogue is not null);

-- name: read_written_catalogue
-- The reading that the last run left; empty when it left none.
select catalogue
from {history}
where
    module = %(module)s
    and catalogue is not null;

-- name: list_invalid_indexes
-- Indexes that PostgreSQL maintains but does not use: a concurrent build that did not end.
select index_class.relname::text
from pg_catalog.pg_index as index_row
inner join pg_catalog.pg_class as index_class on index_row.indexrelid = index_class.oid
inner join pg_catalog.pg_namespace as namespace on index_class.relnamespace = namespace.oid
where
    namespace.nspname = %(schema)s
    and not index_row.indisvalid
    -- A partitioned index is invalid until its last partition is attached; that is by design.
    and index_class.relkind = 'i'
order by index_class.relname;

-- name: drop_index
-- Outside a transaction; readers and writers go on meanwhile.
drop index concurrently if exists {index};

-- name: list_relation_ids
-- Everything that others may be using now; what a transaction makes itself is not among it.
select relation.oid
from pg_catalog.pg_class as relation
inner join pg_catalog.pg_namespace as namespace on relation.relnamespace = namespace.oid
where namespace.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
order by relation.oid;

-- name: list_locks
-- Locks of this transaction on the relations given.
select
    format('%%I.%%I', namespace.nspname, relation.relname) as relation,
    held.mode
from pg_catalog.pg_locks as held
inner join pg_catalog.pg_class as relation on held.relation = relation.oid
inner join pg_catalog.pg_namespace as namespace on relation.relnamespace = namespace.oid
where
    held.locktype = 'relation'
    and held.pid = pg_backend_pid()
    and held.granted
    and relation.oid = any(%(relation_ids)s)
order by relation, held.mode;

-- name: set_search_path
-- For the rest of the transaction: definitions name what is in this schema without it.
select set_config('search_path', quote_ident(%(schema)s), true);

-- name: read_catalogue
-- One line for each thing that the schema is made of, as text: a `name` would be cut at 63 bytes.
-- Owners and comments are not read: neither changes what a statement does.
with here as (
    select
        oid,
        nspacl,
        nspowner
    from pg_catalog.pg_namespace
    where nspname = %(schema)s
),

relations as (
    select
        relation.*,
        case relation.relkind
            when 'r' then 'table' when 'p' then 'partitioned table' when 'v' then 'view'
            when 'm' then 'materialized view' when 'S' then 'sequence'
            when 'c' then 'composite type' else 'foreign table'
        end as kind,
        case relation.relkind when 'S' then 's' else 'r' end::"char" as acl_kind -- noqa: RF06
    from pg_catalog.pg_class as relation
    inner join here on relation.relnamespace = here.oid
    where
        relation.relkind in ('r', 'p', 'v', 'm', 'S', 'c', 'f')
        and relation.relname <> 'schema_migrations'
        -- Partitions that a service makes as time goes by are data: their names end in `_p` and
        -- digits.
        and not (relation.relispartition and relation.relname ~ '_p[0-9]+$')
),

routines as (
    select
        routine.*,
        format(
            '%%s(%%s)', routine.proname, pg_get_function_identity_arguments(routine.oid)
        ) as signature
    from pg_catalog.pg_proc as routine
    inner join here on routine.pronamespace = here.oid
),

types as (
    select type.*
    from pg_catalog.pg_type as type
    inner join here on type.typnamespace = here.oid
    where type.typtype in ('e', 'd', 'r')
),

rights as (
    select
        'schema' as target,
        nspowner as owner,
        coalesce(nspacl, acldefault('n', nspowner)) as acl
    from here
    union all
    select
        format('%%s %%s', kind, relname) as target,
        relowner as owner,
        coalesce(relacl, acldefault(acl_kind, relowner)) as acl
    from relations
    where relkind <> 'c'
    union all
    select
        format('column %%s.%%s', relations.relname, attribute.attname) as target,
        relations.relowner as owner,
        attribute.attacl as acl
    from relations
    inner join pg_catalog.pg_attribute as attribute on relations.oid = attribute.attrelid
    where attribute.attacl is not null
    union all
    select
        format('routine %%s', signature) as target,
        proowner as owner,
        coalesce(proacl, acldefault('f', proowner)) as acl
    from routines
    union all
    select
        format('type %%s', typname) as target,
        typowner as owner,
        coalesce(typacl, acldefault('T', typowner)) as acl
    from types
)

select
    format(
        '%%s %%s%%s%%s%%s%%s%%s',
        kind,
        relname,
        case relpersistence when 'u' then ' unlogged' end,
        ' with ' || array_to_string(reloptions, ', '),
        ' partition by ' || pg_get_partkeydef(oid),
        ' partition ' || pg_get_expr(relpartbound, oid),
        case when relrowsecurity then ' row security' end
        || case when relforcerowsecurity then ' forced' else '' end
    ) as line
from relations
union all
select
    format(
        'column %%s.%%s %%s%%s%%s%%s%%s%%s',
        relations.relname,
        attribute.attname,
        format_type(attribute.atttypid, attribute.atttypmod),
        case when attribute.attnotnull then ' not null' end,
        ' identity ' || nullif(attribute.attidentity, '')::text,
        ' generated ' || nullif(attribute.attgenerated, '')::text,
        ' default ' || pg_get_expr(value.adbin, value.adrelid),
        ' collate ' || collated.collname::text
    )
from relations
inner join pg_catalog.pg_attribute as attribute on relations.oid = attribute.attrelid
left join pg_catalog.pg_attrdef as value
    on attribute.attrelid = value.adrelid and attribute.attnum = value.adnum
left join pg_catalog.pg_collation as collated
    on attribute.attcollation = collated.oid and collated.collname <> 'default'
where
    attribute.attnum > 0
    and not attribute.attisdropped
    and relations.relkind <> 'S'
union all
select
    format(
        'sequence %%s %%s start %%s by %%s from %%s to %%s%%s',
        relations.relname,
        format_type(sequence.seqtypid, null),
        sequence.seqstart,
        sequence.seqincrement,
        sequence.seqmin,
        sequence.seqmax,
        case when sequence.seqcycle then ' cycle' end
    )
from relations
inner join pg_catalog.pg_sequence as sequence on relations.oid = sequence.seqrelid
union all
select
    format(
        'constraint %%s on %%s: %%s',
        rule.conname,
        coalesce(relations.relname, types.typname),
        pg_get_constraintdef(rule.oid, true)
    )
from pg_catalog.pg_constraint as rule
left join relations on rule.conrelid = relations.oid
left join types on rule.contypid = types.oid
where
    rule.contype <> 't'
    and coalesce(relations.oid, types.oid) is not null
union all
select
    format(
        'index %%s%%s%%s: %%s',
        index_class.relname,
        case when not index_row.indisvalid then ' invalid' end,
        case when index_row.indisreplident then ' replica identity' end,
        pg_get_indexdef(index_row.indexrelid, 0, true)
    )
from relations
inner join pg_catalog.pg_index as index_row on relations.oid = index_row.indrelid
inner join pg_catalog.pg_class as index_class on index_row.indexrelid = index_class.oid
union all
select
    format(
        'trigger %%s on %%s %%s: %%s',
        -- The triggers behind a foreign key are called after its oid.
        coalesce('of ' || rule.conname::text, hook.tgname::text),
        relations.relname,
        case hook.tgenabled
            when 'D' then 'disabled' when 'R' then 'replica' when 'A' then 'always'
            else 'enabled'
        end,
        case
            when not hook.tgisinternal then pg_get_triggerdef(hook.oid, true)
            else format('foreign key, event %%s', hook.tgtype)
        end
    )
from relations
inner join pg_catalog.pg_trigger as hook on relations.oid = hook.tgrelid
left join pg_catalog.pg_constraint as rule
    on hook.tgconstraint = rule.oid and hook.tgisinternal
union all
select
    format(
        'policy %%s on %%s: %%s for %%s to %%s using (%%s) check (%%s)',
        guard.polname,
        relations.relname,
        case when guard.polpermissive then 'permissive' else 'restrictive' end,
        case guard.polcmd
            when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update'
            when 'd' then 'delete' else 'all'
        end,
        (
            select string_agg(coalesce(role.rolname, 'public'), ', ' order by role.rolname)
            from unnest(guard.polroles) as target (role_id)
            left join pg_catalog.pg_roles as role on target.role_id = role.oid
        ),
        pg_get_expr(guard.polqual, guard.polrelid),
        pg_get_expr(guard.polwithcheck, guard.polrelid)
    )
from relations
inner join pg_catalog.pg_policy as guard on relations.oid = guard.polrelid
union all
select format('view %%s: %%s', relname, pg_get_viewdef(oid, true))
from relations
where relkind in ('v', 'm')
union all
select
    format(
        'rule %%s on %%s: %%s',
        rewrite.rulename,
        relations.relname,
        pg_get_ruledef(rewrite.oid, true)
    )
from relations
inner join pg_catalog.pg_rewrite as rewrite on relations.oid = rewrite.ev_class
where rewrite.rulename <> '_RETURN'
union all
select format('statistics %%s: %%s', extended.stxname, pg_get_statisticsobjdef(extended.oid))
from pg_catalog.pg_statistic_ext as extended
inner join here on extended.stxnamespace = here.oid
union all
select
    format(
        'routine %%s: %%s',
        signature,
        case prokind
            when 'a' then 'aggregate ' || format_type(prorettype, null)
            else pg_get_functiondef(oid)
        end
    )
from routines
union all
select
    format(
        'domain %%s: %%s%%s%%s',
        typname,
        format_type(typbasetype, typtypmod),
        case when typnotnull then ' not null' end,
        ' default ' || typdefault
    )
from types
where typtype = 'd'
union all
select
    format(
        'enum %%s: %%s',
        types.typname,
        string_agg(quote_literal(label.enumlabel), ', ' order by label.enumsortorder)
    )
from types
inner join pg_catalog.pg_enum as label on types.oid = label.enumtypid
group by types.typname
union all
select format('range %%s of %%s', types.typname, format_type(span.rngsubtype, null))
from types
inner join pg_catalog.pg_range as span on types.oid = span.rngtypid
union all
select
    format(
        'grant %%s on %%s to %%s%%s',
        privilege.privilege_type,
        rights.target,
        case privilege.grantee
            when 0 then 'public'
            else pg_get_userbyid(privilege.grantee)::text
        end,
        case when privilege.is_grantable then ' with grant option' end
    )
from rights
cross join lateral aclexplode(rights.acl) as privilege
where privilege.grantee <> rights.owner;
