"""Checksum, tokens, header: what the text of a migration says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emberkeep.migrate.model import FileInvalid, Script
from emberkeep.migrate.rules import text


def test_the_checksum_is_of_the_text_as_written_whatever_the_line_ends():
    assert text.compute_checksum("a\r\nb") == text.compute_checksum("a\nb")
    assert text.compute_checksum("a ") != text.compute_checksum("a")
    assert text.compute_checksum("${schema}") != text.compute_checksum("xp")


@pytest.mark.parametrize(
    ("name", "quoted"),
    [
        ("xp", "xp"),
        ("tenant_7", "tenant_7"),
        ("Xp", '"Xp"'),
        ("tenant-7", '"tenant-7"'),
        ("7th", '"7th"'),
        ("user", '"user"'),
        ('a"b', '"a""b"'),
        ("é", '"é"'),
    ],
)
def test_a_name_is_quoted_only_where_it_must_be(name: str, quoted: str):
    assert text.quote_identifier(name) == quoted


@pytest.mark.parametrize("name", ["", "a" * 64, "é" * 32, "a\0b"])
def test_a_name_that_postgresql_would_cut_or_refuse_is_refused(name: str):
    with pytest.raises(FileInvalid):
        text.quote_identifier(name)


@pytest.mark.parametrize("written", ["${scheme}", "-- ${}", "'${Schema}'"])
def test_an_unknown_token_is_refused_wherever_it_stands(written: str):
    with pytest.raises(FileInvalid) as caught:
        text.check_tokens(Script("V001__a.sql", f"select 1;\n  {written}"), frozenset({"schema"}))
    assert "V001__a.sql:2:" in caught.value.message


def test_tokens_are_replaced_everywhere():
    assert text.render("${schema}.a '${schema}'", {"schema": '"X"'}) == '"X".a \'"X"\''


@given(st.lists(st.sampled_from(["${schema}", "a", "\n", ".b "])), st.sampled_from(["x", "xp" * 9]))
def test_a_place_in_the_rendered_text_leads_back_to_the_file(parts: list[str], schema: str):
    raw, tokens = "".join(parts), {"schema": schema}
    rendered = text.render(raw, tokens)
    places = [text.find_raw_offset(raw, tokens, at) for at in range(len(rendered))]
    assert places == sorted(places)
    for at, place in enumerate(places):
        assert raw[place] == "$" or raw[place] == rendered[at]


def test_line_and_column_count_from_one():
    assert [text.locate("ab\nc", at) for at in range(5)] == [
        (1, 1),
        (1, 2),
        (1, 3),
        (2, 1),
        (2, 2),
    ]


@pytest.mark.parametrize(
    ("header", "is_transactional"),
    [
        ("", True),
        ("-- Adds an index.\n", True),
        ("-- transactional: false\n", False),
        ("\n-- Adds an index.\n--  transactional: FALSE \n", False),
        ("\n-- Adds an index.\n--transactional:false\n", False),
        ("-- transactional: true\n", True),
        ("select 1; \n-- transactional: false\n", True),
    ],
)
def test_a_file_runs_in_a_transaction_unless_its_header_says_no(
    header: str, *, is_transactional: bool
):
    assert text.is_transactional(Script("V001__a.sql", header + "select 1")) is is_transactional


def test_a_header_that_says_something_else_is_refused():
    with pytest.raises(FileInvalid):
        text.is_transactional(Script("V001__a.sql", "-- transactional: no\nselect 1"))
