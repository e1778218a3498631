-- The calendar, as operators change it.

-- name: insert_season
-- Refused where a season has the name, or some of the days: xp_seasons_pk, xp_seasons_no_overlap.
insert into xp.xp_seasons (
    season_id,
    display_name,
    start_date,
    end_date,
    created_at,
    created_by
)
values (
    %(season_id)s,
    %(display_name)s,
    %(start_date)s,
    %(end_date)s,
    %(now)s,
    %(actor)s
);

-- name: read_season
-- One row, or none when the season is unknown.
select
    season.season_id,
    season.display_name,
    season.start_date,
    season.end_date
from xp.xp_seasons as season
where season.season_id = %(season_id)s;

-- name: lock_season
-- As read_season; whoever else would change the season waits.
select
    season.season_id,
    season.display_name,
    season.start_date,
    season.end_date
from xp.xp_seasons as season
where season.season_id = %(season_id)s
for update of season;

-- name: hold_season
-- Whether the season is there; nobody takes it away before the transaction ends.
select season.season_id
from xp.xp_seasons as season
where season.season_id = %(season_id)s
for key share of season;

-- name: update_season
-- Refused where another season has some of the days: xp_seasons_no_overlap. The season must be
-- locked.
update xp.xp_seasons
set
    display_name = %(display_name)s,
    start_date = %(start_date)s,
    end_date = %(end_date)s
where season_id = %(season_id)s;

-- name: delete_season
-- The season must be locked.
delete from xp.xp_seasons
where season_id = %(season_id)s;

-- name: has_balances_of_season
-- Whether this season brought any player XP, now or before the balance moved on. Reads every
-- balance: for rare use.
select exists(
    select 1
    from xp.xp_balance as balance
    where balance.season_id = %(season_id)s
    union all
    select 1
    from xp.xp_season_results as result
    where result.season_id = %(season_id)s
);

-- name: has_claims_after
-- Whether any player has claimed a reward day after this one. Reads every streak: for rare use.
select exists(
    select 1
    from xp.xp_streaks as streak
    where streak.last_reward_day_id > %(reward_day_id)s
);
