"""Arrays as text: what goes out comes back, whatever the characters."""

from __future__ import annotations

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emberkeep.base import sql
from emberkeep.base.postgres import EmbeddedServer

# What PostgreSQL can hold: no NUL, and no half of a surrogate pair.
_TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([1, None, -3], "{1,null,-3}"),
        ([], "{}"),
        ([True, False], "{True,False}"),
    ],
)
def test_plain_values_are_not_quoted(values: list[object], text: str) -> None:
    assert sql.array(values) == text


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(values=st.lists(st.none() | _TEXTS, max_size=8))
def test_texts_come_back_as_they_went(
    values: list[str | None], postgres_server: EmbeddedServer
) -> None:
    with psycopg.connect(postgres_server.dsn) as conn:
        row = conn.execute("select %s::text[]", [sql.text_array(values)]).fetchone()
    assert row == (values,)
