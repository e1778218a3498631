-------------------------------------------------------------------------------
-- XP: a season and the claims under way know of each other
-------------------------------------------------------------------------------

-- A season is refused where players have claimed past its end. Claims that are being written cannot
-- be seen yet, so the season waits for them; those behind it wait for the season, and find that the
-- catalogue has moved on since they were decided.
create function ${schema}.wait_for_claims() returns trigger
language plpgsql
-- Claims wait behind this lock while it waits itself: rather give up and be tried again.
set lock_timeout = '1s'
as $$
begin
    lock table ${schema}.xp_streaks in share mode;
    return null;
end
$$;

comment on function ${schema}.wait_for_claims() is
'Lets no claim be written between the look at what was claimed and the commit of a season.';

create trigger xp_seasons_wait_for_claims
before insert or update or delete on ${schema}.xp_seasons
for each statement execute function ${schema}.wait_for_claims();
