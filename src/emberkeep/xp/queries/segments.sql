-- Segments: what they are, who was put into them, and players picked by chance.

-- name: list_segments
-- One segment, or all, by key. Every process holds them.
select
    segment.segment_key,
    segment.display_name,
    segment.description,
    segment.rule,
    segment.revision,
    segment.created_at,
    segment.created_by,
    segment.updated_at,
    segment.updated_by
from xp.xp_segments as segment
where
    %(segment_key)s::text is null
    or segment.segment_key = %(segment_key)s
order by segment.segment_key;

-- name: lock_segment
-- Locks the segment's row and returns its revision. No row: there is no such segment.
select segment.revision
from xp.xp_segments as segment
where segment.segment_key = %(segment_key)s
for update of segment;

-- name: insert_segment
-- No row: there is a segment of this key already.
insert into xp.xp_segments (
    segment_key,
    display_name,
    description,
    rule,
    revision,
    created_at,
    created_by,
    updated_at,
    updated_by
)
values (
    %(segment_key)s,
    %(display_name)s,
    %(description)s,
    %(rule)s,
    1,
    %(now)s,
    %(actor)s,
    %(now)s,
    %(actor)s
)
on conflict (segment_key) do nothing
returning 1 as created;

-- name: update_segment
-- The segment must be locked.
update xp.xp_segments
set
    display_name = %(display_name)s,
    description = %(description)s,
    rule = %(rule)s,
    revision = revision + 1,
    updated_at = %(now)s,
    updated_by = %(actor)s
where segment_key = %(segment_key)s;

-- name: delete_segment
-- The segment, which must be locked. Its members go with it.
delete from xp.xp_segments
where segment_key = %(segment_key)s;

-- name: list_segment_policies
-- Policies that have an override for the segment.
select override.policy_key
from xp.xp_policy_segment_overrides as override
where override.segment_key = %(segment_key)s
order by override.policy_key;

-- name: insert_members
-- One row per id that was asked for: whether such a player exists, and whether they are new here.
with wanted as (
    select distinct wish.player_id
    from unnest(%(player_ids)s::text[]) as wish (player_id)
),

known as (
    select
        player.user_id,
        player.external_user_id
    from xp.xp_users as player
    inner join wanted on player.external_user_id = wanted.player_id
    -- They stay until this is committed, and batches lock them in one order.
    order by player.user_id
    for key share of player
),

added as (
    insert into xp.xp_segment_members (user_id, segment_key, added_at, added_by)
    select
        known.user_id,
        %(segment_key)s,
        %(now)s,
        %(actor)s
    from known
    on conflict (user_id, segment_key) do nothing
    returning user_id
)

select
    wanted.player_id,
    known.user_id is not null as is_known,
    added.user_id is not null as is_changed
from wanted
left join known on wanted.player_id = known.external_user_id
left join added on known.user_id = added.user_id
order by wanted.player_id;

-- name: delete_members
-- One row per id that was asked for: whether such a player exists, and whether they were in it.
with wanted as (
    select distinct wish.player_id
    from unnest(%(player_ids)s::text[]) as wish (player_id)
),

known as (
    select
        player.user_id,
        player.external_user_id
    from xp.xp_users as player
    inner join wanted on player.external_user_id = wanted.player_id
),

deleted as (
    delete from xp.xp_segment_members as member
    using known
    where
        member.user_id = known.user_id
        and member.segment_key = %(segment_key)s
    returning member.user_id
)

select
    wanted.player_id,
    known.user_id is not null as is_known,
    deleted.user_id is not null as is_changed
from wanted
left join known on wanted.player_id = known.external_user_id
left join deleted on known.user_id = deleted.user_id
order by wanted.player_id;

-- name: list_segment_members
-- A page in order of user, which is the order of xp_segment_members_segment_idx.
select
    player.external_user_id,
    member.added_at,
    member.added_by
from xp.xp_segment_members as member
inner join xp.xp_users as player on member.user_id = player.user_id
where
    member.segment_key = %(segment_key)s
    and (
        %(after)s::text is null
        or member.user_id > (
            select last_seen.user_id
            from xp.xp_users as last_seen
            where last_seen.external_user_id = %(after)s
        )
    )
order by member.user_id
limit %(max_rows)s;

-- name: count_players
-- How many players there are, and between which ids; nulls where there are none.
select
    count(*) as players,
    min(player.user_id) as first_user_id,
    max(player.user_id) as last_user_id
from xp.xp_users as player;

-- name: list_first_players
-- As many as may be read, the longest known first.
select player.external_user_id
from xp.xp_users as player
order by player.user_id
limit %(max_rows)s;

-- name: list_players_by_user
-- Those of these ids that exist.
select player.external_user_id
from xp.xp_users as player
where player.user_id = any(%(user_ids)s::bigint[])
order by player.user_id;

-- name: list_segment_overrides
-- Which version the players of a segment get, of every policy, in the order they are asked in.
select
    override.policy_key,
    override.segment_key,
    override.target_policy_version,
    override.priority
from xp.xp_policy_segment_overrides as override
order by override.policy_key asc, override.priority desc, override.segment_key asc;

-- name: update_override_priorities
-- Of one policy, which must be locked.
update xp.xp_policy_segment_overrides as override
set priority = wish.priority
from
    unnest(
        %(segment_keys)s::text[],
        %(priorities)s::int[]
    ) as wish (segment_key, priority)
where
    override.policy_key = %(policy_key)s
    and override.segment_key = wish.segment_key;
