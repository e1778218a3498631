"""Segments at the command line: kept, filled by hand, and measured."""

from __future__ import annotations

import datetime
import re
from collections.abc import Awaitable, Callable
from typing import Annotated, Final

import typer

from emberkeep.base import clock, page
from emberkeep.base.config import Settings
from emberkeep.base.console import (
    INSTANT,
    AsJson,
    IsSure,
    check_text,
    confirm,
    hint,
    print_json,
    read_bytes,
    say,
    show_table,
)
from emberkeep.base.db import Connection
from emberkeep.xp.commands.console import ACTOR, Answer, Limit, Reason, run
from emberkeep.xp.commands.operating import show_steps
from emberkeep.xp.model import (
    CatalogueSubject,
    MemberChanges,
    Membership,
    PlayerId,
    PolicyKey,
    Segment,
    SegmentEstimate,
    SegmentKey,
    SegmentUnknown,
    SegmentWish,
)
from emberkeep.xp.service import membership, policies, segments
from emberkeep.xp.service.catalogue import load_catalogue
from emberkeep.xp.service.membership import DEFAULT_SAMPLE, MAX_SAMPLE

_PAGE: Final = 200
_OVERRIDE: Final = re.compile(
    r"(?P<segment>[^=]+)=(?P<version>[0-9]{1,9})(:(?P<priority>-?[0-9]{1,4}))?"
)

_group = typer.Typer(
    name="segments",
    help="Players who get versions of their own: by a rule, or put in by hand.",
    no_args_is_help=True,
)

Key = Annotated[str, typer.Argument(metavar="SEGMENT", callback=check_text)]
Players = Annotated[list[str], typer.Argument(metavar="PLAYER…", help="Their ids.")]


def add_commands(app: typer.Typer) -> None:
    """Put the commands of this module into the group."""
    _group.command("list")(list_all)
    _group.command()(show)
    _group.command()(put)
    _group.command()(delete)
    _group.command()(members)
    _group.command()(add)
    _group.command()(remove)
    _group.command()(estimate)
    _group.command("of")(show_player)
    _group.command()(overrides)
    _group.command()(audit)
    app.add_typer(_group)


def _run(act: Callable[[Connection], Awaitable[Answer]]) -> Answer:
    return run(lambda conn, _settings, _now: act(conn))


def list_all(as_json: AsJson = False) -> None:
    """List the segments that are kept, and their rules."""
    found = _run(segments.list_segments)
    if as_json:
        print_json({"items": found})
    elif not found:
        say("no segments")
    else:
        columns = ("segment", "name", "rule", "changed at (UTC)")
        rows = [
            (s.segment_key, s.display_name, s.rule or "", f"{s.updated_at:{INSTANT}}")
            for s in found
        ]
        show_table(columns, rows)


def show(segment: Key, as_json: AsJson = False) -> None:
    """Show one segment."""
    _show(_run(lambda conn: segments.read_segment(conn, segment_key=SegmentKey(segment))), as_json)


def _show(segment: Segment, as_json: bool) -> None:
    if as_json:
        print_json(segment)
        return
    rows = [
        ("name", segment.display_name),
        ("description", segment.description),
        ("rule", segment.rule or "none: members by hand only"),
        ("revision", str(segment.revision)),
        ("created at (UTC)", f"{segment.created_at:{INSTANT}} by {segment.created_by}"),
        ("changed at (UTC)", f"{segment.updated_at:{INSTANT}} by {segment.updated_by}"),
    ]
    show_table((segment.segment_key, ""), rows)


def put(
    segment: Key,
    name: Annotated[
        str | None,
        typer.Option(help="What people read; a new segment needs it.", callback=check_text),
    ] = None,
    description: Annotated[str | None, typer.Option(callback=check_text)] = None,
    rule: Annotated[
        str | None, typer.Option(metavar="CEL", help="Who belongs to it.", callback=check_text)
    ] = None,
    rule_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="The rule, from a file; `-`: the input.")
    ] = None,
    no_rule: Annotated[
        bool, typer.Option("--no-rule", help="Take the rule away: members by hand only.")
    ] = False,
    revision: Annotated[
        int | None, typer.Option(min=1, help="Only if this is still the revision that is there.")
    ] = None,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Create a segment, or change what is said of one: what is not said stays as it is."""
    if (rule is not None) + (rule_file is not None) + no_rule > 1:
        raise typer.BadParameter("one of --rule, --rule-file and --no-rule")
    if rule_file is not None:
        rule = _read_text(rule_file)

    async def act(conn: Connection) -> tuple[Segment, bool]:
        present = await _find(conn, SegmentKey(segment))
        if present is None and name is None:
            raise typer.BadParameter("there is no such segment yet: a new one needs --name")
        wish = _complete(
            present, segment, name=name, description=description, rule=rule, no_rule=no_rule
        )
        seen = None if present is None else present.revision
        return await segments.put_segment(
            conn,
            wish=wish,
            # What was not said was read: if somebody changes it meanwhile, it is not undone.
            expected_revision=seen if revision is None else revision,
            actor=ACTOR,
            reason=reason,
            now=clock.read_now(),
        )

    kept, is_new = _run(act)
    if not as_json:
        hint("created" if is_new else "changed")
    _show(kept, as_json)


async def _find(conn: Connection, segment_key: SegmentKey) -> Segment | None:
    try:
        return await segments.read_segment(conn, segment_key=segment_key)
    except SegmentUnknown:
        return None


def _complete(
    present: Segment | None,
    segment: str,
    *,
    name: str | None,
    description: str | None,
    rule: str | None,
    no_rule: bool,
) -> SegmentWish:
    """Return what was said, and of the segment there is what was not."""
    if present is not None:
        name = present.display_name if name is None else name
        description = present.description if description is None else description
        rule = present.rule if rule is None and not no_rule else rule
    return SegmentWish(
        segment_key=SegmentKey(segment),
        display_name=name or "",
        description=description or "",
        rule=rule,
    )


def _read_text(path: str) -> str:
    try:
        return read_bytes(path).decode().strip()
    except UnicodeDecodeError as e:
        raise typer.BadParameter(f"{path}: is not UTF-8") from e


def delete(
    segment: Key, reason: Reason = "", is_sure: IsSure = False, as_json: AsJson = False
) -> None:
    """Take a segment away, and who was put into it."""
    confirm(f"Delete the segment {segment} and its members?", is_sure=is_sure)

    async def act(conn: Connection) -> None:
        await segments.delete_segment(
            conn,
            segment_key=SegmentKey(segment),
            expected_revision=None,
            actor=ACTOR,
            reason=reason,
            now=clock.read_now(),
        )

    _run(act)
    if as_json:
        print_json({"segment_key": segment, "deleted": True})
    else:
        say(f"deleted {segment}")


def members(segment: Key, as_json: AsJson = False) -> None:
    """List who was put into a segment by hand: a line each."""

    async def act(conn: Connection) -> None:
        after: str | None = None
        while True:
            found = await segments.list_members(
                conn, segment_key=SegmentKey(segment), limit=_PAGE, after=after
            )
            for member in found.items:
                if as_json:
                    print_json(member)
                else:
                    say(f"{member.player_id}  {member.added_at:{INSTANT}}  {member.added_by}")
            after = found.next
            if after is None:
                return

    _run(act)


def add(segment: Key, players: Players, reason: Reason = "", as_json: AsJson = False) -> None:
    """Put players into a segment, whatever its rule says."""

    async def act(conn: Connection) -> MemberChanges:
        return await segments.add_members(
            conn,
            segment_key=SegmentKey(segment),
            player_ids=[PlayerId(player) for player in players],
            actor=ACTOR,
            reason=reason,
            now=clock.read_now(),
        )

    _show_changes(_run(act), "added", as_json)


def remove(segment: Key, players: Players, reason: Reason = "", as_json: AsJson = False) -> None:
    """Take players out of a segment. Its rule may have them all the same."""

    async def act(conn: Connection) -> MemberChanges:
        return await segments.remove_members(
            conn,
            segment_key=SegmentKey(segment),
            player_ids=[PlayerId(player) for player in players],
            actor=ACTOR,
            reason=reason,
            now=clock.read_now(),
        )

    _show_changes(_run(act), "removed", as_json)


def _show_changes(changes: MemberChanges, done: str, as_json: bool) -> None:
    if as_json:
        print_json(changes)
    else:
        say(f"{done} {changes.changed:,}, {changes.unchanged:,} as they were")
        for error in changes.errors:
            say(f"{error.player_id}: {error.message}")
    if changes.errors:
        raise typer.Exit(1)


def estimate(
    segment: Annotated[str | None, typer.Argument(metavar="[SEGMENT]", callback=check_text)] = None,
    rule: Annotated[
        str | None,
        typer.Option(metavar="CEL", help="A rule that is not kept yet.", callback=check_text),
    ] = None,
    sample: Annotated[
        int, typer.Option(min=1, max=MAX_SAMPLE, help="How many players are asked at most.")
    ] = DEFAULT_SAMPLE,
    as_json: AsJson = False,
) -> None:
    """Say how many players a segment or a rule has, from a sample, and show some of them."""

    async def act(conn: Connection) -> SegmentEstimate:
        return await membership.estimate_size(
            conn,
            rule=rule,
            segment_key=None if segment is None else SegmentKey(segment),
            sample=sample,
            seed=clock.new_id().int,
            now=clock.read_now(),
        )

    found = _run(act)
    if as_json:
        print_json(found)
        return
    bounds = "" if found.is_exact else f" (95 %: {found.low:,} to {found.high:,})"
    say(f"{found.estimate:,} of {found.players:,} players{bounds}; {found.sampled:,} were asked")
    if found.failed:
        say(f"the rule failed for {found.failed:,} of them")
    for player_id in found.sample:
        say(f"  {player_id}")


def show_player(
    player: Annotated[str, typer.Argument(metavar="PLAYER", callback=check_text)],
    policy: Annotated[
        str | None, typer.Option(metavar="KEY", help="Of which policy; none: the default one.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show which segments a player is in now, why, and which version this comes to."""

    async def act(
        conn: Connection, settings: Settings, now: datetime.datetime
    ) -> tuple[PolicyKey, membership.PlayerSegments]:
        key = PolicyKey(policy or settings.default_policy_key)
        found = await membership.read_player_segments(
            conn,
            player_id=PlayerId(player),
            policy_key=key,
            catalogue=await load_catalogue(conn),
            now=now,
        )
        return key, found

    key, found = run(act)
    if as_json:
        print_json(found)
        return
    if found.segments:
        show_table(("segment", "why"), [_describe(member) for member in found.segments])
    else:
        say("in no segment")
    version = found.policy_version
    decided = "" if found.decided_by is None else f", by {found.decided_by.segment}"
    say(f"{key}: " + ("nothing in force" if version is None else f"version {version}{decided}"))


def overrides(
    policy: Annotated[str, typer.Argument(metavar="POLICY", callback=check_text)],
    given: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SEGMENT=VERSION[:PRIORITY]]…",
            help="All that the policy is to have: they replace those there are.",
        ),
    ] = None,
    none: Annotated[bool, typer.Option("--none", help="The policy is to have none.")] = False,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Show which version of a policy each segment gets, or say it anew.

    Where a player is in several segments the highest priority wins. One that is not given stays as
    it is, or is 0.
    """
    if given and none:
        raise typer.BadParameter("--none, or overrides, not both")
    wanted, ranked = _parse_overrides(given or [])
    key = PolicyKey(policy)

    async def act(conn: Connection) -> tuple[dict[SegmentKey, int], dict[SegmentKey, int]]:
        if given or none:
            await policies.put_overrides(
                conn,
                policy_key=key,
                overrides=wanted,
                priorities=ranked,
                actor=ACTOR,
                reason=reason,
                now=clock.read_now(),
            )
        found = await policies.read_overrides(conn, policy_key=key)
        return found, await policies.read_priorities(conn, policy_key=key)

    found, priorities = _run(act)
    if as_json:
        print_json({"policy_key": key, "segment_overrides": found, "priorities": priorities})
    elif not found:
        say("no overrides")
    else:
        rows = sorted((-priorities[segment], segment, found[segment]) for segment in found)
        show_table(
            ("segment", "version", "priority"),
            [(segment, str(version), str(-rank)) for rank, segment, version in rows],
        )


def audit(segment: Key, limit: Limit = page.DEFAULT_ITEMS, as_json: AsJson = False) -> None:
    """List every step that was taken with a segment, newest first. --json has what each changed."""
    show_steps(CatalogueSubject.SEGMENT, segment, limit=limit, as_json=as_json)


def _parse_overrides(given: list[str]) -> tuple[dict[SegmentKey, int], dict[SegmentKey, int]]:
    wanted: dict[SegmentKey, int] = {}
    ranked: dict[SegmentKey, int] = {}
    for text in given:
        match = _OVERRIDE.fullmatch(text)
        if match is None:
            raise typer.BadParameter(f"{text}: is not SEGMENT=VERSION or SEGMENT=VERSION:PRIORITY")
        segment = SegmentKey(match["segment"])
        wanted[segment] = int(match["version"])
        if match["priority"] is not None:
            ranked[segment] = int(match["priority"])
    return wanted, ranked


def _describe(member: Membership) -> tuple[str, str]:
    why = member.reason.value.replace("_", " ")
    return member.segment_key, why if member.failure is None else f"{why}: {member.failure}"
