"""What a policy document may say: read with every error at once, rendered back without loss.

Shapes and bounds of single fields stand in `model/`; here is what must hold between fields, and
the proof that no claim under the policy can pay less than 1 XP or more than the cap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from emberkeep.base.errors import FieldError
from emberkeep.xp.model import (
    SCALE,
    AwardBounds,
    CurveRow,
    Grace,
    Policy,
    PolicyInvalid,
    SeasonalBoost,
    StreakModel,
)
from emberkeep.xp.rules import document, streak_models
from emberkeep.xp.rules.document import Incomplete, Reader
from emberkeep.xp.rules.document import format_scaled as format_scaled
from emberkeep.xp.rules.pay import Pay, list_pays

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

MIN_AWARD_XP: Final = 1
DEFAULT_MAX_AWARD_XP: Final = 5000

# A document with more errors is hostile or no policy at all; the answer to it stays small.
_MAX_ERRORS: Final = 1000


def parse_policy(raw: object, *, max_award_xp: int = DEFAULT_MAX_AWARD_XP) -> Policy:
    """Return the policy that a document describes.

    :param raw: JSON as bytes or text; or a document that is decoded already, whose multipliers
        must then be strings or whole numbers
    :param max_award_xp: the largest single award that a policy may pay
    :raises PolicyInvalid: with everything that is wrong, each at its JSON path
    """
    try:
        given = document.decode(raw) if isinstance(raw, (bytes, str)) else raw
    except document.NotJson as e:
        message = f"is not JSON: {e}"
        raise PolicyInvalid(f"the policy {message}", [FieldError(document.ROOT, message)]) from e
    reader = Reader(hooks={StreakModel: _read_streak_model}, checks=_CHECKS)
    policy = reader.read_noun(Policy, given, document.ROOT)
    errors = [*reader.errors, *_check_awards(policy, max_award_xp)]
    if errors:
        raise PolicyInvalid("the policy breaks rules", errors[:_MAX_ERRORS])
    assert isinstance(policy, Policy)
    return policy


def render_policy(policy: Policy) -> dict[str, object]:
    """Return the JSON document of `policy`; `parse_policy` gives the same policy back."""
    return document.render(policy, {StreakModel: _render_streak_model})


def _read_streak_model(reader: Reader, raw: object, path: str) -> object:
    if not isinstance(raw, dict):
        return reader.refuse(path, "must be an object")
    given = cast("dict[str, object]", raw)
    reader.refuse_strangers(given, ("type", "parameters"), path)
    type_path = document.join(path, "type")
    if "type" not in given:
        return reader.refuse(type_path, "is missing")
    known = streak_models.parameter_types()
    name = reader.read_choice(tuple(known), given["type"], type_path)
    if isinstance(name, Incomplete):
        return name
    parameters = given.get("parameters", {})
    return reader.read_noun(known[name], parameters, document.join(path, "parameters"))


def _render_streak_model(parameters: StreakModel) -> dict[str, object]:
    return {
        "type": type(parameters).__name__,
        "parameters": document.render(parameters, {}),
    }


# The checks below are given nouns of which fields may be missing: those are None, and whatever
# could be read is still compared, so that one look at the errors is enough.


def _check_grace(grace: Any, path: str) -> Iterator[FieldError]:
    if grace.window_days is None or grace.allowed_misses is None:
        return
    if grace.window_days < grace.allowed_misses:
        yield FieldError(
            document.join(path, "window_days"),
            f"must be at least allowed_misses, which is {grace.allowed_misses}",
        )


def _check_boost(boost: Any, path: str) -> Iterator[FieldError]:
    if boost.start_at is None or boost.end_at is None:
        return
    if boost.start_at >= boost.end_at:
        yield FieldError(document.join(path, "end_utc"), "must be later than start_utc")


def _check_policy(policy: Any, _: str) -> Iterator[FieldError]:
    yield from _check_curve(policy.streak_curve or ())
    yield from _check_overlaps(policy.seasonal_boosts or ())


def _check_curve(curve: Sequence[Any]) -> Iterator[FieldError]:
    for index, row in enumerate(curve):
        if row.day_index is not None and row.day_index != index:
            yield FieldError(
                f"streak_curve[{index}].day_index",
                f"must be {index}: rows count from 0, in order and without gaps",
            )


def _check_overlaps(boosts: Sequence[Any]) -> Iterator[FieldError]:
    spans = [
        (boost.start_at, boost.end_at, index)
        for index, boost in enumerate(boosts)
        if boost.start_at is not None and boost.end_at is not None
    ]
    for index, other in document.find_overlaps(spans):
        yield FieldError(f"seasonal_boosts[{index}]", f"overlaps seasonal_boosts[{other}]")


def _check_awards(policy: Any, max_award_xp: int) -> Iterator[FieldError]:
    """Prove the bounds of every award: each day that a streak can reach, under each boost."""
    if policy.base_xp_amount is None or _find_conduct(policy.streak_model) is None:
        return
    if not _is_complete(policy.streak_curve or ()):
        return
    least, most = _find_extremes(policy)
    if least.xp < MIN_AWARD_XP:
        yield FieldError(
            f"streak_curve[{least.curve.day_index}]",
            f"pays {least.xp} XP on day {least.first_day}; the smallest award is {MIN_AWARD_XP}",
        )
    if most.xp > max_award_xp:
        yield FieldError(
            f"streak_curve[{most.curve.day_index}]",
            f"pays up to {most.xp} XP on day {most.first_day}, with every multiplier;"
            f" the largest award is {max_award_xp}",
        )


def find_award_bounds(policy: Policy) -> AwardBounds:
    """Return the least and the most that a claim under `policy` can be paid."""
    least, most = _find_extremes(policy)
    return AwardBounds(
        smallest_xp=least.xp,
        smallest_day=least.first_day,
        largest_xp=most.xp,
        largest_day=most.first_day,
    )


def _find_extremes(policy: Any) -> tuple[Pay, Pay]:
    """Return the smallest pay, which no boost raises, and the largest, under the highest boost."""
    boosts = [boost.multiplier for boost in policy.seasonal_boosts or ()]
    highest = max((boost for boost in boosts if boost is not None), default=SCALE)
    base_xp, curve = policy.base_xp_amount, policy.streak_curve
    conduct = streak_models.find_conduct(policy.streak_model)
    plain = list_pays(base_xp=base_xp, curve=curve, conduct=conduct)
    boosted = list_pays(base_xp=base_xp, curve=curve, conduct=conduct, boost_multiplier=highest)
    return min(plain.pays, key=lambda pay: pay.xp), max(boosted.pays, key=lambda pay: pay.xp)


def _find_conduct(model: object) -> streak_models.Conduct | None:
    return streak_models.find_conduct(model) if isinstance(model, StreakModel) else None


def _is_complete(curve: Sequence[Any]) -> bool:
    return (
        len(curve) > 0
        and all(isinstance(row, CurveRow) for row in curve)
        and not any(_check_curve(curve))
    )


_CHECKS: Final[Mapping[type, Callable[[Any, str], Iterable[FieldError]]]] = {
    Policy: _check_policy,
    Grace: _check_grace,
    SeasonalBoost: _check_boost,
    **streak_models.parameter_checks(),
}
