"""What the doctor thinks of facts."""

from __future__ import annotations

import datetime
from pathlib import Path

import msgspec
import pytest

from emberkeep.base import clock
from emberkeep.base.config import Secret, Settings
from emberkeep.base.doctor import rules
from emberkeep.base.doctor.model import Level, RoleFacts, ServerFacts, SystemUnsound, ZoneOffsets
from emberkeep.base.doctor.service import list_values, refuse_unsound

NOW = datetime.datetime(2026, 3, 1, tzinfo=clock.UTC)
SOUND = ServerFacts(
    version="18.6",
    version_number=180_006,
    encoding="UTF8",
    fsync="on",
    full_page_writes="on",
    synchronous_commit="on",
    max_connections=100,
    now=NOW,
)


@pytest.mark.parametrize(
    ("number", "level"),
    [
        (140_099, Level.FAIL),
        (150_000, Level.WARN),
        (150_013, Level.WARN),
        (150_014, Level.OK),
        (180_006, Level.OK),
    ],
)
def test_versions(number: int, level: Level) -> None:
    facts = msgspec.structs.replace(SOUND, version_number=number)
    assert rules.judge_version(facts).level is level


@pytest.mark.parametrize("name", ["fsync", "full_page_writes", "synchronous_commit"])
def test_durability_that_is_off_stops_the_start(name: str) -> None:
    findings = rules.judge_durability(msgspec.structs.replace(SOUND, **{name: "off"}))
    assert [f.what for f in findings if f.level is Level.FAIL] == [name]
    with pytest.raises(SystemUnsound, match=name):
        refuse_unsound(findings)


def test_where_the_data_are_is_said() -> None:
    assert rules.name_place(Path("/data")).fact == "embedded, in /data"
    assert rules.name_place(None).fact == "as EMBERKEEP_DATABASE_URL says"


def test_what_is_sound_starts() -> None:
    refuse_unsound(rules.judge_durability(SOUND))


@pytest.mark.parametrize(
    ("seconds", "level"), [(0, Level.OK), (2, Level.OK), (-3, Level.WARN), (3, Level.WARN)]
)
def test_clocks(seconds: int, level: Level) -> None:
    now = NOW + datetime.timedelta(seconds=seconds)
    assert rules.judge_clock(SOUND, now=now).level is level


@pytest.mark.parametrize(("needed", "level"), [(6, Level.OK), (50, Level.OK), (51, Level.WARN)])
def test_connections(needed: int, level: Level) -> None:
    assert rules.judge_connections(SOUND, needed=needed).level is level


def test_encoding() -> None:
    facts = msgspec.structs.replace(SOUND, encoding="SQL_ASCII")
    assert rules.judge_encoding(facts).level is Level.FAIL


@pytest.mark.parametrize(
    ("is_superuser", "schemas", "is_embedded", "level"),
    [
        (False, (), False, Level.OK),
        (False, ("xp",), False, Level.WARN),
        (True, (), False, Level.WARN),
        (True, ("xp",), True, Level.OK),
    ],
)
def test_roles(
    *, is_superuser: bool, schemas: tuple[str, ...], is_embedded: bool, level: Level
) -> None:
    facts = RoleFacts(name="app", is_superuser=is_superuser, changeable_schemas=schemas)
    assert rules.judge_role(facts, is_embedded=is_embedded).level is level


def _read_offsets(zone: str) -> tuple[int, ...]:
    info = clock.open_zone(zone)
    offsets = [at.astimezone(info).utcoffset() for at in rules.list_instants()]
    return tuple(int(offset.total_seconds()) for offset in offsets if offset is not None)


def test_zones_that_agree() -> None:
    zones = ["Europe/Berlin", "Australia/Lord_Howe"]
    offsets = {zone: _read_offsets(zone) for zone in zones}
    server = ZoneOffsets(instants=rules.list_instants(), offsets_s=offsets)
    (finding,) = rules.judge_zones(zones, server)
    assert finding.level is Level.OK


def test_a_zone_that_differs_and_one_that_is_unknown() -> None:
    offsets = {"Europe/Berlin": _read_offsets("Europe/London")}
    server = ZoneOffsets(instants=rules.list_instants(), offsets_s=offsets)
    differs, unknown = rules.judge_zones(["Europe/Berlin", "Asia/Tokyo"], server)
    assert differs.fact == "Europe/Berlin differs at 2000-01-01: 1:00:00 here, 0 s in PostgreSQL"
    assert unknown.fact == "PostgreSQL does not know Asia/Tokyo"


def test_both_sides_of_every_change_of_clocks_are_compared() -> None:
    assert len(rules.list_instants()) >= 200


def test_secrets_are_never_listed() -> None:
    settings = Settings(database_url=Secret("postgresql://me:hunter2@db/x"))
    values = dict(list_values(settings))
    assert values["EMBERKEEP_DATABASE_URL"] == "set, not shown"
    assert values["EMBERKEEP_SECRET_KEY"] == "not set"
    assert values["EMBERKEEP_ALLOW_DESTRUCTIVE"] == "no"
    assert "hunter2" not in str(values)
