"""What the tests of claims share: policies and players in a database, and what a claim left there."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import datetime
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.types.json import Jsonb

from emberkeep.base.clock import UTC
from emberkeep.base.db import Connection, connect, connect_for_batches, open_database
from emberkeep.xp.model import (
    SCALE,
    AnchorStrategy,
    Balance,
    ClaimRequest,
    ClaimWindow,
    CurveRow,
    FreezeRule,
    Grace,
    MilestoneMetaReward,
    PauseRule,
    PlayerId,
    Policy,
    PolicyKey,
    Receipt,
    SeasonalBoost,
    SeasonId,
    StreakModel,
)
from emberkeep.xp.rules.balance import add_entry
from emberkeep.xp.rules.catalogue import Catalogue
from emberkeep.xp.rules.policy import render_policy
from emberkeep.xp.service.claims import claim_batch
from emberkeep.xp.service.desk import ClaimDesk
from emberkeep.xp.service.verify import verify_xp

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from emberkeep.base.check import Check
    from emberkeep.base.errors import EmberkeepError

KEY = PolicyKey("daily-login")
FIRST_DAY = datetime.date(2026, 3, 1)
LONG_AGO = datetime.datetime(2000, 1, 1, tzinfo=UTC)
GRANT_ID = "00000000-0000-4000-8000-%012d"

# A plain count: nothing to unlock, nothing to multiply.
PLAIN = MilestoneMetaReward(milestones=())


def at(day: int, hour: float = 12) -> datetime.datetime:
    """Return the instant `hour` hours into the UTC day that is `day` days after the first."""
    midnight = datetime.datetime.combine(FIRST_DAY, datetime.time(), UTC)
    return midnight + datetime.timedelta(days=day, hours=hour)


def day_id(day: int) -> str:
    """Return the reward day that is `day` days after the first."""
    return (FIRST_DAY + datetime.timedelta(days=day)).isoformat()


def make_policy(
    model: StreakModel = PLAIN,
    *,
    key: str = KEY,
    base_xp: int = 100,
    grace: tuple[int, int] = (0, 0),
    window: tuple[int, int] = (0, 24),
    cooldown_hours: int | None = None,
    anchor: AnchorStrategy = AnchorStrategy.ANCHOR_TIMEZONE,
    curve: Sequence[tuple[int, int]] = ((SCALE, 0),),
    boosts: Sequence[SeasonalBoost] = (),
    freezes: tuple[int, int] | None = None,
    pause: tuple[int, int] | None = None,
) -> Policy:
    """Return a policy; `grace` is (misses, window), `window` (minutes, hours), `curve` (scaled, bonus),
    `freezes` (most, earned every), `pause` (most days, cooldown)."""
    return Policy(
        policy_key=PolicyKey(key),
        display_name="Daily login",
        base_xp_amount=base_xp,
        currency="XP",
        claim_window=ClaimWindow(
            start_minutes=window[0],
            duration_hours=window[1],
            anchor_strategy=anchor,
            min_cooldown_hours=cooldown_hours,
        ),
        grace=Grace(allowed_misses=grace[0], window_days=grace[1]),
        streak_model=model,
        streak_curve=tuple(
            CurveRow(day_index=index, multiplier=multiplier, additive_bonus_xp=bonus)
            for index, (multiplier, bonus) in enumerate(curve)
        ),
        seasonal_boosts=tuple(boosts),
        freezes=freezes and FreezeRule(max_held=freezes[0], earned_every_days=freezes[1]),
        pause=pause and PauseRule(max_days=pause[0], cooldown_days=pause[1]),
    )


class World:
    """Writes what claims are decided from, past the services, each call a transaction."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    def execute(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows."""
        with psycopg.connect(self.dsn, autocommit=True) as conn:
            cursor = conn.execute(statement.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    def publish(
        self,
        policy: Policy,
        *,
        version: int = 1,
        effective_at: datetime.datetime = LONG_AGO,
    ) -> None:
        """Publish `policy`; from `effective_at` on its predecessor is out of force."""
        with psycopg.connect(self.dsn) as conn:
            _insert_draft(conn, policy, version)
            conn.execute(
                "update xp.xp_policy_versions set status = 'Archived', superseded_at = %s"
                " where policy_key = %s and status = 'Published'",
                (effective_at, policy.policy_key),
            )
            conn.execute(
                "update xp.xp_policy_versions"
                " set status = 'Published', effective_at = %s, published_at = %s"
                " where policy_key = %s and policy_version = %s",
                (effective_at, LONG_AGO, policy.policy_key, version),
            )

    def draft(self, policy: Policy, *, version: int = 1) -> None:
        """Write a draft."""
        with psycopg.connect(self.dsn) as conn:
            _insert_draft(conn, policy, version)

    def retire(self, *, at: datetime.datetime) -> None:
        """Take the published version out of force, without a successor."""
        self.execute(
            "update xp.xp_policy_versions set status = 'Archived', superseded_at = %s"
            " where status = 'Published'",
            at,
        )

    def override(self, segment: str, *, version: int) -> None:
        """Give the players of `segment` a version of their own."""
        self.execute(
            "insert into xp.xp_policy_segment_overrides values (%s, %s, %s, 0, %s, 'test')",
            KEY,
            segment,
            version,
            LONG_AGO,
        )

    def add_season(self, season_id: str, first: int, last: int) -> None:
        """Add a season of the days `first` to `last` after the first day, both included."""
        self.execute(
            "insert into xp.xp_seasons values (%s, %s, %s, %s, %s, 'test')",
            season_id,
            season_id,
            day_id(first),
            day_id(last),
            LONG_AGO,
        )

    def add_levels(self, *thresholds: int) -> None:
        """Give the policy a level curve."""
        self.execute(
            "insert into xp.xp_level_curves (policy_key, thresholds, created_by, updated_by)"
            " values (%s, %s, 'test', 'test')",
            KEY,
            list(thresholds),
        )

    def list_levels(self, player_id: str) -> list[int]:
        """Return the levels that were announced to a player, in order."""
        rows = self.execute(
            "select (data ->> 'level')::int from event_store.events"
            " where stream_id = %s and event_type = 'LevelReached' order by stream_version",
            f"player-{player_id}",
        )
        return [level for (level,) in rows]

    def add_players(self, *ids: str, zone: str = "UTC", segment: str | None = None) -> None:
        """Create players."""
        self.execute(
            "insert into xp.xp_users"
            " (external_user_id, reward_tz, segment_key, created_at, updated_at)"
            " select unnest(%s::text[]), %s, %s, %s, %s",
            list(ids),
            zone,
            segment,
            LONG_AGO,
            LONG_AGO,
        )

    def change_zone(self, player_id: str, zone: str, *, at: datetime.datetime) -> None:
        """Have `zone` hold from `at` on."""
        self.execute(
            "update xp.xp_users set next_reward_tz = %s, next_reward_tz_at = %s"
            " where external_user_id = %s",
            zone,
            at,
            player_id,
        )

    def grant(
        self,
        player_id: str,
        amount: int,
        *,
        number: int = 1,
        season_id: str | None = None,
        metadata: dict[str, object] | None = None,
    ) -> None:
        """Write a ledger row as somebody would who knows nothing of our services."""
        self.execute(
            "insert into xp.xp_ledger (user_id, amount, reason, correlation_id, policy_key,"
            " policy_version, season_id, metadata)"
            " select user_id, %s, 'GRANT', %s, 'none', 0, %s, %s"
            " from xp.xp_users where external_user_id = %s",
            amount,
            GRANT_ID % number,
            season_id,
            Jsonb(metadata or {}),
            player_id,
        )

    def read_trail(self, player_id: str) -> Trail:
        """Return everything that stands in the tables about one player."""
        with psycopg.connect(self.dsn) as conn:
            return _read_trail(conn, player_id)


def _insert_draft(conn: psycopg.Connection, policy: Policy, version: int) -> None:
    document: dict[str, Any] = render_policy(policy)
    window, model = document["claim_window"], document["streak_model"]
    key = (policy.policy_key, version)
    conn.execute(
        "insert into xp.xp_policies values (%s, 'x', '', %s, 'test') on conflict do nothing",
        (policy.policy_key, LONG_AGO),
    )
    conn.execute(
        "insert into xp.xp_policy_versions (policy_key, policy_version, status, display_name,"
        " base_xp_amount, currency, claim_window_start_minutes, claim_window_duration_hours,"
        " claim_window_min_cooldown_hours, anchor_strategy, grace_allowed_misses,"
        " grace_window_days, streak_model_type, streak_model_parameters, freezes_max_held,"
        " freezes_earned_every_days, pause_max_days, pause_cooldown_days, created_at, created_by)"
        " values (%s, %s, 'Draft', 'x', %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s,"
        " 'test')",
        (
            *key,
            policy.base_xp_amount,
            policy.currency,
            window["start_minutes"],
            window["duration_hours"],
            window["min_cooldown_hours"],
            window["anchor_strategy"],
            policy.grace.allowed_misses,
            policy.grace.window_days,
            model["type"],
            Jsonb(model["parameters"]),
            policy.freezes and policy.freezes.max_held,
            policy.freezes and policy.freezes.earned_every_days,
            policy.pause and policy.pause.max_days,
            policy.pause and policy.pause.cooldown_days,
            LONG_AGO,
        ),
    )
    for row in document["streak_curve"]:
        conn.execute(
            "insert into xp.xp_policy_streak_curve values (%s, %s, %s, %s, %s, %s)",
            (*key, *row.values()),
        )
    for boost in document["seasonal_boosts"]:
        conn.execute(
            "insert into xp.xp_policy_seasonal_boosts"
            " (policy_key, policy_version, label, multiplier, start_utc, end_utc)"
            " values (%s, %s, %s, %s, %s, %s)",
            (*key, *boost.values()),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Trail:
    """A player in the tables: (day, XP, receipt) of awards; (amount, correlation) of the ledger;
    (type, day) of events; (current, longest, grace, last day) of the streak."""

    awards: list[tuple[str, int, str]]
    ledger: list[tuple[int, str]]
    events: list[tuple[str, str]]
    balance: Balance
    streak: tuple[int, int, int, str | None]


def _read_trail(conn: psycopg.Connection, player_id: str) -> Trail:
    of_player = "from xp.{} join xp.xp_users using (user_id) where external_user_id = %s"

    def read(columns: str, table: str, order: str) -> list[Any]:
        statement = f"select {columns} {of_player.format(table)} order by {order}"
        return conn.execute(statement.encode(), (player_id,)).fetchall()

    balance = "current_balance, lifetime_xp, seasonal_xp, season_id"
    streak = "current_streak, longest_streak, grace_used, last_reward_day_id"
    ((current, lifetime, seasonal, season_id),) = read(balance, "xp_balance", "1")
    (streak_row,) = read(streak, "xp_streaks", "1")
    return Trail(
        awards=read("reward_day_id, xp_awarded, receipt_id::text", "xp_awards", "1"),
        ledger=read("amount, correlation_id::text", "xp_ledger", "ledger_id"),
        events=conn.execute(
            "select event_type, data ->> 'reward_day_id' from event_store.events"
            " where stream_id = %s order by stream_version",
            (f"player-{player_id}",),
        ).fetchall(),
        balance=Balance(current=current, lifetime=lifetime, seasonal=seasonal, season_id=season_id),
        streak=streak_row,
    )


def make_request(
    player_id: str,
    instant: datetime.datetime,
    *,
    key: str = KEY,
    now: datetime.datetime | None = None,
) -> ClaimRequest:
    """Return a claim at `instant`."""
    return ClaimRequest(
        player_id=PlayerId(player_id), policy_key=PolicyKey(key), at=instant, now=now or instant
    )


async def claim_together(
    conn: Connection, requests: Sequence[ClaimRequest], catalogue: Catalogue | None = None
) -> list[Receipt | EmberkeepError]:
    """Answer `requests` as one batch."""
    answers, _ = await claim_batch(
        conn,
        requests=requests,
        catalogue=catalogue or Catalogue(),
        server_zone="UTC",
        now=requests[-1].now,
    )
    return answers


async def claim(conn: Connection, player_id: str, instant: datetime.datetime) -> Receipt:
    """Claim alone; raise the refusal if it is one."""
    (answer,) = await claim_together(conn, [make_request(player_id, instant)])
    if not isinstance(answer, Receipt):
        raise answer
    return answer


@contextlib.asynccontextmanager
async def open_writer(dsn: str) -> AsyncGenerator[Connection]:
    """Lend a connection like those that claims are written with."""
    conn = await connect_for_batches(dsn)
    try:
        yield conn
    finally:
        await conn.close()


@contextlib.asynccontextmanager
async def open_desk(
    dsn: str, *, cache: int = 1000, connections: int = 2, batch: int = 256, poll_s: float = 1.0
) -> AsyncGenerator[ClaimDesk]:
    """Run a desk as a process of its own would."""
    async with open_database(dsn, connections=2) as database:
        desk = ClaimDesk(
            database,
            writer_connections=connections,
            max_batch_claims=batch,
            receipt_cache_size=cache,
            server_zone="UTC",
            catalogue_poll_s=poll_s,
        )
        await desk.start()
        try:
            yield desk
        finally:
            await desk.stop()


def assert_clean(dsn: str) -> None:
    """Hold every invariant of claims against all that is in the tables.

    Both by `emberkeep verify` and by queries of our own, so that neither has to be trusted.
    """
    # In a thread, because a test that is a coroutine has a loop that is running.
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        checks = thread.submit(asyncio.run, _verify(dsn)).result()
    broken = {check.name: check.examples for check in checks if not check.is_clean}
    assert broken == {}
    with psycopg.connect(dsn) as conn:
        for promise, query in _PROMISES.items():
            assert conn.execute(query.encode()).fetchall() == [], promise
        assert _fold_ledger(conn) == _read_balances(conn), "balances are the ledger's fold"


async def _verify(dsn: str) -> list[Check]:
    async with await connect(dsn) as conn:
        return await verify_xp(conn)


_PROMISES = {
    "an award has one ledger row, of the same amount, player and policy": """
        select award.receipt_id, entry.correlation_id
        from xp.xp_awards as award
        full join (select * from xp.xp_ledger where reason = 'DAILY_LOGIN') as entry
            on award.receipt_id = entry.correlation_id
        where
            (award.user_id, award.xp_awarded, award.policy_key, award.policy_version)
            is distinct from (entry.user_id, entry.amount, entry.policy_key, entry.policy_version)
    """,
    "an award has one event, on its player's stream": """
        select award.receipt_id, event.receipt_id
        from (
            select receipt_id, 'player-' || external_user_id as stream_id, reward_day_id
            from xp.xp_awards join xp.xp_users using (user_id)
        ) as award
        full join (
            select stream_id, data ->> 'receipt_id' as receipt_id, count(*) as times,
                min(data ->> 'reward_day_id') as reward_day_id
            from event_store.events
            where event_type = 'DailyLoginClaimed'
            group by 1, 2
        ) as event
            on award.receipt_id::text = event.receipt_id
        where
            (award.stream_id, award.reward_day_id, 1)
            is distinct from (event.stream_id, event.reward_day_id, event.times)
    """,
    "no reward day is awarded twice": """
        select user_id, reward_day_id from xp.xp_awards group by 1, 2 having count(*) > 1
    """,
    "reward days only rise": """
        select * from (
            select reward_day_id,
                lag(reward_day_id) over (partition by user_id order by award_id) as earlier
            from xp.xp_awards
        ) as award
        where reward_day_id <= earlier
    """,
    "a streak is what the last award says, unless it was repaired": """
        select streak.user_id
        from xp.xp_streaks as streak
        left join lateral (
            select
                (array_agg(streak_day order by reward_day_id desc))[1] as current_streak,
                max(streak_day) as longest_streak,
                max(reward_day_id) as last_reward_day_id
            from xp.xp_awards as award
            where award.user_id = streak.user_id
        ) as award on true
        where
            not exists (
                select from xp.xp_streak_actions as action
                where action.user_id = streak.user_id and action.streak_day is not null
            )
            and (
                streak.current_streak,
                streak.longest_streak,
                streak.last_reward_day_id
            ) is distinct from (
                coalesce(award.current_streak, 0),
                coalesce(award.longest_streak, 0),
                award.last_reward_day_id
            )
    """,
    "streams have no gaps": """
        select stream_id
        from event_store.event_streams as stream
        left join event_store.events as event using (stream_id)
        group by stream_id, stream.stream_version
        having
            count(event.event_id) <> stream.stream_version
            or max(event.stream_version) <> stream.stream_version
    """,
}


def _fold_ledger(conn: psycopg.Connection) -> dict[int, Balance]:
    balances: dict[int, Balance] = {}
    for user_id, amount, season_id, affects_lifetime, is_reversal in conn.execute(
        "select user_id, amount, season_id, metadata @> '{\"affectsLifetime\": true}',"
        " reverses_ledger_id is not null from xp.xp_ledger order by ledger_id"
    ):
        balances[user_id] = add_entry(
            balances.get(user_id, Balance()),
            amount=amount,
            season_id=SeasonId(season_id) if season_id else None,
            affects_lifetime=affects_lifetime,
            is_reversal=is_reversal,
        )
    return balances


def _read_balances(conn: psycopg.Connection) -> dict[int, Balance]:
    rows = conn.execute(
        "select user_id, current_balance, lifetime_xp, seasonal_xp, season_id from xp.xp_balance"
        " where exists (select 1 from xp.xp_ledger where xp_ledger.user_id = xp_balance.user_id)"
    )
    return {
        user_id: Balance(current=current, lifetime=lifetime, seasonal=seasonal, season_id=season_id)
        for user_id, current, lifetime, seasonal, season_id in rows
    }


async def await_waiter(dsn: str) -> None:
    """Return once some session waits for another."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
        waiter = "select from pg_locks where not granted"
        async with asyncio.timeout(10):
            while await (await conn.execute(waiter.encode())).fetchone() is None:
                await asyncio.sleep(0.01)
