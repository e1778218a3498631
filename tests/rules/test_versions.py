"""Which reasons of steps are kept."""

from __future__ import annotations

import pytest

from emberkeep.xp.model import ReasonInvalid
from emberkeep.xp.rules.versions import check_reason


@pytest.mark.parametrize("reason", ["x" * 501, "a\0b", "\udc00"])
def test_a_reason_is_short_and_can_be_stored(reason: str) -> None:
    with pytest.raises(ReasonInvalid) as refused:
        check_reason(reason)
    assert [error.path for error in refused.value.errors] == ["reason"]


@pytest.mark.parametrize("reason", ["", "x" * 500, "Ostern 🐣\nund danach"])
def test_any_other_reason_is_kept(reason: str) -> None:
    check_reason(reason)
