-- What was done to segments, seasons and level curves, as operators read it.

-- name: list_catalogue_audit
-- The steps in the life of one subject before a position, newest first.
select
    audit.audit_id,
    audit.step,
    audit.actor,
    audit.reason,
    audit.details::text,
    audit.created_at
from xp.xp_catalogue_audit as audit
where
    audit.subject = %(subject)s
    and audit.subject_key = %(subject_key)s
    and audit.audit_id < %(before_id)s
order by audit.audit_id desc
limit %(max_rows)s;
