"""What differs between a live schema and its files is found, and named line by line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emberkeep.migrate import service
from emberkeep.migrate.model import Comparison

if TYPE_CHECKING:
    import datetime

    import psycopg
    from conftest import WriteSet

# One of everything. The name of the schema also stands in texts, where no token can be put back.
EVERYTHING = """
create type ${schema}.size as enum ('small', 'large');
create domain ${schema}.price as numeric(18, 2) check (value >= 0);
create sequence ${schema}.number increment by 2;
create function ${schema}.now_utc() returns timestamptz
language sql stable as $$ select now() $$;
create function ${schema}.touch() returns trigger language plpgsql
set search_path = ${schema}, pg_temp
as $$ begin perform ${schema}.now_utc(), '${schema}.kind'; return new; end $$;
create table ${schema}.maker (
    maker_id bigint generated always as identity,
    name text not null collate "C",
    constraint maker_pk primary key (maker_id)
);
create table ${schema}.item (
    item_id bigint not null,
    maker_id bigint,
    kind text not null default '${schema}.kind',
    size ${schema}.size,
    price ${schema}.price,
    twice numeric generated always as (price * 2) stored,
    made_at timestamptz not null default ${schema}.now_utc(),
    constraint item_pk primary key (item_id),
    constraint item_maker_fk foreign key (maker_id) references ${schema}.maker (maker_id),
    constraint item_kind_chk check (kind like '${schema}.%')
) with (fillfactor = 80);
create index item_made_at_idx on ${schema}.item (made_at desc) where price > 0;
create trigger item_touch before update on ${schema}.item
for each row execute function ${schema}.touch();
create view ${schema}.cheap as select item_id from ${schema}.item where price < 1;
alter table ${schema}.item enable row level security;
create policy item_maker on ${schema}.item for select using (maker_id = 1);
grant select (item_id) on ${schema}.item to public;
create table ${schema}.log (at timestamptz not null) partition by range (at);
create table ${schema}.log_rest partition of ${schema}.log default;
create statistics ${schema}.item_stats on maker_id, kind from ${schema}.item;
comment on table ${schema}.item is 'An item.';
"""

DRIFT = {
    "added column": ("alter table shop.item add rogue text", "+ column item.rogue text"),
    "dropped column default": (
        "alter table shop.item alter kind drop default",
        "+ column item.kind text not null",
    ),
    "changed foreign key": (
        "alter table shop.item drop constraint item_maker_fk, add constraint item_maker_fk"
        " foreign key (maker_id) references shop.maker (maker_id) on delete cascade",
        "+ constraint item_maker_fk on item: FOREIGN KEY (maker_id) REFERENCES maker(maker_id)"
        " ON DELETE CASCADE",
    ),
    "dropped check": (
        "alter table shop.item drop constraint item_kind_chk",
        "- constraint item_kind_chk",
    ),
    "dropped index": ("drop index shop.item_made_at_idx", "- index item_made_at_idx"),
    "disabled trigger": (
        "alter table shop.item disable trigger item_touch",
        "+ trigger item_touch on item disabled",
    ),
    "disabled foreign key": (
        "alter table shop.item disable trigger all",
        "+ trigger of item_maker_fk on item disabled",
    ),
    "new grant on a table": ("grant insert on shop.item to public", "+ grant INSERT on table item"),
    "new grant on the schema": (
        "grant usage on schema shop to public",
        "+ grant USAGE on schema to public",
    ),
    "grant taken back": (
        "revoke execute on function shop.touch() from public",
        "- grant EXECUTE on routine touch() to public",
    ),
    "changed policy": (
        "alter policy item_maker on shop.item using (true)",
        "+ policy item_maker on item: permissive for select to public using (true)",
    ),
    "row security off": ("alter table shop.item disable row level security", "+ table item"),
    "row security forced": (
        "alter table shop.item force row level security",
        "+ table item with fillfactor=80 row security forced",
    ),
    "changed function": (
        "create or replace function shop.now_utc() returns timestamptz"
        " language sql stable as $$ select clock_timestamp() $$",
        "+ routine now_utc(): ",
    ),
    "changed view": (
        "create or replace view shop.cheap as select item_id from shop.item where price < 2",
        "+ view cheap: ",
    ),
    "added label": ("alter type shop.size add value 'huge'", "+ enum size: "),
    "changed domain": ("alter domain shop.price set default 1", "+ domain price: "),
    "changed sequence": ("alter sequence shop.number cycle", "+ sequence number bigint start"),
    "changed setting": ("alter table shop.item reset (fillfactor)", "+ table item row security"),
    "new table": ("create table shop.rogue ()", "+ table rogue"),
    "dropped statistics": ("drop statistics shop.item_stats", "- statistics item_stats"),
}


@pytest.mark.parametrize(("change", "line"), DRIFT.values(), ids=DRIFT.keys())
async def test_drift_is_found_and_named(
    empty_database: str,
    conn: psycopg.Connection,
    now: datetime.datetime,
    write_set: WriteSet,
    change: str,
    line: str,
):
    shop = write_set({"V001__everything.sql": EVERYTHING})
    await service.apply_migrations(empty_database, sets=(shop,), now=now)
    (clean,) = await service.verify_schemas(empty_database, sets=(shop,))
    assert (clean.findings, clean.compared_with, clean.note) == ((), Comparison.FILES, "")
    conn.execute(change.encode())
    (drifted,) = await service.verify_schemas(empty_database, sets=(shop,))
    assert drifted.compared_with == Comparison.FILES
    assert [f for f in drifted.findings if f.message.startswith(line)], drifted.findings


@pytest.mark.parametrize(("partition", "is_data"), [("log_p202601", True), ("log_other", False)])
async def test_a_partition_that_is_made_as_time_goes_by_is_data_and_no_drift(
    empty_database: str,
    conn: psycopg.Connection,
    now: datetime.datetime,
    write_set: WriteSet,
    partition: str,
    is_data: bool,
):
    shop = write_set({"V001__everything.sql": EVERYTHING})
    await service.apply_migrations(empty_database, sets=(shop,), now=now)
    conn.execute(
        f"create table shop.{partition} partition of shop.log".encode()
        + b" for values from ('2026-01-01') to ('2026-02-01')"
    )
    (verified,) = await service.verify_schemas(empty_database, sets=(shop,))
    assert (verified.findings == ()) is is_data


async def test_a_verification_leaves_no_trace(
    empty_database: str, conn: psycopg.Connection, now: datetime.datetime, write_set: WriteSet
):
    shop = write_set({"V001__everything.sql": EVERYTHING})
    await service.apply_migrations(empty_database, sets=(shop,), now=now)
    count = "select count(*), max(oid) from pg_class where relnamespace = 'shop'::regnamespace"
    before = conn.execute(count).fetchone()
    await service.verify_schemas(empty_database, sets=(shop,))
    assert conn.execute(count).fetchone() == before
    assert conn.execute(
        "select count(*) from pg_namespace where nspname like 'emberkeep%'"
    ).fetchone() == (0,)


async def test_where_the_files_cannot_be_replayed_the_last_reading_serves(
    empty_database: str, conn: psycopg.Connection, now: datetime.datetime, write_set: WriteSet
):
    conn.execute("create table public.legacy (); create table public.gone ()")
    shop = write_set(
        {
            "V001__table.sql": "create table ${schema}.item (id int);",
            "V002__legacy.sql": "alter table public.legacy rename to moved;",
        }
    )
    await service.apply_migrations(empty_database, sets=(shop,), now=now)
    (verified,) = await service.verify_schemas(empty_database, sets=(shop,))
    assert (verified.findings, verified.compared_with) == ((), Comparison.LAST_UP)
    assert "V002__legacy.sql:1:1: relation" in verified.note
    conn.execute("alter table shop.item add rogue int")
    (verified,) = await service.verify_schemas(empty_database, sets=(shop,))
    assert [f.message for f in verified.findings] == ["+ column item.rogue integer"]


async def test_a_schema_that_is_not_there_yet_is_clean(empty_database: str, write_set: WriteSet):
    shop = write_set({"V002__gap.sql": "select 1;"})
    (verified,) = await service.verify_schemas(empty_database, sets=(shop,))
    assert verified.compared_with == Comparison.NOTHING
    assert [(f.kind, f.version) for f in verified.findings] == [("gap", 1)]


async def test_two_schemas_of_one_set_have_one_fingerprint(
    empty_database: str, conn: psycopg.Connection, now: datetime.datetime, write_set: WriteSet
):
    # Without the texts in which a schema's name is data, and data differ.
    files = {"V001__everything.sql": EVERYTHING.replace("'${schema}.", "'fixed.")}
    schemas = ("shop", "tenant-7", "a" * 63)
    sets = [write_set(files, schema=schema) for schema in schemas]
    await service.apply_everywhere(empty_database, tenants=[(s,) for s in sets], now=now)
    assert len({await service.read_fingerprint(empty_database, s) for s in sets}) == 1
    conn.execute('alter table "tenant-7".item add rogue int')
    assert len({await service.read_fingerprint(empty_database, s) for s in sets}) == 2
