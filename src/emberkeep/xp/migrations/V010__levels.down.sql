-------------------------------------------------------------------------------
-- Takes back V010: there are no levels
-------------------------------------------------------------------------------

alter table ${schema}.xp_balance drop column highest_levels;

drop table ${schema}.xp_level_curves;
