-- Leaderboards. A position is a score and a player; boards go from the greatest down. A score above
-- 0 is asked for by itself: the indexes hold no others.

-- name: list_scores_below
-- The scores behind a position, best first.
select
    standing.score,
    standing.user_id,
    player.external_user_id
from (
    select
        standing.score,
        standing.user_id
    from xp.xp_standings as standing
    where
        standing.board = %(board)s
        and standing.season_id = %(season_id)s
        and standing.score > 0
        and (standing.score, standing.user_id) < (%(score)s, %(user_id)s)
    order by standing.score desc, standing.user_id desc
    limit %(max_rows)s
) as standing
inner join xp.xp_users as player on standing.user_id = player.user_id
order by standing.score desc, standing.user_id desc;

-- name: list_scores_above
-- The scores in front of a position, nearest first.
select
    standing.score,
    standing.user_id,
    player.external_user_id
from (
    select
        standing.score,
        standing.user_id
    from xp.xp_standings as standing
    where
        standing.board = %(board)s
        and standing.season_id = %(season_id)s
        and standing.score > 0
        and (standing.score, standing.user_id) > (%(score)s, %(user_id)s)
    order by standing.score asc, standing.user_id asc
    limit %(max_rows)s
) as standing
inner join xp.xp_users as player on standing.user_id = player.user_id
order by standing.score asc, standing.user_id asc;

-- name: count_scores_above
-- How many stand between two positions, the upper one included; no more than asked for is counted,
-- and which these are does not matter.
select count(*) as scores
from (
    select 1
    from xp.xp_standings as standing
    where
        standing.board = %(board)s
        and standing.season_id = %(season_id)s
        and standing.score > 0
        and (standing.score, standing.user_id) > (%(score)s, %(user_id)s)
        and (standing.score, standing.user_id) <= (%(top_score)s, %(top_user_id)s)
    limit %(max_rows)s -- noqa: AM09
) as standing;

-- name: read_score
-- One row, or none when the player is unknown; the score is 0 for one who is not on the board.
select
    coalesce(standing.score, 0) as score,
    player.user_id,
    player.external_user_id
from xp.xp_users as player
left join xp.xp_standings as standing
    on
        player.user_id = standing.user_id
        and standing.board = %(board)s
        and standing.season_id = %(season_id)s
where player.external_user_id = %(player_id)s;

-- name: read_rank_marker
-- The nearest marker at a position or in front of it; or none.
select
    marker.place,
    marker.score,
    marker.user_id,
    marker.as_of
from xp.xp_rank_markers as marker
where
    marker.board = %(board)s
    and marker.season_id = %(season_id)s
    and (marker.score, marker.user_id) >= (%(score)s, %(user_id)s)
order by marker.place desc
limit 1;

-- name: lock_rank_markers
-- Whether the markers of this board are ours to write until the transaction ends.
select pg_try_advisory_xact_lock(
    hashtextextended('xp_rank_markers ' || %(board)s || ' ' || %(season_id)s, 0)
) as is_ours;

-- name: delete_rank_markers
delete from xp.xp_rank_markers as marker
where
    marker.board = %(board)s
    and marker.season_id = %(season_id)s;

-- name: insert_rank_markers
-- Reads the whole board by its index, in order.
insert into xp.xp_rank_markers (board, season_id, place, score, user_id, as_of)
select
    %(board)s,
    %(season_id)s,
    standing.place,
    standing.score,
    standing.user_id,
    %(now)s
from (
    select
        standing.score,
        standing.user_id,
        row_number() over (order by standing.score desc, standing.user_id desc) - 1 as place
    from xp.xp_standings as standing
    where
        standing.board = %(board)s
        and standing.season_id = %(season_id)s
        and standing.score > 0
) as standing
where mod(standing.place, %(every)s) = 0;
