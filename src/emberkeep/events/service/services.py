"""What the event store's use cases need besides a connection, made once per process."""

from __future__ import annotations

import dataclasses

from emberkeep.base.config import Settings
from emberkeep.base.db import Database
from emberkeep.events.service.desk import AppendDesk
from emberkeep.events.service.hub import SubscriptionHub


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EventServices:
    """The desk that takes this process's appends, the hub of those who follow, and the rest."""

    desk: AppendDesk
    hub: SubscriptionHub
    database: Database
    allow_erasure: bool

    async def start(self) -> None:
        """Begin to take appends, and to watch for those of others.

        :raises DatabaseUnavailable: when the database cannot be reached
        :raises OrderUnknown: on a standby
        """
        await self.desk.start()
        await self.hub.start()

    async def stop(self) -> None:
        """End watching, answer the appends that wait, then stop."""
        await self.hub.stop()
        await self.desk.stop()


def make_services(database: Database, settings: Settings) -> EventServices:
    """Return the services that `settings` describe; they must still be started."""
    return EventServices(
        desk=AppendDesk(database.dsn, connections=settings.event_writer_connections),
        hub=SubscriptionHub(database),
        database=database,
        allow_erasure=settings.allow_erasure,
    )
