"""Simulations over HTTP: what versions would have paid for the claims that were recorded."""

from __future__ import annotations

import datetime
from typing import Annotated, Final

import msgspec
from litestar import post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from emberkeep.base.identity import Permission
from emberkeep.xp.model import PolicyKey, Simulation
from emberkeep.xp.routes.shapes import Body
from emberkeep.xp.service.services import XpServices

_TAGS: Final = ["policies"]
_NO_DOCUMENT: Final = (b"", b"null")
_Version = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]


class SimulationBody(Body, frozen=True, rename={"from_day": "from", "to_day": "to"}):
    """Which versions, drafts too, of which policy; and a document that is nowhere saved, if need be.

    What is counted are the reward days from `from` to `to`, both included; earlier claims are
    replayed, because streaks begin there. `sample_percent` takes a share of the players, always the
    same ones.
    """

    policy_key: Annotated[PolicyKey, msgspec.Meta(min_length=1, max_length=64)]
    versions: Annotated[list[_Version], msgspec.Meta(max_length=15)] = msgspec.field(
        default_factory=list[int]
    )
    # As text, like every policy document: its decimals must not pass through binary floats.
    document: Annotated[
        msgspec.Raw, msgspec.Meta(description="A policy document, as drafts have it.")
    ] = msgspec.field(default_factory=msgspec.Raw)
    from_day: datetime.date | None = None
    to_day: datetime.date | None = None
    sample_percent: Annotated[int, msgspec.Meta(ge=1, le=100)] = 100


@post(
    "/v1/xp/simulations",
    opt={"permission": Permission.READ_POLICIES},
    status_code=200,
    tags=_TAGS,
    summary="What versions of a policy would have paid",
)
async def simulate(
    data: JSONBody[SimulationBody],
    now: NamedDependency[datetime.datetime],
    xp: NamedDependency[XpServices],
) -> Simulation:
    """Replays the recorded claims under each version and writes nothing. The version in force comes
    first and is the baseline; where there is none, it is the first that was named. A process runs
    one simulation at a time.

    Refusals: `xp.simulation_invalid` (422, every error with its path), `xp.simulation_too_large`
    (422, with `claims` and `max_claims`), `xp.policy_invalid` (422), `xp.policy_unknown` (404),
    `xp.simulation_running` (503).
    """
    # Brings numpy, which a server that is never asked does without.
    from emberkeep.xp.service.simulation import Span, Wish, simulate_wish

    wish = Wish(
        policy_key=data.policy_key,
        versions=tuple(data.versions),
        document=None if bytes(data.document) in _NO_DOCUMENT else bytes(data.document),
        span=Span(from_day=data.from_day, to_day=data.to_day),
        sample_percent=data.sample_percent,
    )
    return await simulate_wish(xp, wish, now=now)
