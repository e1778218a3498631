"""Why a claim would pay what it would, step by step, or why it would not and when it would."""

from __future__ import annotations

import datetime

import msgspec

from emberkeep.base.db import Connection
from emberkeep.base.errors import EmberkeepError
from emberkeep.xp.model import (
    BalanceLimit,
    ClaimStatus,
    CooldownRunning,
    PlayerUnknown,
    PolicyKey,
    PolicyNotInForce,
    PolicyUnknown,
    PolicyVersion,
    Question,
    Receipt,
    Verdict,
    WindowClosed,
)
from emberkeep.xp.rules.catalogue import Catalogue
from emberkeep.xp.rules.explain import (
    Setting,
    explain_payment,
    explain_refusal,
    explain_setting,
)
from emberkeep.xp.service.eligibility import find_level, find_player_id, find_streak
from emberkeep.xp.service.trial import Trial, choose_policy, open_trial, read_opening


async def explain_claim(
    conn: Connection,
    *,
    question: Question,
    policy_key: PolicyKey | None,
    default_policy_key: PolicyKey,
    catalogue: Catalogue,
    server_zone: str,
    now: datetime.datetime,
) -> Verdict:
    """Return what a claim would come to, and why. That it would not be paid is an answer, too.

    :param catalogue: as it stands now
    :raises PolicyKeyMismatch: when the document is of another policy than the one that is named
    :raises InstantOutOfRange: within days of the first or the last year there is
    """
    blank = _make_blank(question, policy_key or default_policy_key, now)
    try:
        key, catalogue = await choose_policy(
            conn,
            question=question,
            policy_key=policy_key,
            default_policy_key=default_policy_key,
            catalogue=catalogue,
            now=now,
        )
    except PolicyUnknown as e:
        return _end(blank, "policy_unknown", f"{_to_sentence(e)}.", None)
    blank = msgspec.structs.replace(blank, policy_key=key)
    try:
        trial = await open_trial(
            conn,
            question=question,
            policy_key=key,
            catalogue=catalogue,
            server_zone=server_zone,
            now=now,
        )
    except PlayerUnknown as e:
        return _end(blank, "player_unknown", f"{_to_sentence(e)}.", None)
    return _explain(trial, question, blank, now)


def _explain(trial: Trial, question: Question, blank: Verdict, now: datetime.datetime) -> Verdict:
    at = question.at or now
    blank = msgspec.structs.replace(
        blank, at=at, streak=find_streak(trial), level=find_level(trial)
    )
    try:
        at = trial.find_moment(question, now=now)
        version, _ = trial.find_version(at)
    except PolicyUnknown as e:
        return _end(blank, "policy_unknown", f"{_to_sentence(e)}.", None)
    except PolicyNotInForce as e:
        switch = trial.find_switch(at)
        back = None if switch is None else switch.at
        return _end(blank, "no_policy_in_force", f"{_to_sentence(e)}.", back)
    setting = _find_setting(trial, question, version, at)
    opened = msgspec.structs.replace(
        blank,
        at=at,
        policy_version=version.policy_version,
        reward_day_id=setting.today.day,
        steps=explain_setting(setting),
    )
    return _conclude(trial, setting, opened, at)


def _find_setting(
    trial: Trial, question: Question, version: PolicyVersion, at: datetime.datetime
) -> Setting:
    is_named = question.policy is not None or question.policy_version is not None
    switch = None if is_named else trial.find_switch(at)
    return Setting(
        player=trial.player,
        at=at,
        version=version,
        is_named=is_named,
        choice=trial.find_version(at)[1],
        switch_at=None if switch is None else switch.at,
        next_version=None if switch is None else switch.policy_version,
        zone=trial.find_zone(at, version),
        today=trial.find_day(at, version),
        seasons=trial.seasons,
    )


def _conclude(trial: Trial, setting: Setting, opened: Verdict, at: datetime.datetime) -> Verdict:
    try:
        receipt = trial.claim(at)
    except WindowClosed as e:
        closed = f"The claim window of {setting.today.day} has closed."
        return _end(opened, "window_closed", closed, read_opening(e))
    except CooldownRunning as e:
        hours = setting.version.policy.claim_window.min_cooldown_hours
        recent = f"The last claim is less than {hours} hours ago."
        return _end(opened, "cooldown", recent, read_opening(e), min_cooldown_hours=hours)
    except BalanceLimit as e:
        return _end(opened, "balance_limit", f"{_to_sentence(e)}.", None)
    if receipt.status is ClaimStatus.ALREADY_CLAIMED:
        return _end_claimed(setting, opened, receipt)
    return msgspec.structs.replace(
        opened,
        eligible=True,
        xp_awarded=receipt.xp_awarded,
        streak=receipt.streak,
        level=receipt.level,
        steps=(
            *opened.steps,
            *explain_payment(setting, receipt, level_curve=trial.level_curve),
        ),
    )


def _end_claimed(setting: Setting, opened: Verdict, receipt: Receipt) -> Verdict:
    day, today = receipt.reward_day_id, setting.today.day
    says = f"The reward day {day} was claimed already."
    if day > today:
        # A change of zone took the player back: reward days only ever rise.
        says = f"The reward day {day}, which is later, was claimed already."
    return _end(
        opened,
        "already_claimed",
        says,
        receipt.next_boundary_at,
        last_reward_day_id=day.isoformat(),
    )


def _make_blank(question: Question, policy_key: PolicyKey, now: datetime.datetime) -> Verdict:
    return Verdict(
        player_id=find_player_id(question),
        at=question.at or now,
        eligible=False,
        reason=None,
        come_back_at=None,
        policy_key=policy_key,
        policy_version=None,
        reward_day_id=None,
        xp_awarded=0,
        streak=None,
        level=None,
        steps=(),
    )


def _end(
    verdict: Verdict,
    reason: str,
    says: str,
    come_back_at: datetime.datetime | None,
    **facts: object,
) -> Verdict:
    step = explain_refusal(reason, says, come_back_at=come_back_at, **facts)
    return msgspec.structs.replace(
        verdict, reason=reason, come_back_at=come_back_at, steps=(*verdict.steps, step)
    )


def _to_sentence(error: EmberkeepError) -> str:
    return error.message[:1].upper() + error.message[1:]
