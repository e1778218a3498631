"""What rules of segments cost a claim: claims with twenty of them next to claims with none.

Both are measured again and again in turn, because what a machine does beside the benchmark changes
more from one minute to the next than the rules do.
"""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Iterator
from typing import Final

import psycopg

from benchmarks import report
from benchmarks.claims import POLICY_KEY, Players, fill
from benchmarks.harness import run, time_calls
from benchmarks.report import Figure
from emberkeep.base import clock
from emberkeep.base.db import open_database
from emberkeep.xp.model import (
    Balance,
    ClaimStatus,
    Override,
    PlayerId,
    PlayerState,
    Segment,
    SegmentKey,
    StreakState,
    UserId,
)
from emberkeep.xp.rules.segment import Facts
from emberkeep.xp.rules.segment_choice import SegmentDecider
from emberkeep.xp.service.desk import ClaimDesk

_WAITING: Final = 256
_ROUNDS: Final = 4
# Short sweeps and many of them: some are not interrupted, whatever else the machine does.
_ASKED: Final = 200
_SWEEPS: Final = 200

RULES: Final = tuple(
    rule
    for number in range(5)
    for rule in (
        f"account_age_days < -{number}",
        f'player.region == "Atlantis" && streak.current > {number}',
        f"has(player.attributes.vip) && player.attributes.vip == true && balance.lifetime < -{number}",
        f"days_since_last_claim > {number + 9000} || streak.longest > {number + 9000}",
    )
)
"""Twenty rules over seven facts, none of which ever holds, so that all of them are asked."""

_SINGLE: Final = tuple(f"account_age_days < -{number}" for number in range(20))
_ATTRIBUTES: Final = {"vip": False, "spent": 120, "country": "DE", "tags": ["a", "b"]}


def measure(dsn: str, *, players: int, scale: float) -> Iterator[Figure]:
    """Create the players and yield the figures; claims without rules are the limit."""
    report.say(f"creating {players:,} players")
    with psycopg.connect(dsn, autocommit=True) as conn:
        fill(conn, players)
        conn.execute("update xp.xp_users set attributes = %s::jsonb", (json.dumps(_ATTRIBUTES),))
        conn.execute("vacuum analyze xp.xp_users")
    handed = Players(dsn)
    claims = round(15_000 * scale)
    run(_claim(dsn, handed.take(claims), "warming up"))
    none, ruled = _take_turns(dsn, handed, claims)
    yield report.said(none, "claims")
    yield report.said(ruled, "claims")
    for name, rules in (("20 rules alone, 7 facts", RULES), ("20 rules alone, 1 fact", _SINGLE)):
        yield report.said(_ask(name, rules), "players")


def _take_turns(dsn: str, players: Players, claims: int) -> tuple[Figure, Figure]:
    totals: dict[str, Figure] = {}
    for _ in range(_ROUNDS):
        for name, rules in (("no rules", ()), ("20 segment rules", RULES)):
            _write_rules(dsn, rules)
            figure = run(_claim(dsn, players.take(claims), name))
            totals[name] = totals[name] + figure if name in totals else figure
    none, ruled = totals.values()
    return none, ruled


def _write_rules(dsn: str, rules: tuple[str, ...]) -> None:
    with psycopg.connect(dsn) as conn:
        conn.execute("delete from xp.xp_policy_segment_overrides")
        conn.execute("delete from xp.xp_segments")
        for number, rule in enumerate(rules):
            conn.execute(
                "insert into xp.xp_segments (segment_key, display_name, rule, created_by,"
                " updated_by) values (%s, 'bench', %s, 'bench', 'bench')",
                (f"s{number}", rule),
            )
            conn.execute(
                "insert into xp.xp_policy_segment_overrides (policy_key, segment_key,"
                " target_policy_version, created_by) values (%s, %s, 1, 'bench')",
                (POLICY_KEY, f"s{number}"),
            )


async def _claim(dsn: str, players: list[str], name: str) -> Figure:
    async with open_database(dsn, connections=2) as database:
        desk = ClaimDesk(
            database,
            writer_connections=2,
            max_batch_claims=512,
            receipt_cache_size=0,
            server_zone="UTC",
        )
        await desk.start()

        async def claim(player: str) -> None:
            receipt = await desk.claim(
                player_id=PlayerId(player), policy_key=POLICY_KEY, now=clock.read_now()
            )
            assert (receipt.status, receipt.segment) == (ClaimStatus.NEW, None), receipt

        figure = await time_calls(name, players, _WAITING, claim)
        await desk.stop()
    return Figure(
        name=figure.name,
        waiting=figure.waiting,
        count=figure.count,
        seconds=figure.seconds,
        latencies_s=figure.latencies_s,
        is_limit=name == "no rules",
    )


def _ask(name: str, rules: tuple[str, ...]) -> Figure:
    """Ask the rules for players that differ; the best of several tries, which is what they cost."""
    now = clock.read_now()
    segments = {
        SegmentKey(f"s{number}"): Segment(
            segment_key=SegmentKey(f"s{number}"),
            display_name="bench",
            description="",
            rule=rule,
            revision=1,
            created_at=now,
            created_by="bench",
            updated_at=now,
            updated_by="bench",
        )
        for number, rule in enumerate(rules)
    }
    decider = SegmentDecider(
        [Override(segment_key=key, policy_version=1) for key in segments], segments
    )
    asked = [_make_facts(number, now) for number in range(_ASKED)]
    seconds = min(_time(decider, asked) for _ in range(_SWEEPS))
    return Figure(
        name=f"{name}: {seconds / len(asked) * 1e6:.1f} µs a player",
        count=len(asked),
        seconds=seconds,
    )


def _time(decider: SegmentDecider, asked: list[Facts]) -> float:
    started_at = time.perf_counter()
    for facts in asked:
        assert decider.choose(facts) is None
    return time.perf_counter() - started_at


def _make_facts(number: int, now: datetime.datetime) -> Facts:
    streak = StreakState(
        current_streak=number % 30,
        longest_streak=number % 60,
        last_reward_day=(now - datetime.timedelta(days=1 + number % 5)).date(),
    )
    balance = Balance(current=number, lifetime=number, seasonal=0, season_id=None)
    player = PlayerState(
        user_id=UserId(number),
        player_id=PlayerId(f"p-{number}"),
        reward_tz=("Europe/Berlin", "Asia/Tokyo", "America/Lima")[number % 3],
        attributes_json=json.dumps(_ATTRIBUTES | {"spent": number}),
        created_at=now - datetime.timedelta(days=number % 400),
        streak=streak,
        balance=balance,
    )
    return Facts(player, streak, balance, now)
