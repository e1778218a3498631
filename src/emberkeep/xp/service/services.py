"""What the use cases of XP need besides a connection, made once per process."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime

from emberkeep.base.config import Settings
from emberkeep.base.db import Connection, Database
from emberkeep.xp.model import LevelCurve, PolicyKey, PolicyUnknown, PolicyVersion
from emberkeep.xp.rules.catalogue import Catalogue, find_default_version
from emberkeep.xp.service.catalogue import refresh_catalogue
from emberkeep.xp.service.desk import ClaimDesk
from emberkeep.xp.service.players import ZoneRule
from emberkeep.xp.service.streaks import Ground


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class XpServices:
    """The desk that takes this process's claims, the database, and the settings that decide.

    `simulating` is held by the one simulation that a process runs at a time.
    """

    desk: ClaimDesk
    database: Database
    default_policy_key: PolicyKey
    server_zone: str
    time_zone_cooldown_days: int
    time_zone_changes_per_season: int | None
    max_award_xp: int
    max_simulated_claims: int
    simulating: asyncio.Lock = dataclasses.field(default_factory=asyncio.Lock)

    async def read_catalogue(self, conn: Connection) -> Catalogue:
        """Return policies and seasons as they stand now, which the desk may know a second later."""
        return await refresh_catalogue(conn, self.desk.catalogue)

    async def find_default_version(
        self, conn: Connection, *, now: datetime.datetime
    ) -> PolicyVersion | None:
        """Return the version of the default policy in force, if any is."""
        catalogue = await self.read_catalogue(conn)
        return find_default_version(catalogue, policy_key=self.default_policy_key, at=now)

    async def find_level_curve(
        self, conn: Connection, *, policy_key: PolicyKey | None = None
    ) -> LevelCurve | None:
        """Return the level curve of a policy, or of the default one, if it has one.

        :raises PolicyUnknown: when there is no policy of this name
        """
        catalogue = await self.read_catalogue(conn)
        curve = catalogue.level_curves.get(policy_key or self.default_policy_key)
        if curve is None and policy_key is not None and policy_key not in catalogue.versions:
            raise PolicyUnknown("no policy of this key was ever published", policy_key=policy_key)
        return curve

    async def find_zone_rule(self, conn: Connection, *, now: datetime.datetime) -> ZoneRule:
        """Return how changes of a player's time zone are governed now."""
        catalogue = await self.read_catalogue(conn)
        version = find_default_version(catalogue, policy_key=self.default_policy_key, at=now)
        return ZoneRule(
            cooldown_days=self.time_zone_cooldown_days,
            changes_per_season=self.time_zone_changes_per_season,
            seasons=catalogue.seasons,
            window=None if version is None else version.policy.claim_window,
        )

    async def find_ground(self, conn: Connection) -> Ground:
        """Return what decides on streaks beside the streak itself, as it stands now."""
        return Ground(
            catalogue=await self.read_catalogue(conn),
            policy_key=self.default_policy_key,
            server_zone=self.server_zone,
        )


def make_services(database: Database, settings: Settings) -> XpServices:
    """Return the services that `settings` describe; `desk` must still be started."""
    return XpServices(
        desk=ClaimDesk(
            database,
            writer_connections=settings.writer_connections,
            max_batch_claims=settings.max_batch_claims,
            receipt_cache_size=settings.receipt_cache_size,
            server_zone=settings.server_time_zone,
            catalogue_poll_s=settings.catalogue_poll_s,
        ),
        database=database,
        default_policy_key=PolicyKey(settings.default_policy_key),
        server_zone=settings.server_time_zone,
        time_zone_cooldown_days=settings.time_zone_cooldown_days,
        time_zone_changes_per_season=settings.time_zone_changes_per_season,
        max_award_xp=settings.max_award_xp,
        max_simulated_claims=settings.max_simulated_claims,
    )
