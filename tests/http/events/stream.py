"""What the tests of the event store's routes say and ask again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.http.xp.api import Api

ORDER = "/v1/streams/order-17"
EVENTS = f"{ORDER}/events"


def make_event(number: int = 1, **changes: object) -> dict[str, Any]:
    """Return the body of one event."""
    return {"event_type": "Placed", "data": {"n": number}} | changes


async def append(api: Api, *events: dict[str, Any], to: str = "order-17", **how: Any) -> Any:
    """Append events, one if none is given, and return the answer, which is 201."""
    body = {"events": events or (make_event(),)} | how
    reply = await api.call("POST", f"/v1/streams/{to}/events", body)
    assert reply.status == 201, reply.body
    return reply.json()
