"""What versions of a policy would have paid to past players, side by side."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Mapping

from emberkeep.base.errors import Invalid, Unavailable
from emberkeep.xp.model.noun import Noun, PlayerId, PolicyKey
from emberkeep.xp.model.policy import Policy
from emberkeep.xp.model.streak import StreakChange
from emberkeep.xp.model.summary import MilestoneCount


class SimulationSource(enum.StrEnum):
    """Where the claims of a simulation come from."""

    ACTIVITY = "activity"
    RECORDED_CLAIMS = "recorded_claims"


class Contender(Noun, frozen=True, kw_only=True):
    """A policy that takes part in a simulation; without a version it is a document of its own."""

    name: str
    policy: Policy
    policy_version: int | None = None


class SimulatedDay(Noun, frozen=True, kw_only=True):
    """What a version pays on a reward day, to all players together."""

    day: datetime.date
    xp: int
    claims: int


class StreakCount(Noun, frozen=True, kw_only=True):
    """How many claims are for this day of a streak."""

    effective_day: int
    claims: int


class AwardCount(Noun, frozen=True, kw_only=True):
    """How many claims pay this much."""

    xp_awarded: int
    claims: int


class Refusals(Noun, frozen=True, kw_only=True):
    """Visits that are not paid: by a window that has closed, a cooldown, or a day already paid."""

    window_closed: int = 0
    cooldown: int = 0
    day_passed: int = 0


class VersionFigures(Noun, frozen=True, kw_only=True):
    """What one version pays. Means and shares are decimals with two places, rounded half up.

    `inflation_percent` is how much more XP that is than the baseline's; None for the baseline, and
    where that pays nothing. `players` are those who are paid at all.
    """

    name: str
    policy_key: PolicyKey
    policy_version: int | None
    is_baseline: bool
    players: int
    claims: int
    refused: Refusals
    xp: int
    xp_per_claim: str
    xp_per_player: str
    inflation_percent: str | None
    changes: Mapping[StreakChange, int]
    grace_days: int
    freezes_used: int
    freezes_earned: int
    milestones: tuple[MilestoneCount, ...]
    streaks: tuple[StreakCount, ...]
    awards: tuple[AwardCount, ...]
    days: tuple[SimulatedDay, ...]


class PlayerChange(Noun, frozen=True, kw_only=True):
    """What a player gets under the baseline and under another version."""

    player_id: PlayerId
    baseline_xp: int
    xp: int
    change_xp: int


class ShareCount(Noun, frozen=True, kw_only=True):
    """How many players' XP changes by [`from_percent`, `to_percent`) of what the baseline pays.

    None is an end that is open. Those whose XP stays exactly as it was are not among them.
    """

    from_percent: int | None
    to_percent: int | None
    players: int


class Comparison(Noun, frozen=True, kw_only=True):
    """Who gains and who loses by a version against the baseline."""

    name: str
    players_gaining: int
    players_losing: int
    players_unchanged: int
    xp_gained: int
    xp_lost: int
    shares: tuple[ShareCount, ...]
    largest_gains: tuple[PlayerChange, ...]
    largest_losses: tuple[PlayerChange, ...]


class Simulation(Noun, frozen=True, kw_only=True):
    """Versions side by side over the same claims; the first of `versions` is the baseline.

    Claims before `from_day` are replayed, because streaks begin there, but not counted.
    """

    source: SimulationSource
    from_day: datetime.date | None
    to_day: datetime.date | None
    sample_percent: int
    players: int
    versions: tuple[VersionFigures, ...]
    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...]


class SimulationInvalid(Invalid):
    """The simulation cannot be run as it is asked for; `errors` names all reasons."""

    code = "xp.simulation_invalid"


class SimulationTooLarge(Invalid):
    """More claims are recorded than one request may replay: take a sample, or the command line."""

    code = "xp.simulation_too_large"


class SimulationRunning(Unavailable):
    """This process runs a simulation already; one at a time."""

    code = "xp.simulation_running"
