-- The archive: rows on their way into files, and out of the tables.

-- name: stream_archive_rows
-- Every ledger row older than an instant, with its award if a claim wrote it, by player in the
-- order in which they were written, and with what the player's rows archived before add up to. What
-- stays: a player's last award with its row, and what was written after the first row that stays.
with boundary as (
    select
        streak.user_id,
        least(
            (
                select min(young.ledger_id)
                from xp.xp_ledger as young
                where
                    young.user_id = streak.user_id
                    and young.created_at >= %(before)s
            ),
            last_claim.ledger_id
        ) as stays_from
    from xp.xp_streaks as streak
    left join xp.xp_awards as last_award
        on
            streak.user_id = last_award.user_id
            and streak.last_reward_day_id = last_award.reward_day_id
    left join xp.xp_ledger as last_claim on last_award.receipt_id = last_claim.correlation_id
)

select
    entry.user_id,
    entry.ledger_id,
    entry.amount,
    entry.reason,
    entry.correlation_id::text,
    entry.policy_key,
    entry.policy_version,
    entry.season_id,
    entry.metadata::text,
    entry.balance_after,
    entry.reverses_ledger_id,
    entry.created_at,
    award.award_id,
    award.reward_day_id,
    award.xp_awarded,
    award.streak_day,
    award.policy_key as award_policy_key,
    award.policy_version as award_policy_version,
    award.receipt_id::text,
    award.model_state_snapshot::text,
    award.created_at as awarded_at,
    ledger_before.through_ledger_id,
    ledger_before.ledger_rows,
    ledger_before.current_balance,
    ledger_before.lifetime_xp,
    ledger_before.seasonal_xp,
    ledger_before.season_id as season_before,
    ledger_before.season_totals::text,
    coalesce(awards_before.award_rows, 0) as award_rows
from boundary
inner join xp.xp_ledger as entry on boundary.user_id = entry.user_id
left join xp.xp_awards as award
    on
        entry.user_id = award.user_id
        and entry.correlation_id = award.receipt_id
        and entry.reason = 'DAILY_LOGIN'
left join xp.xp_ledger_carried as ledger_before on boundary.user_id = ledger_before.user_id
left join xp.xp_awards_carried as awards_before on boundary.user_id = awards_before.user_id
where
    entry.created_at < %(before)s
    and (boundary.stays_from is null or entry.ledger_id < boundary.stays_from)
order by entry.user_id, entry.ledger_id;

-- name: lock_archives
-- Whether nobody else archives until this session ends or gives it back.
select pg_try_advisory_lock(hashtextextended('xp_archives', 0)) as is_ours;

-- name: unlock_archives
select pg_advisory_unlock(hashtextextended('xp_archives', 0)) as was_ours;

-- name: read_unfinished_archive
-- One row, or none.
select
    archive.archive_id::text,
    archive.archived_before,
    archive.location,
    archive.state,
    archive.manifest_sha256
from xp.xp_archives as archive
where archive.state <> 'deleted';

-- name: insert_archive
-- In state writing. Refused where another is unfinished: xp_archives_unfinished_uidx.
insert into xp.xp_archives (
    archive_id,
    archived_before,
    location,
    actor,
    reason,
    started_at
)
values (
    %(archive_id)s,
    %(before)s,
    %(location)s,
    %(actor)s,
    %(reason)s,
    %(now)s
);

-- name: forget_archive
-- Only one whose files were never finished: nothing was deleted for it.
delete from xp.xp_archives as archive
where
    archive.archive_id = %(archive_id)s
    and archive.state = 'writing';

-- name: mark_archive_written
update xp.xp_archives as archive
set
    state = 'written',
    manifest_sha256 = %(manifest_sha256)s,
    players = %(players)s,
    ledger_rows = %(ledger_rows)s,
    award_rows = %(award_rows)s,
    net_xp = %(net_xp)s
where
    archive.archive_id = %(archive_id)s
    and archive.state = 'writing';

-- name: mark_archive_deleted
update xp.xp_archives as archive
set
    state = 'deleted',
    finished_at = %(now)s
where
    archive.archive_id = %(archive_id)s
    and archive.state = 'written';

-- name: archive_rows
-- Deletes the rows of some players, as far as the archive has them; answers how many ledger rows.
select xp.archive_rows(%(archive_id)s::uuid, %(states)s::jsonb) as deleted;
