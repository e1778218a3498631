-------------------------------------------------------------------------------
-- Events may carry an id that their writer chose, so that an append can be retried
-------------------------------------------------------------------------------

alter table ${schema}.events add column event_uuid uuid null;

comment on column ${schema}.events.event_uuid is
'Chosen by the writer: an append with an id that the stream has already is a retry, and changes nothing.';
