"""How files on disk become the versions of a set."""

from __future__ import annotations

import pytest

from emberkeep.migrate.model import FileInvalid, Script
from emberkeep.migrate.rules import files


def script(name: str, text: str = "select 1;") -> Script:
    return Script(f"folder/{name}", text)


def test_versions_come_in_order_each_with_its_way_back():
    found = files.assemble_migrations(
        (script("V010__b.sql"), script("V002__a.down.sql"), script("V002__a.sql"))
    )
    assert [(m.version, m.name, m.down is not None) for m in found] == [
        (2, "a", True),
        (10, "b", False),
    ]


@pytest.mark.parametrize(
    "name",
    ["V1__a.sql", "V000__a.sql", "V001_a.sql", "V001__A.sql", "v001__a.sql", "V001__.sql",
     "V001__a__b.sql", "001__a.sql", "V001__a.up.sql", "notes.sql"],
)  # fmt: skip
def test_a_misspelt_file_is_refused_rather_than_never_applied(name: str):
    with pytest.raises(FileInvalid, match="is not called"):
        files.assemble_migrations((script(name),))


@pytest.mark.parametrize(
    "names",
    [
        ("V001__a.sql", "V001__b.sql"),
        ("V001__a.sql", "V0001__b.sql"),
        ("V001__a.sql", "V001__b.down.sql"),
        ("V001__a.down.sql",),
    ],
)
def test_two_files_for_one_version_and_strays_are_refused(names: tuple[str, ...]):
    with pytest.raises(FileInvalid):
        files.assemble_migrations(tuple(script(name) for name in names))


@pytest.mark.parametrize("statement", ["commit", "select 1;\nBEGIN;", "-- a\nrollback to b"])
def test_a_file_cannot_end_the_transaction_around_it(statement: str):
    with pytest.raises(FileInvalid, match="would break the transaction"):
        files.assemble_migrations((script("V001__a.sql", statement),))


def test_an_open_quote_names_file_and_place():
    with pytest.raises(FileInvalid, match=r"V001__a\.sql: line 1, column 8"):
        files.assemble_migrations((script("V001__a.sql", "select 'a"),))


def test_gaps_are_the_versions_that_no_file_has():
    found = files.assemble_migrations((script("V002__a.sql"), script("V005__b.sql")))
    assert files.find_gaps(found) == (1, 3, 4)
    assert files.find_gaps(()) == ()
