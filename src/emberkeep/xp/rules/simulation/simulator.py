"""Several versions over the same players, chunk by chunk; memory does not grow with the players."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from typing import Final

import msgspec

from emberkeep.xp.model import (
    AwardCount,
    Contender,
    MilestoneCount,
    PlayerId,
    Refusals,
    Season,
    SimulatedDay,
    Simulation,
    SimulationSource,
    StreakCount,
    VersionFigures,
)
from emberkeep.xp.rules.simulation.claims import Claims, Ints
from emberkeep.xp.rules.simulation.comparison import Comparing
from emberkeep.xp.rules.simulation.replay import Replay
from emberkeep.xp.rules.simulation.tally import Tally
from emberkeep.xp.rules.simulation.turns import Buffers, Turns, take_turns

# Some 100 MB of arrays; fewer claims at once, and numpy is called too often for them.
_CLAIMS_PER_BLOCK: Final = 1_000_000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Players whose claims are complete, and by contender those that its window admits.

    Contenders whose windows admit the same share one value.
    """

    players: Sequence[PlayerId]
    claims: Sequence[Claims]
    refused: Sequence[Refusals]

    def spread(self, places: Sequence[int]) -> Chunk:
        """Return the chunk for contenders of whom each uses the claims at its place."""
        return Chunk(
            players=self.players,
            claims=[self.claims[place] for place in places],
            refused=[self.refused[place] for place in places],
        )


class Simulator:
    """The contenders, the first of whom is the baseline, and what they came to so far."""

    def __init__(
        self,
        contenders: Sequence[Contender],
        seasons: Sequence[Season],
        *,
        from_day: datetime.date | None,
        to_day: datetime.date | None,
    ) -> None:
        self._contenders = contenders
        self._seasons = seasons
        self._from_day, self._to_day = from_day, to_day
        self._players = 0
        self._refused = [Refusals() for _ in contenders]
        self._replays = [
            Replay(
                contender.policy,
                since=None if from_day is None else from_day.toordinal(),
                until=None if to_day is None else to_day.toordinal(),
            )
            for contender in contenders
        ]
        self._comparisons = [Comparing(contender.name) for contender in contenders[1:]]
        self._buffers = Buffers()

    def feed(self, chunk: Chunk) -> None:
        """Replay players who were not there before."""
        self._players += len(chunk.players)
        self._refused = [_add(*pair) for pair in zip(self._refused, chunk.refused, strict=True)]
        # A window may admit a multiple of what another does: the largest decides.
        largest = max(chunk.claims, key=lambda claims: claims.count)
        for first, end in largest.list_blocks(max_claims=_CLAIMS_PER_BLOCK):
            totals = self._run_block([claims.select(first, end) for claims in chunk.claims], chunk)
            for comparing, other in zip(self._comparisons, totals[1:], strict=True):
                comparing.add(totals[0], other, chunk.players[first:end])

    def _run_block(self, blocks: Sequence[Claims], chunk: Chunk) -> list[Ints]:
        totals: list[Ints] = []
        turns: Turns | None = None
        for place, (replay, block) in enumerate(zip(self._replays, blocks, strict=True)):
            # The turns lie in buffers: they are taken anew as soon as they are those of others.
            if turns is None or chunk.claims[place] is not chunk.claims[place - 1]:
                turns = take_turns(block, self._seasons, self._buffers)
            totals.append(replay.run(block, turns, self._buffers))
        return totals

    def conclude(
        self, *, source: SimulationSource, sample_percent: int = 100, notes: Sequence[str] = ()
    ) -> Simulation:
        """Return the figures; nothing is fed afterwards."""
        tallies = [replay.conclude() for replay in self._replays]
        return Simulation(
            source=source,
            from_day=self._from_day,
            to_day=self._to_day,
            sample_percent=sample_percent,
            players=self._players,
            versions=tuple(
                _draw_up(contender, tally, refused, tallies[0])
                for contender, tally, refused in zip(
                    self._contenders, tallies, self._refused, strict=True
                )
            ),
            comparisons=tuple(comparing.conclude() for comparing in self._comparisons),
            notes=tuple(notes),
        )


def _add(refused: Refusals, more: Refusals) -> Refusals:
    return Refusals(
        **{
            name: getattr(refused, name) + getattr(more, name)
            for name in msgspec.structs.asdict(refused)
        }
    )


def _draw_up(
    contender: Contender, tally: Tally, refused: Refusals, baseline: Tally
) -> VersionFigures:
    is_baseline = tally is baseline
    return VersionFigures(
        name=contender.name,
        policy_key=contender.policy.policy_key,
        policy_version=contender.policy_version,
        is_baseline=is_baseline,
        players=tally.players,
        claims=tally.claims,
        refused=refused,
        xp=tally.xp,
        xp_per_claim=_divide(tally.xp, tally.claims),
        xp_per_player=_divide(tally.xp, tally.players),
        inflation_percent=(
            None
            if is_baseline or not baseline.xp
            else _divide(100 * (tally.xp - baseline.xp), baseline.xp)
        ),
        changes=dict(sorted(tally.changes.items())),
        grace_days=tally.grace_days,
        freezes_used=tally.freezes_used,
        freezes_earned=tally.freezes_earned,
        milestones=tuple(
            MilestoneCount(
                day=milestone.day,
                reward_type=milestone.reward_type,
                reward_value=milestone.reward_value,
                players=players,
            )
            for milestone, players in sorted(tally.milestones.items(), key=lambda item: item[0].day)
        ),
        streaks=tuple(
            StreakCount(effective_day=day, claims=claims)
            for day, claims in sorted(tally.streaks.items())
        ),
        awards=tuple(
            AwardCount(xp_awarded=xp, claims=claims) for xp, claims in sorted(tally.awards.items())
        ),
        days=tuple(
            SimulatedDay(day=datetime.date.fromordinal(day), xp=xp, claims=claims)
            for day, xp, claims in tally.daily.list_days()
        ),
    )


def _divide(number: int, by: int) -> str:
    """Return a quotient with two decimals, rounded half up by its size; of nothing it is 0."""
    hundredths = (200 * abs(number) + by) // (2 * by) if by else 0
    sign = "-" if number < 0 and hundredths else ""
    return f"{sign}{hundredths // 100}.{hundredths % 100:02d}"
