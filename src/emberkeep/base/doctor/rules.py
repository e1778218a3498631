"""What is well, worrying or unacceptable. Pure: facts in, findings out."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from emberkeep.base import clock
from emberkeep.base.doctor.model import Finding, Level, RoleFacts, ServerFacts, ZoneOffsets

_OLDEST_MAJOR: Final = 150_000
_OLDEST_SAFE: Final = 150_014
_MAX_CLOCK_DIFFERENCE: Final = datetime.timedelta(seconds=2)
_FIRST_YEAR, _LAST_YEAR = 2000, 2037
# Six a year: one on each side of any change of daylight-saving time.
_MONTHS: Final = (1, 3, 5, 7, 9, 11)


def name_place(data_dir: Path | None) -> Finding:
    """Say where the data are; an embedded server has them in `data_dir`."""
    fact = "as EMBERKEEP_DATABASE_URL says" if data_dir is None else f"embedded, in {data_dir}"
    return Finding(Level.OK, "database", fact)


def judge_version(facts: ServerFacts) -> Finding:
    """Judge the server's version."""
    what = "PostgreSQL version"
    if facts.version_number < _OLDEST_MAJOR:
        return Finding(Level.FAIL, what, facts.version, "use PostgreSQL 15.14 or newer")
    if facts.version_number < _OLDEST_SAFE:
        remedy = "update to 15.14 or newer: earlier ones can lose or corrupt data"
        return Finding(Level.WARN, what, facts.version, remedy)
    return Finding(Level.OK, what, facts.version)


def judge_encoding(facts: ServerFacts) -> Finding:
    """Judge the database's encoding."""
    if facts.encoding != "UTF8":
        remedy = "create the database anew with encoding UTF8"
        return Finding(Level.FAIL, "encoding", facts.encoding, remedy)
    return Finding(Level.OK, "encoding", facts.encoding)


def judge_durability(facts: ServerFacts) -> tuple[Finding, ...]:
    """Judge whether an answer that a client was given survives a power cut."""
    settings = {
        "fsync": facts.fsync,
        "full_page_writes": facts.full_page_writes,
        "synchronous_commit": facts.synchronous_commit,
    }
    return tuple(
        Finding(
            Level.FAIL,
            name,
            "off",
            f"set {name} = on: with off, a claim that was confirmed can be lost in a crash",
        )
        if value == "off"
        else Finding(Level.OK, name, value)
        for name, value in settings.items()
    )


def judge_connections(facts: ServerFacts, *, needed: int) -> Finding:
    """Judge whether one process of ours finds room; `needed` is what it opens at most."""
    fact = f"{needed} a process, of {facts.max_connections}"
    if needed > facts.max_connections // 2:
        remedy = "raise max_connections, or lower EMBERKEEP_POOL_CONNECTIONS"
        return Finding(Level.WARN, "connections", fact, remedy)
    return Finding(Level.OK, "connections", fact)


def judge_clock(facts: ServerFacts, *, now: datetime.datetime) -> Finding:
    """Judge whether this machine and the server agree on the time."""
    difference = abs(facts.now - now)
    fact = f"{difference.total_seconds():.1f} s apart"
    if difference > _MAX_CLOCK_DIFFERENCE:
        remedy = "synchronise both clocks: reward days are decided by this machine's"
        return Finding(Level.WARN, "clocks", fact, remedy)
    return Finding(Level.OK, "clocks", fact)


def judge_role(facts: RoleFacts, *, is_embedded: bool) -> Finding:
    """Judge whether the role that serves requests could change the schema."""
    what = "service role"
    if is_embedded:
        return Finding(Level.OK, what, f"{facts.name}; the embedded server has this one only")
    remedy = (
        "serve with a role that owns nothing, and name the owner's connection in"
        " EMBERKEEP_MIGRATION_DATABASE_URL"
    )
    if facts.is_superuser:
        return Finding(Level.WARN, what, f"{facts.name} is a superuser", remedy)
    if facts.changeable_schemas:
        schemas = ", ".join(facts.changeable_schemas)
        return Finding(Level.WARN, what, f"{facts.name} can change the schemas {schemas}", remedy)
    return Finding(Level.OK, what, f"{facts.name} cannot change the schema")


def list_instants() -> tuple[datetime.datetime, ...]:
    """Return the instants at which both time-zone databases are compared."""
    return tuple(
        datetime.datetime(year, month, 1, tzinfo=clock.UTC)
        for year in range(_FIRST_YEAR, _LAST_YEAR + 1)
        for month in _MONTHS
    )


def judge_zones(zones: Sequence[str], server: ZoneOffsets) -> tuple[Finding, ...]:
    """Compare the offsets that the server has for `zones` with those of our own database."""
    what = "time-zone data"
    bad = tuple(
        Finding(Level.WARN, what, fact, "update PostgreSQL, or its system's tzdata, to this year's")
        for zone in zones
        if (fact := _compare_zone(zone, server)) is not None
    )
    return bad or (Finding(Level.OK, what, f"the same for {len(zones)} zones in use"),)


def _compare_zone(zone: str, server: ZoneOffsets) -> str | None:
    theirs = server.offsets_s.get(zone)
    if theirs is None:
        return f"PostgreSQL does not know {zone}"
    info = clock.open_zone(zone)
    for at, offset_s in zip(server.instants, theirs, strict=True):
        ours = at.astimezone(info).utcoffset()
        assert ours is not None
        if int(ours.total_seconds()) != offset_s:
            return f"{zone} differs at {at.date()}: {ours} here, {offset_s} s in PostgreSQL"
    return None
