-------------------------------------------------------------------------------
-- XP: segments of players, by rule or by hand
-------------------------------------------------------------------------------

create table ${schema}.xp_segments (
    segment_key text not null,
    display_name text not null,
    description text not null default '',
    rule text null,
    revision int not null default 1,
    created_at timestamptz not null default ${schema}.now_utc(),
    created_by text not null,
    updated_at timestamptz not null default ${schema}.now_utc(),
    updated_by text not null,
    constraint xp_segments_pk primary key (segment_key),
    constraint xp_segments_key_chk check (segment_key ~ '^[a-z0-9]+(-[a-z0-9]+)*$'),
    constraint xp_segments_rule_chk check (length(rule) between 1 and 4000)
);

comment on table ${schema}.xp_segments is 'Groups of players that policies can treat differently.';
comment on column ${schema}.xp_segments.rule is 'A CEL expression over what is known of a player; none: members by hand only.';
comment on column ${schema}.xp_segments.revision is 'Counts the edits: the ETag.';

create trigger xp_segments_touch_catalogue
after insert or update or delete on ${schema}.xp_segments
for each statement execute function ${schema}.touch_catalogue();

-------------------------------------------------------------------------------
-- Members by hand
-------------------------------------------------------------------------------

create table ${schema}.xp_segment_members (
    user_id bigint not null,
    segment_key text not null,
    added_at timestamptz not null default ${schema}.now_utc(),
    added_by text not null,
    constraint xp_segment_members_pk primary key (user_id, segment_key),
    constraint xp_segment_members_user_fk foreign key (user_id)
    references ${schema}.xp_users (user_id) on delete cascade,
    constraint xp_segment_members_segment_fk foreign key (segment_key)
    references ${schema}.xp_segments (segment_key) on delete cascade
);

-- Serves list_segment_members, and the foreign key.
create index xp_segment_members_segment_idx
on ${schema}.xp_segment_members (segment_key, user_id);

comment on table ${schema}.xp_segment_members is 'Players who are in a segment whatever its rule says; read with the player at every claim.';

-------------------------------------------------------------------------------
-- Who did what to the catalogue beside policies, and why
-------------------------------------------------------------------------------

create table ${schema}.xp_catalogue_audit (
    audit_id bigint generated always as identity,
    subject text not null,
    subject_key text not null,
    step text not null,
    actor text not null,
    reason text not null default '',
    details jsonb not null default '{}'::jsonb,
    created_at timestamptz not null default ${schema}.now_utc(),
    constraint xp_catalogue_audit_pk primary key (audit_id),
    constraint xp_catalogue_audit_subject_chk check (
        subject in ('segment', 'season', 'level_curve')
    )
);

-- Serves list_catalogue_audit: the life of one subject, newest first.
create index xp_catalogue_audit_subject_idx
on ${schema}.xp_catalogue_audit (subject, subject_key, audit_id desc);

comment on table ${schema}.xp_catalogue_audit is 'Every step in the lives of segments, seasons and level curves; append-only.';
comment on column ${schema}.xp_catalogue_audit.actor is 'Who did it: the subject of the token, or the command.';

create trigger xp_catalogue_audit_refuse_change
before update or delete or truncate on ${schema}.xp_catalogue_audit
for each statement execute function ${schema}.refuse_change();

grant select, insert, update, delete on
${schema}.xp_segments,
${schema}.xp_segment_members
to emberkeep_service;

grant select, insert on ${schema}.xp_catalogue_audit to emberkeep_service;

-- A season that has not begun can still be moved.
grant update, delete on ${schema}.xp_seasons to emberkeep_service;
