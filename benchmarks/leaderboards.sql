-- A million players with scores spread like those of a game that has run for a year: many who left
-- early, few who never missed a day. Written past the ledger: only reading is measured.

-- name: create_players
insert into xp.xp_users (external_user_id, reward_tz)
select
    'player-' || number,
    'UTC'
from generate_series(1, %(players)s) as number;

-- name: create_season
insert into xp.xp_seasons (season_id, display_name, start_date, end_date, created_by)
values ('bench', 'Bench', '2026-01-01', '2026-12-31', 'bench');

-- name: spread_balances
update xp.xp_balance
set
    current_balance = spread.xp,
    lifetime_xp = spread.xp,
    seasonal_xp = 1 + spread.xp / 4,
    season_id = 'bench'
from (
    select
        balance.user_id,
        1 + (40000 * power(random(), 3))::bigint as xp
    from xp.xp_balance as balance
) as spread
where xp_balance.user_id = spread.user_id;

-- name: spread_streaks
update xp.xp_streaks
set
    current_streak = 1,
    longest_streak = 1 + (364 * power(random(), 3))::int;

-- name: disturb
-- Every tenth player has claimed since the tables were vacuumed last.
update xp.xp_balance
set lifetime_xp = lifetime_xp + 100
where mod(user_id, 10) = 0;
