"""Begin to follow, or say at once why that cannot be."""

from __future__ import annotations

from collections.abc import AsyncIterator

from emberkeep.events import store
from emberkeep.events.model import OneStream, RecordedEvent, Source, StreamDeleted
from emberkeep.events.rules.subscription import check_source
from emberkeep.events.service.hub import SubscriptionHub
from emberkeep.events.service.scan import find_start


async def begin_tail(
    hub: SubscriptionHub,
    source: Source,
    *,
    after: int | None = None,
    event_types: tuple[str, ...] | None = None,
) -> AsyncIterator[RecordedEvent]:
    """Return what `hub.follow` yields; `after=None` means from the moment of this call on.

    :raises SubscriptionInvalid: when nothing of this name can be followed, or `after` lies in the
        future
    :raises StreamDeleted: when the one stream that is to be followed was deleted
    """
    check_source(source)
    if isinstance(source, OneStream):
        async with hub.database.connection() as conn:
            info = await store.read_stream_info(conn, stream_id=source.stream_id, schema=hub.schema)
        if info is not None and info.deleted_at is not None:
            raise StreamDeleted("the stream was deleted", stream_id=source.stream_id)
    if after is None:
        after = await hub.find_end(source)
    else:
        # After a restore of the database, for instance: a client must not wait there unnoticed.
        async with hub.database.connection() as conn:
            await find_start(conn, source=source, start=after, schema=hub.schema)
    return hub.follow(source, after=after, event_types=event_types)
