"""The ledger at the command line: looked at, granted to, and rows of it taken back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, TypeVar

import typer

from emberkeep.base import clock
from emberkeep.base.console import (
    INSTANT,
    AsJson,
    IsSure,
    check_text,
    confirm,
    open_settings,
    print_json,
    say,
    show_table,
)
from emberkeep.base.db import Connection, connect
from emberkeep.base.page import DEFAULT_ITEMS, MAX_ITEMS, Page
from emberkeep.xp.commands.console import ACTOR
from emberkeep.xp.model import (
    Grant,
    GrantWish,
    LedgerEntry,
    PlayerId,
    PolicyKey,
    Reversal,
    ReversalWish,
    SeasonId,
)
from emberkeep.xp.rules.catalogue import find_default_version
from emberkeep.xp.service import ledger as service
from emberkeep.xp.service.catalogue import load_catalogue
from emberkeep.xp.service.reversal import reverse_entry

Answer = TypeVar("Answer")

_LAST_ID: Final = 2**63 - 1

Player = Annotated[str, typer.Argument(metavar="PLAYER", callback=check_text)]


def _parse_object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as e:
        raise typer.BadParameter("is not JSON") from e
    if not isinstance(found, dict):
        raise typer.BadParameter("is not a JSON object")
    return found  # pyright: ignore[reportUnknownVariableType]


Metadata = Annotated[
    Any, typer.Option(parser=_parse_object, metavar="JSON", help="Is kept with the row.")
]


def add_commands(app: typer.Typer) -> None:
    """Put the commands of this module into the group."""
    group = typer.Typer(name="ledger", help="Every XP given or taken.", no_args_is_help=True)
    group.command("list")(list_entries)
    group.command("grant")(grant)
    group.command("reverse")(reverse)
    app.add_typer(group)


def _run(act: Callable[[Connection, str], Awaitable[Answer]]) -> Answer:
    """Return what `act` answers on a connection, for the default policy of the settings."""

    async def run(dsn: str, policy_key: str) -> Answer:
        async with await connect(dsn, application="emberkeep ledger") as conn:
            return await act(conn, policy_key)

    with open_settings() as (settings, place):
        return asyncio.run(run(place.dsn, settings.default_policy_key))


def list_entries(
    player: Player,
    limit: Annotated[
        int, typer.Option(min=1, max=MAX_ITEMS, help="At most so many.")
    ] = DEFAULT_ITEMS,
    after: Annotated[str | None, typer.Option(help="The `next` of the page before.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print a player's ledger, newest first."""

    async def act(conn: Connection, _: str) -> Page[LedgerEntry]:
        return await service.list_entries(
            conn, player_id=PlayerId(player), limit=limit, after=after
        )

    page = _run(act)
    if as_json:
        print_json(page)
        return
    show_table(
        ("row", "at", "XP", "left", "for", "season", "reverses"),
        [
            (
                str(entry.ledger_id),
                f"{entry.created_at:{INSTANT}}",
                f"{entry.amount:+,}",
                f"{entry.balance_after:,}",
                entry.reason,
                entry.season_id or "",
                str(entry.reverses_ledger_id or ""),
            )
            for entry in page.items
        ],
    )
    if page.next is not None:
        say(f"more: --after {page.next}")


def grant(
    player: Player,
    amount: Annotated[int, typer.Argument(metavar="XP", help="Below 0 it is taken.")],
    reason: Annotated[str, typer.Option(help="Such as QUEST: capitals, digits, underscores.")],
    season: Annotated[str | None, typer.Option(help="The season that it counts for.")] = None,
    metadata: Metadata = None,
    as_json: AsJson = False,
) -> None:
    """Give a player XP, or take it. Below 0, put `--` before the arguments."""

    async def act(conn: Connection, policy_key: str) -> Grant:
        now = clock.read_now()
        catalogue = await load_catalogue(conn)
        key = PolicyKey(policy_key)
        return await service.grant(
            conn,
            wish=GrantWish(
                player_id=PlayerId(player),
                amount=amount,
                reason=reason,
                metadata=metadata or {},
                season_id=None if season is None else SeasonId(season),
            ),
            correlation_id=clock.new_id(),
            version=find_default_version(catalogue, policy_key=key, at=now),
            level_curve=catalogue.level_curves.get(key),
            actor=ACTOR,
            now=now,
        )

    granted = _run(act)
    if as_json:
        print_json(granted)
    else:
        _tell(granted)


def reverse(
    player: Player,
    ledger_id: Annotated[int, typer.Argument(metavar="ROW", min=1, max=_LAST_ID)],
    reason: Annotated[str | None, typer.Option(help="Why; is kept with the row.")] = None,
    metadata: Metadata = None,
    is_sure: IsSure = False,
    as_json: AsJson = False,
) -> None:
    """Take a row of a player's ledger back, once. What was claimed stays claimed."""

    async def act(conn: Connection, policy_key: str) -> Reversal:
        catalogue = await load_catalogue(conn)
        return await reverse_entry(
            conn,
            wish=ReversalWish(
                player_id=PlayerId(player),
                ledger_id=ledger_id,
                reason=reason,
                metadata=metadata or {},
            ),
            correlation_id=clock.new_id(),
            level_curve=catalogue.level_curves.get(PolicyKey(policy_key)),
            actor=ACTOR,
            now=clock.read_now(),
        )

    confirm(f"Take row {ledger_id} of {player} back?", is_sure=is_sure)
    reversal = _run(act)
    if as_json:
        print_json(reversal)
    else:
        _tell(reversal)


def _tell(written: Grant | Reversal) -> None:
    entry = written.entry
    say(f"{written.player_id}: {entry.amount:+,} XP, row {entry.ledger_id}")
    balance = written.balance
    say(f"balance {balance.current:,}, lifetime {balance.lifetime:,}, season {balance.seasonal:,}")
