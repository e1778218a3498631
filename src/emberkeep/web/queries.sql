-- Statements of the HTTP front. Each is called by the store function of the same name.

-- name: insert_key
-- Waits while another transaction holds the same key. Answers no row when the key was used before.
insert into web.idempotency_keys (
    subject,
    idempotency_key,
    method_path,
    request_hash,
    created_at
)
values (
    %(subject)s,
    %(idempotency_key)s,
    %(method_path)s,
    %(request_hash)s,
    %(now)s
)
on conflict on constraint pk_idempotency_keys do nothing
returning true;

-- name: find_key
select
    method_path,
    request_hash,
    status,
    headers,
    body
from web.idempotency_keys
where
    subject = %(subject)s
    and idempotency_key = %(idempotency_key)s;

-- name: store_answer
-- In the transaction that inserted the key, so that nobody ever sees a key without its answer.
update web.idempotency_keys
set
    status = %(status)s,
    headers = %(headers)s::jsonb,
    body = %(body)s
where
    subject = %(subject)s
    and idempotency_key = %(idempotency_key)s;

-- name: delete_expired_keys
-- Skips rows that are locked, so that several processes can sweep at once. Answers a row per key.
delete from web.idempotency_keys
where
    (subject, idempotency_key) in (
        select
            expired.subject,
            expired.idempotency_key
        from web.idempotency_keys as expired
        where expired.created_at < %(created_before)s
        order by expired.created_at
        limit %(max_rows)s
        for update skip locked
    )
returning true;
