-------------------------------------------------------------------------------
-- Idempotency keys: calls that must happen once, and what they were answered
-------------------------------------------------------------------------------

create schema if not exists ${schema};

create table ${schema}.idempotency_keys (
    subject text not null,
    idempotency_key text not null,
    method_path text not null,
    request_hash bytea not null,
    status integer null,
    headers jsonb null,
    body bytea null,
    created_at timestamptz not null,
    constraint pk_idempotency_keys primary key (subject, idempotency_key),
    constraint ck_idempotency_keys_length check (
        char_length(idempotency_key) between 1 and 255
    ),
    constraint ck_idempotency_keys_answer check (
        (status is null) = (headers is null) and (status is null) = (body is null)
    )
);

-- Serves delete_expired_keys.
create index ix_idempotency_keys_created_at on ${schema}.idempotency_keys (created_at);

comment on table ${schema}.idempotency_keys is 'One row per Idempotency-Key, written in the transaction of the effect it stands for; kept for a day.';
comment on column ${schema}.idempotency_keys.subject is 'Who sent the key: two callers may choose the same one.';
comment on column ${schema}.idempotency_keys.request_hash is 'SHA-256 of the body, which tells a retry from a key that is used twice.';
comment on column ${schema}.idempotency_keys.status is 'Null only inside the transaction that is still at work; nobody else sees that.';
comment on column ${schema}.idempotency_keys.body is 'The answer as it was sent; may hold what the caller may see of a player.';

-------------------------------------------------------------------------------
-- The role that runs the service
-------------------------------------------------------------------------------

do $$
begin
    if not exists (select 1 from pg_roles where rolname = 'emberkeep_service') then
        create role emberkeep_service nologin;
    end if;
exception
    when duplicate_object or unique_violation then null;
end
$$;

grant usage on schema ${schema} to emberkeep_service;
grant select on all tables in schema ${schema} to emberkeep_service;
grant insert, update, delete on ${schema}.idempotency_keys to emberkeep_service;
