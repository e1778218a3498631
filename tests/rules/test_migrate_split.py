"""Where one SQL statement ends: every quote and comment that PostgreSQL knows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emberkeep.migrate.model import FileInvalid
from emberkeep.migrate.rules import split

# Each holds a semicolon that ends nothing.
WHOLE_STATEMENTS = (
    "select 1",
    "select 'a;b'",
    "select 'it''s;'",
    "select E'it\\'s;'",
    "select e'\\\\' || ';'",
    "select E'a'\n'b\\';c'",
    "select E'a' -- and on\n  'b\\';c'",
    "select U&'\\0061;' , b'01' , x'1F' , n';'",
    "select '\\' as \";\"",
    'select 1 as "a;""b"',
    "select $$;$$",
    "select $a$ ; $$ ; $b$ ; $a$",
    "select $é$;$é$",
    "select a$b$, c$b$ from t",
    "select 1 /* ; /* nested; */ ; */ + 1",
    "select 1 -- ;\n + 1",
    "select 4 --;\r + 1",
    "select 1--2;\n",
    "select 6 -/* ; */ 2",
    "select $1 + $2",
    "select '/*', '--', '$$', \"/*\"",
    "select (';')",
    "create rule r as on insert to t do also (insert into a values (1); delete from b)",
    "create function f() returns int begin atomic select 1; select 2; end",
    "create or replace function f() returns int language sql begin atomic"
    " select case when true then case 1 when 1 then 2 end end; end",
    "create procedure p(a int) begin atomic insert into t values (1); end",
    "create function f(begin int) returns int language sql as 'select 1;'",
    "do $do$ begin if true then perform 1; end if; end $do$",
)


@pytest.mark.parametrize("statement", WHOLE_STATEMENTS)
def test_a_semicolon_inside_a_statement_does_not_end_it(statement: str):
    found = split.list_statements(f"{statement};\nselect 'next'")
    assert [s.text for s in found] == [statement.rstrip(), "select 'next'"]


@pytest.mark.parametrize(
    ("text", "statements"),
    [
        ("", []),
        (" ;; -- nothing\n/* ; */ ;", []),
        ("-- a; b\nselect 1;", ["select 1"]),
        ("begin; commit", ["begin", "commit"]),
        ("select begin, atomic from t; end", ["select begin, atomic from t", "end"]),
        ("create table t (); create view begin as select 1; end",
         ["create table t ()", "create view begin as select 1", "end"]),
        ("select 1 \\; select 2", ["select 1 \\", "select 2"]),
    ],
)  # fmt: skip
def test_statements_are_what_stands_between(text: str, statements: list[str]):
    assert [s.text for s in split.list_statements(text)] == statements


def test_a_statement_knows_where_it_begins():
    text = "-- first\n\nselect 1;\n/* second */ select 2"
    assert [text[s.offset :] for s in split.list_statements(text)] == [
        "select 1;\n/* second */ select 2",
        "select 2",
    ]


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("select 'a", 1, 8),
        ('select 1;\n  select "a', 2, 10),
        ("select e'a\\'", 1, 8),
        ("select $a$ b $$", 1, 8),
        ("\n/* a /* b */", 2, 1),
    ],
)
def test_what_is_never_closed_is_refused_with_its_place(text: str, line: int, column: int):
    with pytest.raises(FileInvalid) as caught:
        split.list_statements(text)
    assert (caught.value.facts["line"], caught.value.facts["column"]) == (line, column)


@given(st.text(alphabet="'\"$;-/*\\\n eEab1()é", max_size=60))
def test_cutting_a_text_loses_nothing(text: str):
    try:
        pieces = split.split_script(text)
    except FileInvalid:
        return
    assert "".join(pieces) == text


SEPARATORS = (";", "; ", ";\n", ";;", "; -- ';\n", '; /* " ; $$ */ ', ";\n-- $x$;\n\n")


@given(st.lists(st.tuples(st.sampled_from(WHOLE_STATEMENTS), st.sampled_from(SEPARATORS))))
def test_known_statements_come_back_as_they_were(parts: list[tuple[str, str]]):
    text = "".join(statement + "\n" + separator for statement, separator in parts)
    assert [s.text for s in split.list_statements(text)] == [s.rstrip() for s, _ in parts]


@pytest.mark.parametrize(
    ("statement", "without"),
    [
        ("create index concurrently i on t (a)", "create index  i on t (a)"),
        ("DROP INDEX CONCURRENTLY i", "DROP INDEX  i"),
        ("select 'concurrently', \"concurrently\" -- concurrently",
         "select 'concurrently', \"concurrently\" -- concurrently"),
    ],
)  # fmt: skip
def test_concurrently_goes_only_where_it_is_a_key_word(statement: str, without: str):
    assert split.drop_concurrently(statement) == without


@pytest.mark.parametrize("statement", ["BEGIN", "/**/ commit", "Start transaction", "savepoint s",
                                       "prepare transaction 'x'", "rollback to s"])  # fmt: skip
def test_transaction_control_is_recognized(statement: str):
    assert split.is_transaction_control(statement)


@pytest.mark.parametrize("statement", ["prepare q as select 1", "do $$ begin end $$", "select 1"])
def test_other_statements_are_not_transaction_control(statement: str):
    assert not split.is_transaction_control(statement)
