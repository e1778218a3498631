"""The archive: what leaves the tables stands in files, and everything adds up as before."""

from __future__ import annotations

import contextlib
import datetime
import json
import random
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emberkeep.base.db import connect
from emberkeep.base.errors import Conflict
from emberkeep.xp.model import (
    ArchiveDamaged,
    ArchiveInvalid,
    ArchiveMissing,
    ArchiveRunning,
    EntryUnknown,
    Milestone,
    MilestoneMetaReward,
    PlayerId,
    ReversalWish,
)
from emberkeep.xp.service import archive, ledger, simulation, verify
from emberkeep.xp.service.reversal import reverse_entry
from tests.claiming import KEY, World, at, claim, make_policy, open_writer
from tests.conftest import lend_database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from emberkeep.base.db import Connection
    from emberkeep.base.postgres import EmbeddedServer
    from emberkeep.xp.model import ArchiveReport

LATER = at(400)
BALANCES = "select * from xp.xp_balance order by user_id"
STREAKS = "select * from xp.xp_streaks order by user_id"
LEDGER = "select ledger_id, user_id, amount, created_at from xp.xp_ledger order by 1"
AWARDS = "select award_id, user_id, xp_awarded, created_at from xp.xp_awards order by 1"


async def fill(world: World, *, seed: int, days: int = 70, players: int = 4) -> None:
    """Let players claim through two seasons with gaps, get grants, lose some, and have some undone."""
    rng = random.Random(seed)  # noqa: S311
    milestones = (Milestone(day=3, reward_type="badge", reward_value="three"),)
    world.publish(make_policy(MilestoneMetaReward(milestones=milestones), grace=(2, 2)))
    names = [f"p{number}" for number in range(players)]
    world.add_players(*names, "idle", "granted")
    world.add_season("s", 0, days // 2)
    world.add_season("t", days // 2 + 1, days)
    world.execute(
        "insert into xp.xp_ledger (user_id, amount, reason, correlation_id, policy_key,"
        " policy_version, created_at) select user_id, 9, 'GRANT', gen_random_uuid(), 'none', 0, %s"
        " from xp.xp_users where external_user_id = 'granted'",
        at(0),
    )
    async with open_writer(world.dsn) as conn:
        await _undo_a_debit(world, conn)
        for day in range(0, days, 2 if days > 50 else 1):
            for name in names:
                if rng.random() < 0.7:
                    await claim(conn, name, at(day, rng.randrange(24)))
                if rng.random() < 0.2:
                    with contextlib.suppress(psycopg.errors.CheckViolation):
                        _grant(world, rng, name, at(day, 23.9))
                if rng.random() < 0.15:
                    await _reverse_any(conn, rng, name, at(day, 23.95))


async def _undo_a_debit(world: World, conn: Connection) -> None:
    """Take XP from somebody and give it back: that counts for life as little as the debit did."""
    world.execute(
        "insert into xp.xp_ledger (user_id, amount, reason, correlation_id, policy_key,"
        " policy_version, created_at) select user_id, -4, 'GRANT', gen_random_uuid(), 'none', 0, %s"
        " from xp.xp_users where external_user_id = 'granted'",
        at(0),
    )
    entries = await ledger.list_entries(conn, player_id=PlayerId("granted"), limit=1, after=None)
    await _reverse(conn, entries.items[0].ledger_id, "granted", at(0, 13))


def _grant(world: World, rng: random.Random, name: str, instant: datetime.datetime) -> None:
    world.execute(
        "insert into xp.xp_ledger (user_id, amount, reason, correlation_id, policy_key,"
        " policy_version, season_id, metadata, created_at)"
        " select user_id, %s, 'GRANT', gen_random_uuid(), 'none', 0, %s, %s::jsonb, %s"
        " from xp.xp_users where external_user_id = %s",
        rng.choice([50, 7, -5, -60]),
        rng.choice([None, "s", "t"]),
        json.dumps({"affectsLifetime": True} if rng.random() < 0.3 else {}),
        instant,
        name,
    )


async def _reverse_any(
    conn: Connection, rng: random.Random, name: str, instant: datetime.datetime
) -> None:
    entries = await ledger.list_entries(conn, player_id=PlayerId(name), limit=9, after=None)
    if entries.items:
        with contextlib.suppress(Conflict):
            await _reverse(conn, rng.choice(entries.items).ledger_id, name, instant)


async def _reverse(conn: Connection, ledger_id: int, name: str, instant: datetime.datetime) -> None:
    await reverse_entry(
        conn,
        wish=ReversalWish(player_id=PlayerId(name), ledger_id=ledger_id),
        correlation_id=uuid.uuid4(),  # noqa: TID251 - as the edge would.
        level_curve=None,
        actor="test",
        now=instant,
    )


async def run_archive(
    dsn: str,
    out: Path,
    *,
    day: int,
    now: datetime.datetime = LATER,
    archive_id: str | None = None,
) -> ArchiveReport:
    """Archive what is older than a day after the first."""
    async with await connect(dsn) as conn:
        return await archive.archive_rows(
            conn,
            before=at(day, 0),
            out=out,
            archive_id=archive_id or str(uuid.uuid4()),  # noqa: TID251 - as the edge would.
            actor="test",
            reason="old",
            now=now,
            on_progress=lambda _, __: None,
        )


async def assert_verified(dsn: str) -> None:
    """Hold that every invariant of XP stands, by `emberkeep verify`."""
    async with await connect(dsn) as conn:
        checks = await verify.verify_xp(conn)
    assert {check.name: check.examples for check in checks if not check.is_clean} == {}


def read_files(out: Path, kind: str, columns: list[str]) -> list[tuple[Any, ...]]:
    """Return the rows of all files of a kind, in order."""
    rows = [
        tuple(row[name] for name in columns)
        for path in out.glob(f"xp-*/{kind}-*.parquet")
        for row in pq.read_table(path).to_pylist()
    ]
    return sorted(rows)


def assert_nothing_lost(world: World, out: Path, before: dict[str, list[tuple[Any, ...]]]) -> None:
    """Hold that each row stands in the files or in the tables, once, and figures stand as they did."""
    archived = read_files(out, "ledger", ["ledger_id", "user_id", "amount", "created_at"])
    assert sorted(archived + world.execute(LEDGER)) == before["ledger"]
    archived = read_files(out, "awards", ["award_id", "user_id", "xp_awarded", "created_at"])
    assert sorted(archived + world.execute(AWARDS)) == before["awards"]
    assert world.execute(BALANCES) == before["balances"]
    assert world.execute(STREAKS) == before["streaks"]


def remember(world: World) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row and figure of XP."""
    return {
        "ledger": world.execute(LEDGER),
        "awards": world.execute(AWARDS),
        "balances": world.execute(BALANCES),
        "streaks": world.execute(STREAKS),
    }


@given(seed=st.integers(0, 10**6), cuts=st.lists(st.integers(0, 40), min_size=1, max_size=3))
@settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_whatever_is_archived_everything_adds_up_as_before(
    make_world: Any, tmp_path: Path, seed: int, cuts: list[int]
) -> None:
    with make_world() as world:
        out = tmp_path / str(uuid.uuid4())  # noqa: TID251
        await fill(world, seed=seed, days=30, players=2)
        before = remember(world)
        for day in cuts:
            await run_archive(world.dsn, out, day=day)
            assert_nothing_lost(world, out, before)
            await assert_verified(world.dsn)
        for folder in out.iterdir():
            archive.verify_archive(folder)
        # Life goes on: with the streak, the season and the balance that stood before.
        async with open_writer(world.dsn) as conn:
            for player in ("p0", "idle"):
                await claim(conn, player, at(41))
        world.grant("granted", 5)
        await assert_verified(world.dsn)


@pytest.fixture
def make_world(postgres_server: EmbeddedServer, migrated_template: str) -> Any:
    """Lends a new database for each example."""

    @contextlib.contextmanager
    def lend() -> Iterator[World]:
        with lend_database(postgres_server, template=migrated_template) as name:
            yield World(postgres_server.dsn_for(name))

    return lend


@pytest.fixture(scope="module")
async def filled(postgres_server: EmbeddedServer, migrated_template: str) -> AsyncIterator[str]:
    """The name of a database of players with a history of seventy days; not to be written."""
    with lend_database(postgres_server, template=migrated_template) as name:
        await fill(World(postgres_server.dsn_for(name)), seed=1)
        yield name


@pytest.fixture
def world(postgres_server: EmbeddedServer, filled: str) -> Iterator[World]:
    """Players with a history of seventy days."""
    with lend_database(postgres_server, template=filled) as name:
        yield World(postgres_server.dsn_for(name))


async def test_the_manifest_says_what_is_in_the_files(world: World, tmp_path: Path) -> None:
    report = await run_archive(world.dsn, tmp_path, day=45)
    assert report.location is not None
    manifest = json.loads(Path(report.location, "manifest.json").read_text())
    names = {file["path"]: file for file in manifest["files"]}
    assert set(names) == {
        "awards-2026-03.parquet",
        "awards-2026-04.parquet",
        "ledger-2026-03.parquet",
        "ledger-2026-04.parquet",
        "players.parquet",
    }
    march = pq.read_table(Path(report.location, "ledger-2026-03.parquet"))
    said = names["ledger-2026-03.parquet"]
    amounts = march["amount"].to_pylist()
    assert (said["rows"], said["credits"] - said["debits"]) == (len(amounts), sum(amounts))
    assert (
        manifest["net_xp"]
        == report.net_xp
        == sum(amount for (amount,) in read_files(tmp_path, "ledger", ["amount"]))
    )
    ((told,),) = world.execute(
        "select row(state, actor, reason, ledger_rows, award_rows)::text from xp.xp_archives"
    )
    assert told == f"(deleted,test,old,{report.ledger_rows},{report.award_rows})"


async def test_a_dry_run_says_the_same_and_does_nothing(world: World, tmp_path: Path) -> None:
    before = remember(world)
    async with await connect(world.dsn) as conn:
        preview = await archive.preview_archive(conn, before=at(45, 0), now=LATER)
    assert remember(world) == before
    done = await run_archive(world.dsn, tmp_path, day=45)
    figures = ("players", "ledger_rows", "award_rows", "net_xp", "months")
    assert [getattr(preview, name) for name in figures] == [getattr(done, n) for n in figures]
    again = await run_archive(world.dsn, tmp_path, day=45)
    assert (again.location, again.ledger_rows) == (None, 0)


async def test_the_last_award_and_its_receipt_stay(world: World, tmp_path: Path) -> None:
    async with open_writer(world.dsn) as conn:
        for player in ("p0", "p1", "p2", "p3"):
            await claim(conn, player, at(80))
    await run_archive(world.dsn, tmp_path, day=390)
    assert world.execute("select count(*) from xp.xp_awards") == [(4,)]
    async with open_writer(world.dsn) as conn:
        receipt = await claim(conn, "p0", at(80, 13))
    assert receipt.status == "ALREADY_CLAIMED"
    assert world.execute("select count(*) from xp.xp_ledger where reason = 'DAILY_LOGIN'") == [(4,)]


async def test_an_archived_row_cannot_be_reversed(world: World, tmp_path: Path) -> None:
    ((ledger_id,),) = world.execute(
        "select min(ledger_id) from xp.xp_ledger join xp.xp_users using (user_id)"
        " where external_user_id = 'granted'"
    )
    await run_archive(world.dsn, tmp_path, day=45)
    async with await connect(world.dsn) as conn:
        with pytest.raises(EntryUnknown) as refused:
            await reverse_entry(
                conn,
                wish=ReversalWish(player_id=PlayerId("granted"), ledger_id=ledger_id),
                correlation_id=uuid.UUID(int=1),
                level_curve=None,
                actor="test",
                now=LATER,
            )
    assert refused.value.facts["archived_through"] > ledger_id


async def test_a_simulation_says_that_archived_claims_are_not_replayed(
    world: World, tmp_path: Path
) -> None:
    async def simulate() -> tuple[int, tuple[str, ...]]:
        async with await connect(world.dsn) as conn:
            lineup = await simulation.find_lineup(
                conn, versions=[(KEY, 1)], documents=[], now=LATER
            )
            found = await simulation.simulate_recorded_claims(
                conn,
                lineup,
                simulation.Span(),
                sample_percent=100,
                max_claims=None,
                on_progress=lambda _, __: None,
            )
        return found.versions[0].claims, found.notes

    claims, notes = await simulate()
    assert not notes
    report = await run_archive(world.dsn, tmp_path, day=45)
    ((day,),) = world.execute("select max(last_reward_day_id) from xp.xp_awards_carried")
    assert await simulate() == (
        claims - report.award_rows,
        (f"claims up to {day} were archived and are not replayed",),
    )


async def test_an_erased_player_leaves_nothing_and_the_archive_goes_on(
    world: World, tmp_path: Path
) -> None:
    await run_archive(world.dsn, tmp_path, day=20)
    world.execute("delete from xp.xp_users where external_user_id in ('p0', 'granted')")
    tables = ("xp_ledger", "xp_awards", "xp_ledger_carried", "xp_awards_carried")
    for table in tables:
        left = f"select count(*) from xp.{table} left join xp.xp_users u using (user_id)"  # noqa: S608
        assert world.execute(f"{left} where u.user_id is null") == [(0,)]
    await run_archive(world.dsn, tmp_path, day=45)
    await assert_verified(world.dsn)


async def test_a_player_erased_between_files_and_deletion_is_passed_over(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete = archive.store.archive_rows

    async def erase_and_delete(conn: Any, **how: Any) -> int:
        world.execute("delete from xp.xp_users where external_user_id = 'p1'")
        return await delete(conn, **how)

    monkeypatch.setattr(archive.store, "archive_rows", erase_and_delete)
    await run_archive(world.dsn, tmp_path, day=45)
    await assert_verified(world.dsn)


@pytest.mark.parametrize("name", ["ledger-2026-03.parquet", "players.parquet", "manifest.json"])
async def test_damage_to_a_file_is_found(world: World, tmp_path: Path, name: str) -> None:
    report = await run_archive(world.dsn, tmp_path, day=45)
    path = Path(str(report.location), name)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArchiveDamaged):
        archive.verify_archive(path.parent)
    path.unlink()
    with pytest.raises(ArchiveDamaged):
        archive.verify_archive(path.parent)


async def test_rows_stay_when_their_files_are_not_read_back_as_written(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = archive.gateway.write_manifest

    def write_and_damage(folder: Path, manifest: Any) -> None:
        write(folder, manifest)
        path = folder / "ledger-2026-03.parquet"
        path.write_bytes(path.read_bytes()[:-1])

    monkeypatch.setattr(archive.gateway, "write_manifest", write_and_damage)
    before = remember(world)
    with pytest.raises(ArchiveDamaged):
        await run_archive(world.dsn, tmp_path, day=45)
    assert remember(world) == before
    monkeypatch.undo()
    await run_archive(world.dsn, tmp_path, day=45)
    assert_nothing_lost(world, tmp_path, before)


async def test_a_row_that_is_not_as_archived_is_not_deleted(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete = archive.store.archive_rows

    async def change_and_delete(conn: Any, **how: Any) -> int:
        with psycopg.connect(world.dsn) as careless:
            careless.execute("set session_replication_role = replica")
            careless.execute("update xp.xp_ledger set amount = amount + 1")
        return await delete(conn, **how)

    monkeypatch.setattr(archive.store, "archive_rows", change_and_delete)
    rows = world.execute("select count(*) from xp.xp_ledger")
    with pytest.raises(psycopg.errors.IntegrityError, match="not what was archived"):
        await run_archive(world.dsn, tmp_path, day=45)
    assert world.execute("select count(*) from xp.xp_ledger") == rows


async def test_files_that_are_gone_stop_the_next_run_before_anything_is_lost(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any, **__: Any) -> int:
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(archive.store, "archive_rows", fail)
        with pytest.raises(ConnectionError):
            await run_archive(world.dsn, tmp_path, day=45)
    (folder,) = tmp_path.iterdir()
    folder.rename(tmp_path / "elsewhere")
    before = remember(world)
    with pytest.raises(ArchiveMissing):
        await run_archive(world.dsn, tmp_path, day=45)
    assert remember(world) == before
    (tmp_path / "elsewhere").rename(folder)
    report = await run_archive(world.dsn, tmp_path, day=45)
    assert (report.resumed, report.ledger_rows) == (str(folder), 0)
    assert_nothing_lost(world, tmp_path, before)


async def test_two_never_archive_at_once(world: World, tmp_path: Path) -> None:
    async with await connect(world.dsn) as conn:
        assert await archive.store.lock_archives(conn)
        with pytest.raises(ArchiveRunning):
            await run_archive(world.dsn, tmp_path, day=45)


async def test_what_is_too_young_or_has_no_place_is_refused(world: World, tmp_path: Path) -> None:
    with pytest.raises(ArchiveInvalid):
        await run_archive(world.dsn, tmp_path, day=45, now=at(46))
    (tmp_path / "file").write_text("")
    with pytest.raises(ArchiveInvalid):
        await run_archive(world.dsn, tmp_path / "file", day=45)
    assert world.execute("select count(*) from xp.xp_archives") == [(0,)]


async def test_the_service_deletes_through_the_archive_only(world: World) -> None:
    with psycopg.connect(world.dsn) as conn:
        conn.execute("set role emberkeep_service")
        conn.execute("select set_config('emberkeep.archiving', pg_current_xact_id()::text, true)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("delete from xp.xp_ledger")
        conn.rollback()
        conn.execute("set role emberkeep_service")
        with pytest.raises(psycopg.errors.RestrictViolation, match="no archive"):
            conn.execute("select xp.archive_rows(%s, '[]')", (str(uuid.UUID(int=0)),))


FORGERIES = {
    "through_ledger_id": 10**6,
    "ledger_rows": 1,
    "current_balance": 1,
    "lifetime_xp": 10**6,
    "seasonal_xp": 10**6,
    "season_id": "forged",
    "season_totals": {"s": 10**6},
    "last_reward_day_id": "2026-03-02",
    "last_claimed_at": "2026-03-02T00:00:00Z",
    "award_rows": 10**6,
    "current_streak": 10**6,
    "longest_streak": 10**6,
    "grace_used": 7,
    "model_state": {"freezes": 99},
}


@pytest.mark.parametrize("figure", FORGERIES)
@pytest.mark.parametrize("earlier", [False, True])
async def test_what_is_carried_cannot_be_forged(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figure: str, earlier: bool
) -> None:
    if earlier:
        await run_archive(world.dsn, tmp_path, day=20)
    said = archive.store.archive._to_state  # pyright: ignore[reportPrivateUsage]

    def forge(carried: Any) -> dict[str, object]:
        state = said(carried)
        return state | {figure: FORGERIES[figure]} if figure in state else state

    monkeypatch.setattr(archive.store.archive, "_to_state", forge)
    before = remember(world)
    with pytest.raises(psycopg.errors.RestrictViolation) as refused:
        await run_archive(world.dsn, tmp_path, day=45)
    assert refused.value.diag.constraint_name in {
        "xp_archives_same_rows",
        "xp_archives_same_awards",
    }
    assert remember(world) == before


@pytest.mark.parametrize(
    ("state", "statement"),
    [
        ("writing", "update xp.xp_archives set state = 'deleted', finished_at = started_at"),
        ("writing", "update xp.xp_archives set players = 7"),
        ("written", "update xp.xp_archives set state = 'writing', manifest_sha256 = null"),
        ("written", "update xp.xp_archives set ledger_rows = 7"),
        (
            "written",
            "update xp.xp_archives set state = 'deleted', finished_at = started_at, net_xp = 7",
        ),
        ("written", "delete from xp.xp_archives"),
        ("deleted", "update xp.xp_archives set state = 'written', finished_at = null"),
        ("deleted", "update xp.xp_archives set net_xp = 7"),
        ("deleted", "delete from xp.xp_archives"),
    ],
)
async def test_the_record_of_an_archive_only_goes_on(
    database: str, state: str, statement: str
) -> None:
    with psycopg.connect(database) as conn:
        conn.execute("set role emberkeep_service")
        conn.execute(
            "insert into xp.xp_archives (archive_id, archived_before, location, actor, started_at)"
            " values (gen_random_uuid(), %s, '/', 'test', %s)",
            (at(0), at(9)),
        )
        if state != "writing":
            conn.execute("update xp.xp_archives set state = 'written', manifest_sha256 = 'x'")
        if state == "deleted":
            conn.execute("update xp.xp_archives set state = 'deleted', finished_at = started_at")
        with pytest.raises(psycopg.errors.RestrictViolation, match="stays as it was told"):
            conn.execute(statement.encode())
        conn.rollback()


@pytest.mark.parametrize(
    "statement",
    [
        "insert into xp.xp_archives (archive_id, archived_before, location, state, actor,"
        " started_at) values (gen_random_uuid(), '2026-03-01', '/', 'written', 'test', '2026-03-02')",
        "update xp.xp_archives set location = '/elsewhere'",
        "update xp.xp_archives set actor = 'somebody else'",
        "truncate xp.xp_archives",
        "update xp.xp_ledger_carried set lifetime_xp = 7",
        "update xp.xp_awards_carried set current_streak = 7",
    ],
)
async def test_the_service_may_not_touch_what_archives_say(database: str, statement: str) -> None:
    with psycopg.connect(database) as conn:
        conn.execute("set role emberkeep_service")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute(statement.encode())
        conn.rollback()
