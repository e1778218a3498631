"""The claims of one process: requests that wait are paid together, repeats are answered from memory.

A day's receipt never changes, so a process may remember it until the next boundary. It forgets all
of them when policies or seasons change, because then the boundary may have moved: it is notified of
that within moments, every batch reads it, and a poll is the net below.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
from collections.abc import Sequence
from typing import Final

import msgspec
import structlog

from emberkeep.base.batch import Batcher
from emberkeep.base.db import Connection, Database
from emberkeep.base.errors import EmberkeepError
from emberkeep.base.listen import Listener
from emberkeep.xp import store
from emberkeep.xp.model import ClaimRequest, ClaimStatus, PlayerId, PolicyKey, Receipt
from emberkeep.xp.rules.catalogue import Catalogue, find_next_switch, has_one_window
from emberkeep.xp.service.catalogue import load_catalogue
from emberkeep.xp.service.claims import claim_batch
from emberkeep.xp.service.rule_failures import RuleFailures

# The triggers on policies, overrides and seasons notify it.
_CHANNEL: Final = "emberkeep_xp_catalogue"

_log = structlog.get_logger(__name__)


class _Remembered(msgspec.Struct, frozen=True, gc=False):
    receipt: Receipt
    revision: int
    until: datetime.datetime


class ClaimDesk:
    """Takes one claim at a time from anywhere in the process and answers each with its receipt."""

    def __init__(
        self,
        database: Database,
        *,
        writer_connections: int,
        max_batch_claims: int,
        receipt_cache_size: int,
        server_zone: str,
        catalogue_poll_s: float = 1.0,
    ) -> None:
        self._database = database
        self._catalogue_poll_s = catalogue_poll_s
        self._listener = Listener(database.dsn, channel=_CHANNEL, application="emberkeep-listener")
        self._server_zone = server_zone
        self._catalogue = Catalogue()
        self._receipts: dict[tuple[PlayerId, PolicyKey], _Remembered] = {}
        self._max_receipts = receipt_cache_size
        self.rule_failures = RuleFailures()
        self._poll: asyncio.Task[None] | None = None
        self._batcher: Batcher[ClaimRequest, Receipt] = Batcher(
            self._answer_batch,
            dsn=database.dsn,
            connections=writer_connections,
            max_size=max_batch_claims,
        )

    @property
    def catalogue(self) -> Catalogue:
        """The policies and seasons as this process last saw them."""
        return self._catalogue

    async def start(self) -> None:
        """Load the catalogue and begin to take claims.

        :raises DatabaseUnavailable: when the database cannot be reached
        """
        async with self._database.connection() as conn:
            self._catalogue = await load_catalogue(conn)
        await self._batcher.start()
        self._listener.start()
        self._poll = asyncio.create_task(self._follow_catalogue())

    async def stop(self) -> None:
        """Answer the claims that wait, then stop."""
        if self._poll is not None:
            self._poll.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._poll
        await self._listener.stop()
        await self._batcher.stop()

    async def claim(
        self, *, player_id: PlayerId, policy_key: PolicyKey, now: datetime.datetime
    ) -> Receipt:
        """Pay the reward day that holds `now`, or return the receipt of when it was paid.

        :raises EmberkeepError: PlayerUnknown, PolicyUnknown, PolicyNotInForce, WindowClosed,
            CooldownRunning; Unavailable when the database does not answer
        """
        remembered = self._receipts.get((player_id, policy_key))
        if (
            remembered is not None
            and now < remembered.until
            and remembered.revision == self._catalogue.revision
        ):
            return remembered.receipt
        return await self._batcher.submit(
            ClaimRequest(player_id=player_id, policy_key=policy_key, at=now, now=now)
        )

    def forget(self, player_id: PlayerId) -> None:
        """Ask the database again for this player, whose next boundary may have moved.

        Other processes remember until the old boundary. Only `next_boundary_at` can be outdated
        there; what was paid, and that it was, cannot.
        """
        for policy_key in self._catalogue.versions:
            self._receipts.pop((player_id, policy_key), None)

    async def _answer_batch(
        self, conn: Connection, requests: Sequence[ClaimRequest]
    ) -> Sequence[Receipt | EmberkeepError]:
        now = requests[-1].now
        answers, catalogue = await claim_batch(
            conn,
            requests=requests,
            catalogue=self._catalogue,
            server_zone=self._server_zone,
            now=now,
        )
        self._adopt(catalogue)
        for request, answer in zip(requests, answers, strict=True):
            if isinstance(answer, Receipt):
                self._remember(request, answer, catalogue)
                self.rule_failures.note(answer, now=now)
        return answers

    def _remember(self, request: ClaimRequest, receipt: Receipt, catalogue: Catalogue) -> None:
        key = request.policy_key
        if self._max_receipts == 0 or not has_one_window(catalogue, policy_key=key, at=request.now):
            # Whoever enters a segment meanwhile, which nobody tells us, may be owed another day.
            return
        if len(self._receipts) >= self._max_receipts:
            # The oldest entry: a dict keeps the order in which its keys came.
            self._receipts.pop(next(iter(self._receipts)))
        until = receipt.next_boundary_at
        switch_at = find_next_switch(catalogue, policy_key=key, at=request.now)
        if switch_at is not None and switch_at < until:
            until = switch_at
        self._receipts[request.player_id, key] = _Remembered(
            msgspec.structs.replace(receipt, status=ClaimStatus.ALREADY_CLAIMED),
            catalogue.revision,
            until,
        )

    def _adopt(self, catalogue: Catalogue) -> None:
        if catalogue.revision > self._catalogue.revision:
            self._catalogue = catalogue

    async def _follow_catalogue(self) -> None:
        while True:
            await self._listener.wait(self._catalogue_poll_s)
            try:
                async with self._database.connection() as conn:
                    if await store.read_revision(conn) != self._catalogue.revision:
                        self._adopt(await load_catalogue(conn))
            except Exception as e:  # noqa: BLE001 -- The net must not tear; the next poll tries again.
                _log.warning("catalogue_poll_failed", error=type(e).__name__)
