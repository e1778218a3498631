-- Who did what to segments, seasons and level curves, and why.

-- name: insert_catalogue_audit
-- Who did what to a segment, a season or a level curve, and why.
insert into xp.xp_catalogue_audit (
    subject,
    subject_key,
    step,
    actor,
    reason,
    details,
    created_at
)
values (
    %(subject)s,
    %(subject_key)s,
    %(step)s,
    %(actor)s,
    %(reason)s,
    %(details)s::jsonb,
    %(now)s
);
