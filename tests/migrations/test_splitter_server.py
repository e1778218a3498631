"""The splitter and PostgreSQL agree on where statements end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emberkeep.migrate.rules import split, text

if TYPE_CHECKING:
    import psycopg

# What quotes and comments may hold that looks like the end of something.
contents = st.text(alphabet="';\"$-/*\\\neE a1é", max_size=12)


def quote_plain(content: str) -> str:
    return "'" + content.replace("'", "''") + "'"


def quote_escaped(content: str) -> str:
    return "e'" + content.replace("\\", "\\\\").replace("'", "\\'") + "'"


def quote_dollar(content: str) -> str:
    tag = "$é1$" if "$" not in content else "$long_tag$"
    return f"{tag}{content}{tag}"


def quote_continued(content: str) -> str:
    return quote_escaped(content) + " -- and on;'\n\t" + quote_escaped(content)[1:]


literals = st.one_of(
    *(st.builds(f, contents) for f in (quote_plain, quote_escaped, quote_dollar, quote_continued))
)
comments = st.one_of(
    st.builds(lambda c: "--" + c.replace("\n", " ") + "\n", contents),
    st.builds(lambda c: "/*" + c.replace("*", ".").replace("/", ".") + "/* ;' */*/", contents),
    st.just(" "),
)
names = st.builds(
    lambda c: '"' + (c or "a").replace('"', '""') + '"', contents.map(lambda c: c[:20])
)
statements = st.builds(
    lambda literal, before, name, after: f"select{before} {literal}{after} as {name}",
    literals,
    comments,
    names,
    comments,
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(statements, comments), min_size=1, max_size=5))
def test_the_server_counts_the_same_statements(
    conn: psycopg.Connection, parts: list[tuple[str, str]]
):
    script = ";".join(statement + comment for statement, comment in parts)
    found = [s.text for s in split.list_statements(script)]
    assert len(found) == len(parts)
    whole = read_all(conn, script)
    alone = [row for statement in found for row in read_all(conn, statement)]
    assert whole == alone


def read_all(conn: psycopg.Connection, script: str) -> list[object]:
    """Return the value of every statement in one message."""
    cursor = conn.execute(script.encode())
    values = list(cursor.fetchall())
    while cursor.nextset():
        values += cursor.fetchall()
    return values


BODIES = """
create table public.t (a int);
create rule r as on insert to public.t do also (select 1; select 2);
create function public.f(a int) returns int begin atomic
    select case when a > 0 then 1 else 2 end; select 3; end;
create or replace procedure public.p() language sql begin atomic insert into public.t values (1);
end; -- ;
create function public.g() returns int language plpgsql as $g$ begin return $$1;$$; end $g$;
do $$ begin perform 1; end; $$;
select a as begin, a as atomic$b$ from public.t
"""


def test_the_server_takes_each_statement_alone(conn: psycopg.Connection):
    found = split.list_statements(BODIES)
    assert len(found) == 7
    for statement in found:
        conn.execute(statement.text.encode())


def test_every_key_word_of_the_server_is_quoted_where_it_must_be(conn: psycopg.Connection):
    words = conn.execute("select word, quote_ident(word) from pg_get_keywords()").fetchall()
    unlike = {word for word, quoted in words if text.quote_identifier(word) != quoted}
    assert unlike == set()
