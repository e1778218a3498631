-------------------------------------------------------------------------------
-- XP: seasons
-------------------------------------------------------------------------------

create table ${schema}.xp_seasons (
    season_id text not null,
    display_name text not null,
    start_date date not null,
    end_date date not null,
    created_at timestamptz not null default ${schema}.now_utc(),
    created_by text not null,
    constraint xp_seasons_pk primary key (season_id),
    constraint xp_seasons_dates_chk check (end_date >= start_date),
    constraint xp_seasons_no_overlap exclude using gist (
        daterange(start_date, end_date, '[]') with &&
    )
);

comment on table ${schema}.xp_seasons is 'The calendar of seasons, in reward days; never two at once.';
comment on column ${schema}.xp_seasons.end_date is 'The last reward day of the season, included.';
