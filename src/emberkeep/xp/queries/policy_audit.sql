-- Who did what to a policy, and why: written with every step, and never changed.

-- name: insert_audit
-- Who did what to a policy.
insert into xp.xp_policy_audit (
    policy_key,
    policy_version,
    step,
    actor,
    reason,
    details,
    created_at
)
values (
    %(policy_key)s,
    %(policy_version)s,
    %(step)s,
    %(actor)s,
    %(reason)s,
    %(details)s::jsonb,
    %(now)s
);

-- name: list_policy_audit
-- The steps of one policy before a position, newest first; those of a deleted one, too.
select
    entry.audit_id,
    entry.policy_version,
    entry.step,
    entry.actor,
    entry.reason,
    entry.details::text,
    entry.created_at
from xp.xp_policy_audit as entry
where
    entry.policy_key = %(policy_key)s
    and entry.audit_id < %(before_id)s
order by entry.audit_id desc
limit %(max_rows)s;

-- name: read_last_version_number
-- The highest number that a version of this policy ever had, deleted drafts included; 0 for none.
select greatest(
    (
        select max(version.policy_version)
        from xp.xp_policy_versions as version
        where version.policy_key = %(policy_key)s
    ),
    (
        select max(entry.policy_version)
        from xp.xp_policy_audit as entry
        where entry.policy_key = %(policy_key)s
    ),
    0
);
