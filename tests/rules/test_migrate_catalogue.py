"""What two readings of a catalogue have apart, and when two schemas read the same."""

from __future__ import annotations

import pytest

from emberkeep.migrate.rules import catalogue


@pytest.mark.parametrize(
    ("schema", "line", "restored"),
    [
        ("xp", "call xp.f()", "call ${schema}.f()"),
        ("xp", 'call "xp".f()', "call ${schema}.f()"),
        ("X-1", 'call "X-1".f()', "call ${schema}.f()"),
        ("xp", "call my_xp.f(), a.xp.f, $xp.f", "call my_xp.f(), a.xp.f, $xp.f"),
        ("xp", "check (kind = 'xp.granted')", "check (kind = 'xp.granted')"),
        ("x.p", "x1p.f", "x1p.f"),
        ("x'p", "f\n SET search_path TO 'x''p', 'a'", "f\n SET search_path TO '${schema}', 'a'"),
    ],
)
def test_the_token_returns_where_the_name_qualifies(schema: str, line: str, restored: str):
    assert catalogue.restore_tokens([line], schema) == (restored,)


def test_a_difference_names_the_lines_of_both_sides():
    found = catalogue.compare_catalogues(
        "xp", ["column a int", "column b int"], ["column a text", "column b int"]
    )
    assert [f.message for f in found] == ["- column a int", "+ column a text"]
    assert catalogue.compare_catalogues("xp", ["a", "b"], ["b", "a"]) == ()


def test_a_fingerprint_is_of_the_lines():
    assert catalogue.compute_fingerprint(["a", "b"]) == catalogue.compute_fingerprint(("a", "b"))
    assert catalogue.compute_fingerprint(["a", "b"]) != catalogue.compute_fingerprint(["a"])
