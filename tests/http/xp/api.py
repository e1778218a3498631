"""A client of the whole application, whose callers and clock are chosen call by call."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

from emberkeep.base.identity import Principal, Role
from emberkeep.web.auth import make_token
from tests.claiming import at
from tests.http.notes_app import KEYS, Client, Reply

if TYPE_CHECKING:
    from emberkeep.web.front import Front
    from emberkeep.xp.service.services import XpServices

POLICY: dict[str, Any] = {
    "policy_key": "daily-login",
    "display_name": "Daily login",
    "base_xp_amount": 100,
    "currency": "XP",
    "claim_window": {
        "start_minutes": 0,
        "duration_hours": 24,
        "anchor_strategy": "AnchorTimezone",
    },
    "grace": {"allowed_misses": 1, "window_days": 1},
    "streak_model": {"type": "WeeklyCycleReset"},
    "streak_curve": [
        {"day_index": 0, "multiplier": "1.0", "additive_bonus_xp": 0, "cap_next_day": False},
        {"day_index": 1, "multiplier": "1.5", "additive_bonus_xp": 10, "cap_next_day": False},
    ],
}
VERSIONS = "/v1/xp/policies/daily-login/versions"


class Api:
    """The application, and what time it is for it: noon of the first day until a test says else."""

    app: Front
    xp: XpServices

    def __init__(self) -> None:
        self.now = at(0)

    async def check_ready(self) -> None:
        """Be ready."""

    async def call(
        self,
        method: str,
        target: str,
        body: object = b"",
        *,
        role: Role = Role.ADMIN,
        subject: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """Send one request as somebody of `role`."""
        token = make_token(
            KEYS,
            Principal(subject or role.value, role),
            token_id="t",
            ttl=datetime.timedelta(hours=1),
            now=self.now,
        )
        return await Client(self.app).call(method, target, body, token=token, headers=headers)

    async def get(self, target: str, **how: Any) -> Any:
        """Return the document that a GET answers with 200."""
        reply = await self.call("GET", target, **how)
        assert reply.status == 200, reply.body
        return reply.json()

    async def publish(self, document: dict[str, Any] = POLICY, version: int = 1) -> None:
        """Create a version and publish it now."""
        path = f"/v1/xp/policies/{document['policy_key']}/versions"
        assert (await self.call("POST", path, document)).status == 201
        reply = await self.call("POST", f"{path}/{version}/publish", {})
        assert reply.status == 200, reply.body

    async def add_player(self, player_id: str = "p-1", time_zone: str = "UTC") -> None:
        """Create a player."""
        reply = await self.call("PUT", f"/v1/players/{player_id}", {"time_zone": time_zone})
        assert reply.status == 201, reply.body
