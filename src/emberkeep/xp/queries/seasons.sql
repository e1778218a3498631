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

-- name: has_claims_after
-- Whether any player has claimed a reward day after this one. Reads every streak: for rare use.
select exists(
    select 1
    from xp.xp_streaks as streak
    where streak.last_reward_day_id > %(reward_day_id)s
);
