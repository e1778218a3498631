"""The one place that reads the clock, makes ids and opens the time-zone database.

One time-zone database decides: the `tzdata` package that is pinned with the code. The machine's
own files are never read, so that two servers with different systems agree on every reward day.
"""

from __future__ import annotations

import datetime
import functools
import secrets
import time
import uuid
import zoneinfo
from importlib import resources

# An empty search path leaves the tzdata package as the only source.
zoneinfo.reset_tzpath(to=())

UTC = datetime.UTC


def read_now() -> datetime.datetime:
    """Return the present instant, aware, in UTC."""
    return datetime.datetime.now(UTC)


def new_id() -> uuid.UUID:
    """Return a fresh random id."""
    return uuid.uuid4()


def new_ordered_id() -> uuid.UUID:
    """Return a fresh id that sorts after those made before it, so that an index grows at its end.

    Source: RFC 9562, version 7: 48 bits of milliseconds, then random bits.
    """
    milliseconds = time.time_ns() // 1_000_000
    bits = milliseconds << 80 | 7 << 76 | 2 << 62
    bits |= secrets.randbits(12) << 64 | secrets.randbits(62)
    return uuid.UUID(int=bits)


@functools.lru_cache(maxsize=1024)
def open_zone(name: str) -> zoneinfo.ZoneInfo:
    """Return the time zone `name`, which `canonical_zones` must hold."""
    return zoneinfo.ZoneInfo(name)


@functools.cache
def canonical_zones() -> frozenset[str]:
    """Return every name that a player may have: canonical Area/Location names, and `UTC`.

    Source: zone.tab of the tz database, which lists the preferred name of each place. Names such
    as CET or EST5EDT are left out because PostgreSQL and Python disagree on what they mean, and
    links such as Asia/Calcutta because one place must have one name.
    """
    table = resources.files("tzdata").joinpath("zoneinfo/zone.tab").read_text("utf-8")
    rows = (line.split("\t") for line in table.splitlines() if not line.startswith("#"))
    return frozenset(row[2] for row in rows) | {"UTC"}


@functools.cache
def zone_links() -> dict[str, str]:
    """Return the names that are links, each with the name it stands for.

    Source: the L lines of tzdata.zi.
    """
    text = resources.files("tzdata").joinpath("zoneinfo/tzdata.zi").read_text("utf-8")
    links = (line.split() for line in text.splitlines() if line.startswith("L "))
    return {link: target for _, target, link in links}
