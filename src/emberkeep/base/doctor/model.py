"""What the doctor looks at, and what it finds."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Mapping

import msgspec

from emberkeep.base.errors import EmberkeepError


class Level(enum.StrEnum):
    """How bad it is: `fail` stops the service from starting."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at: what, how it stands, and what to do unless it is well."""

    level: Level
    what: str
    fact: str
    remedy: str = ""


class ServerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a server says of itself, as our connection sees it."""

    version: str
    version_number: int
    encoding: str
    fsync: str
    full_page_writes: str
    synchronous_commit: str
    max_connections: int
    now: datetime.datetime


class RoleFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the service's role may do beyond its work."""

    name: str
    is_superuser: bool
    changeable_schemas: tuple[str, ...]


class ZoneOffsets(msgspec.Struct, frozen=True, kw_only=True):
    """The UTC offsets in seconds of each zone at the same instants, in their order."""

    instants: tuple[datetime.datetime, ...]
    offsets_s: Mapping[str, tuple[int, ...]]


class SystemUnsound(EmberkeepError):
    """The service would break a promise if it started like this; `findings` say which."""

    code = "service.unsound"
