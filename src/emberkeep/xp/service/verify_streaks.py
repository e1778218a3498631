"""Whether streaks are what awards and actions make them, and awards what their policies pay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from emberkeep.base.check import Check, Tally
from emberkeep.base.db import Connection
from emberkeep.xp.model import Explanation, PlayerId, Season, Step
from emberkeep.xp.rules.claim import explain
from emberkeep.xp.rules.streak_history import Policies, is_as_folded
from emberkeep.xp.service.histories import FoldedStreak, fold_streaks
from emberkeep.xp.store import AwardRow

_STREAKS: Final = "xp: streaks equal their history"
_REBUILT: Final = "xp: awards are what their policy pays"
_ORDERED: Final = "xp: reward days increase with time"


async def check_streaks(
    conn: Connection, policies: Policies, seasons: Sequence[Season]
) -> tuple[Check, ...]:
    """Return whether every streak, and every award on its way, is decided the same again."""
    streaks = Tally(_STREAKS)
    awards = _Awards(policies)
    async for player in fold_streaks(conn, policies, seasons, on_award=awards.compare):
        streaks.count(_compare_streaks(player))
    return streaks.conclude(), awards.rebuilt.conclude(), awards.ordered.conclude()


def _compare_streaks(player: FoldedStreak) -> str | None:
    name = f"player {player.player_id}"
    kept, folded = player.kept, player.folded
    if folded is None:
        return f"{name}: the history cannot be read"
    if not is_as_folded(kept, folded):
        return f"{name}: the streak says {kept}, the history {folded}"
    if kept is not None and kept.action_count < player.actions:
        return f"{name}: the streak knows of {kept.action_count} actions, of {player.actions}"
    return None


class _Awards:
    """The awards of all players, compared with what they come to, one player after the other."""

    def __init__(self, policies: Policies) -> None:
        self.rebuilt, self.ordered = Tally(_REBUILT), Tally(_ORDERED)
        self._policies = policies
        self._player_id: PlayerId | None = None
        self._last: AwardRow | None = None
        self._is_told = False

    def compare(self, player_id: PlayerId, award: AwardRow, step: Step | None) -> None:
        """Count whether `award` is in order, and what `step` says it is."""
        if player_id != self._player_id:
            self._player_id, self._last, self._is_told = player_id, None, False
        self.ordered.count(self._find_disorder(award))
        # Everything after the first difference would differ too, and say nothing new.
        difference = None if self._is_told else self._find_difference(award, step)
        self._is_told = self._is_told or difference is not None
        self.rebuilt.count(difference)
        self._last = award

    def _find_disorder(self, award: AwardRow) -> str | None:
        """Return what is wrong with the order of `award` and the one before it.

        A replayed history may have two days at one instant, by two clocks.
        """
        if self._last is None or self._last.claimed_at <= award.claimed_at:
            return None
        return (
            f"player {self._player_id}: {award.reward_day_id} was claimed earlier than"
            f" {self._last.reward_day_id}"
        )

    def _find_difference(self, award: AwardRow, step: Step | None) -> str | None:
        where = f"player {self._player_id}, {award.reward_day_id}"
        if step is None:
            return f"{where}: its day or its policy cannot be read"
        policy = self._policies[award.policy_key, award.policy_version]
        paid = _list_paid(award)
        due = (*_list_due(step), explain(policy, step, None))
        return None if paid == due else f"{where}: paid {paid}, due {due}"


def _list_paid(award: AwardRow) -> tuple[Any, ...]:
    return (
        award.xp_awarded,
        award.streak_day,
        award.current,
        award.longest,
        award.grace_used,
        msgspec.json.decode(award.model_state),
        msgspec.json.decode(award.milestones),
        _read_explanation(award),
    )


def _list_due(step: Step) -> tuple[Any, ...]:
    return (
        step.xp_awarded,
        step.effective_day,
        str(step.effective_day),
        str(step.state.longest_streak),
        str(step.state.grace_used),
        step.state.model_state,
        [msgspec.to_builtins(milestone) for milestone in step.milestones],
    )


def _read_explanation(award: AwardRow) -> Explanation | None:
    """Return what the award says of its factors; None where that cannot be read.

    A season may be added when it has begun: earlier awards did not know of it. Whom a segment has
    may have changed since, so what chose the version cannot be told anew.
    """
    try:
        said = msgspec.json.decode(award.explain, type=Explanation)
    except msgspec.ValidationError:
        return None
    return msgspec.structs.replace(said, season_id=None, chosen_by=None)
