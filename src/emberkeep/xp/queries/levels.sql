-- Level curves, and the highest level of a player that was announced.

-- name: read_level_curve
-- One row, or none when the policy has no level curve.
select
    curve.policy_key,
    curve.thresholds,
    curve.revision
from xp.xp_level_curves as curve
where curve.policy_key = %(policy_key)s;

-- name: insert_level_curve
-- Of a policy that has none, and is locked. Revisions go on where those of a deleted curve ended,
-- so that nobody who has seen that one takes this one for it.
insert into xp.xp_level_curves (
    policy_key,
    thresholds,
    revision,
    created_at,
    created_by,
    updated_at,
    updated_by
)
select
    %(policy_key)s,
    %(thresholds)b::bigint[],
    coalesce(max((audit.details ->> 'revision')::int), 0) + 1 as revision,
    %(now)s as created_at,
    %(actor)s as created_by,
    %(now)s as updated_at,
    %(actor)s as updated_by
from xp.xp_catalogue_audit as audit
where
    audit.subject = 'level_curve'
    and audit.subject_key = %(policy_key)s;

-- name: update_level_curve
-- Counts the edit. The policy must be locked.
update xp.xp_level_curves
set
    thresholds = %(thresholds)b::bigint[],
    revision = revision + 1,
    updated_at = %(now)s,
    updated_by = %(actor)s
where policy_key = %(policy_key)s;

-- name: delete_level_curve
-- What was announced under it stays announced.
delete from xp.xp_level_curves
where policy_key = %(policy_key)s;

-- name: read_highest_level
-- The highest level of a policy that was announced to a player; null where none was. Whoever would
-- announce another has locked the balance by writing into the ledger.
select (balance.highest_levels ->> %(policy_key)s)::int as highest_level
from xp.xp_users as player
inner join xp.xp_balance as balance on player.user_id = balance.user_id
where player.external_user_id = %(player_id)s;

-- name: update_highest_level
-- Remembers that this level, and all below it, were announced. The balance must be locked.
update xp.xp_balance as balance
set
    highest_levels
    = balance.highest_levels || jsonb_build_object(%(policy_key)s::text, %(level)s::int)
from xp.xp_users as player
where
    balance.user_id = player.user_id
    and player.external_user_id = %(player_id)s;

-- name: stream_highest_levels
-- Every player to whom a level was announced, in order of the bytes of the player's stream.
select
    player.external_user_id,
    balance.highest_levels::text
from xp.xp_balance as balance
inner join xp.xp_users as player on balance.user_id = player.user_id
where balance.highest_levels <> '{}'
order by convert_to(player.external_user_id, 'UTF8');
