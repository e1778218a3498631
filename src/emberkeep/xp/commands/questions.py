"""`emberkeep xp eligibility|preview|explain`: what a claim would come to, and why."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Annotated

import typer

from emberkeep.base.config import Settings
from emberkeep.base.console import INSTANT, AsJson, check_text, print_json, say, show_table
from emberkeep.base.db import Connection
from emberkeep.xp.commands.console import run
from emberkeep.xp.commands.operating import Policy, find_key
from emberkeep.xp.model import Eligibility, PlayerId, PolicyKey, Projection, Verdict
from emberkeep.xp.service import eligibility as service
from emberkeep.xp.service import explanation, trial
from emberkeep.xp.service.catalogue import load_catalogue

Player = Annotated[
    str, typer.Argument(metavar="PLAYER", help="The player's id.", callback=check_text)
]
At = Annotated[
    str | None,
    typer.Option(
        metavar="WHEN", help="tomorrow, or an instant to come; none: now.", callback=check_text
    ),
]
PolicyVersion = Annotated[
    int | None,
    typer.Option(
        min=1, max=2**31 - 1, help="Any version, a draft too; none: whichever is in force."
    ),
]


def add_commands(app: typer.Typer) -> None:
    """Put the commands of this module into the group."""
    app.command("eligibility")(show_eligibility)
    app.command("preview")(show_preview)
    app.command("explain")(show_explanation)


def show_eligibility(
    player: Player, at: At = None, policy: Policy = None, as_json: AsJson = False
) -> None:
    """Print whether PLAYER can claim, and what it would pay. Nothing is written."""

    async def act(conn: Connection, settings: Settings, now: datetime.datetime) -> Eligibility:
        question = trial.read_question(
            player_id=PlayerId(player), at=at, max_award_xp=settings.max_award_xp, now=now
        )
        return await service.check_eligibility(
            conn,
            question=question,
            policy_key=find_key(policy, settings),
            catalogue=await load_catalogue(conn),
            server_zone=settings.server_time_zone,
            now=now,
        )

    found = run(act)
    if as_json:
        print_json(found)
        return
    if not found.eligible:
        reason = (found.reason or "").replace("_", " ")
        say(f"{player}: nothing: {reason}; from {_show(found.next_boundary_at)} UTC on")
        return
    say(
        f"{player}: {found.projected_xp:,} XP for {found.reward_day_id},"
        f" streak day {found.streak_preview.current}"
    )
    for note in found.notes:
        say(f"  {note}")


def show_preview(
    player: Player,
    days: Annotated[
        int | None,
        typer.Option(min=1, max=service.MAX_DAYS, help="None: as many as the policy shows."),
    ] = None,
    policy_version: PolicyVersion = None,
    policy: Policy = None,
    as_json: AsJson = False,
) -> None:
    """Print what the days to come would pay PLAYER who claims each of them. Nothing is written."""

    async def act(conn: Connection, settings: Settings, now: datetime.datetime) -> Projection:
        question = trial.read_question(
            player_id=PlayerId(player),
            policy_version=policy_version,
            max_award_xp=settings.max_award_xp,
            now=now,
        )
        policy_key, catalogue = await trial.choose_policy(
            conn,
            question=question,
            policy_key=_to_key(policy),
            default_policy_key=find_key(None, settings),
            catalogue=await load_catalogue(conn),
            now=now,
        )
        return await service.project_days(
            conn,
            question=question,
            policy_key=policy_key,
            days=days,
            catalogue=catalogue,
            server_zone=settings.server_time_zone,
            now=now,
        )

    projection = run(act)
    if as_json:
        print_json(projection)
        return
    show_table(("day", "XP", "streak", "version", "notes"), _list_rows(projection))
    say(f"{projection.total_xp:,} XP in {len(projection.days)} days")


def show_explanation(
    player: Player,
    at: At = None,
    policy_version: PolicyVersion = None,
    policy: Policy = None,
    as_json: AsJson = False,
) -> None:
    """Print step by step why a claim of PLAYER would pay what it would. Nothing is written."""

    async def act(conn: Connection, settings: Settings, now: datetime.datetime) -> Verdict:
        question = trial.read_question(
            player_id=PlayerId(player),
            policy_version=policy_version,
            at=at,
            max_award_xp=settings.max_award_xp,
            now=now,
        )
        return await explanation.explain_claim(
            conn,
            question=question,
            policy_key=_to_key(policy),
            default_policy_key=find_key(None, settings),
            catalogue=await load_catalogue(conn),
            server_zone=settings.server_time_zone,
            now=now,
        )

    verdict = run(act)
    if as_json:
        print_json(verdict)
        return
    say(f"{player} at {_show(verdict.at)} UTC")
    for step in verdict.steps:
        say(f"  {step.step.replace('_', ' '):<11}{step.says}")


def _list_rows(projection: Projection) -> Iterable[tuple[str, ...]]:
    for day in projection.days:
        version, notes = str(day.policy_version), ", ".join(day.notes)
        streak = str(day.streak.current)
        yield day.reward_day_id.isoformat(), f"{day.xp_awarded:,}", streak, version, notes


def _to_key(policy: str | None) -> PolicyKey | None:
    return None if policy is None else PolicyKey(policy)


def _show(at: datetime.datetime) -> str:
    return f"{at:{INSTANT}}"
