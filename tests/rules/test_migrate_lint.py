"""Our own rules for migration files."""

from __future__ import annotations

import pytest

from emberkeep.migrate.model import Script
from emberkeep.migrate.rules import lint

HEAD = "-" * 79 + "\n-- Shop\n" + "-" * 79 + "\n"
COMMENT = "comment on table ${schema}.a is 'A.';\n"


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        (HEAD + "create table ${schema}.a (id int);\n" + COMMENT, []),
        (HEAD + "CREATE TABLE IF NOT EXISTS ${schema}.a(id int);\n" + COMMENT, []),
        ("create table ${schema}.a (id int);\n" + COMMENT, ["separator"]),
        (HEAD + "create table ${schema}.a (id int);", ["table-comment"]),
        (HEAD + "create table ${schema}.b partition of ${schema}.a default;", []),
        (HEAD + "create table a (id int);\ncomment on table a is 'A.';", ["schema-token"] * 2),
        (HEAD + "create or replace function f() returns int language sql as 'select 1';",
         ["schema-token"]),
        (HEAD + "alter table if exists only xp.a add b int;", ["schema-token"]),
        (HEAD + "drop view if exists a.b;", ["schema-token"]),
        (HEAD + "set search_path to a;", ["session-state"]),
        (HEAD + "set local statement_timeout = '1s';", []),
        (HEAD + "select 'create table a';", []),
    ],
)  # fmt: skip
def test_each_rule_says_what_it_is_for(text: str, rules: list[str]):
    assert [w.rule for w in lint.lint_script(Script("V001__a.sql", text))] == rules


def test_a_warning_names_the_line():
    (warning,) = lint.lint_script(Script("V001__a.sql", HEAD + "\n\nset a = b;"))
    assert warning.line == 6
