-------------------------------------------------------------------------------
-- Takes back V008: segments are what a player's segment_key says
-------------------------------------------------------------------------------

revoke update, delete on ${schema}.xp_seasons from emberkeep_service;

drop table ${schema}.xp_catalogue_audit;
drop table ${schema}.xp_segment_members;
drop table ${schema}.xp_segments;
