"""Which versions of a policy a list shows, and what stands of each policy in one. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from emberkeep.xp.model import (
    PolicyKey,
    PolicyOutline,
    ReasonInvalid,
    VersionFilter,
    VersionLife,
)
from emberkeep.xp.rules.publication import find_draft, find_in_force, find_waiting
from emberkeep.xp.rules.reason import list_reason_errors


def is_shown(
    wanted: VersionFilter, *, status: str, created_by: str, document: Mapping[str, Any]
) -> bool:
    """Say whether a version is among those that `wanted` describes."""
    return (
        wanted.status in (None, status)
        and wanted.created_by in (None, created_by)
        and wanted.model in (None, document["streak_model"]["type"])
        and (wanted.text is None or _says(document, wanted.text))
    )


def _says(document: Mapping[str, Any], text: str) -> bool:
    """Say whether a document has `text`, in any case, in what operators write for each other."""
    labels = [boost["label"] for boost in document["seasonal_boosts"]]
    words = [document["display_name"], document["description"], *labels]
    return any(text.casefold() in word.casefold() for word in words)


def outline_policy(
    policy_key: PolicyKey,
    *,
    lives: Sequence[VersionLife],
    names: Mapping[int, str],
    now: datetime.datetime,
) -> PolicyOutline:
    """Return where a policy stands at `now`; it goes by the name it has in force, or will have.

    :param lives: of every version, at least one; oldest first
    :param names: the display name of every version
    """
    in_force, waiting = find_in_force(lives, now), find_waiting(lives, now)
    draft, newest = find_draft(lives), lives[-1]
    shown = in_force or waiting or draft or newest
    return PolicyOutline(
        policy_key=policy_key,
        display_name=names[shown.policy_version],
        in_force=in_force and in_force.policy_version,
        scheduled=waiting and waiting.policy_version,
        scheduled_at=waiting and waiting.effective_at,
        draft=draft and draft.policy_version,
        newest=newest.policy_version,
    )


def find_candidate(lives: Sequence[VersionLife], *, now: datetime.datetime) -> int:
    """Return the version that operators would compare with the one in force: what comes next.

    The draft, or else the one that waits for its instant, or else the newest.
    """
    return (find_draft(lives) or find_waiting(lives, now) or lives[-1]).policy_version


def check_reason(reason: str) -> None:
    """Let the reason of a step pass; none is "".

    :raises ReasonInvalid: if it cannot be kept
    """
    errors = tuple(list_reason_errors(reason))
    if errors:
        raise ReasonInvalid("the reason cannot be kept", errors)
