-------------------------------------------------------------------------------
-- Takes back V006: seasons wait for nobody
-------------------------------------------------------------------------------

drop trigger xp_seasons_wait_for_claims on ${schema}.xp_seasons;
drop function ${schema}.wait_for_claims();
