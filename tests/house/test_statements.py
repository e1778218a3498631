"""A statement and the store function that runs it have one name, and every statement prepares."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

import emberkeep
from emberkeep.base import clock, sql
from emberkeep.migrate.service import apply_migrations

if TYPE_CHECKING:
    from types import ModuleType

SOURCE = Path(emberkeep.__file__).parent
SLICES = sorted(
    ".".join(["emberkeep", *path.parent.relative_to(SOURCE).parts])
    for path in [*SOURCE.rglob("queries.sql"), *SOURCE.rglob("queries")]
)
# Opens the connection that statements run on, and runs those of migration files.
NOT_STATEMENTS = {"emberkeep.migrate": {"open_session", "run_statement"}}
# Its statements have the names of schemas in them, which are put in when they run.
COMPOSED = {"emberkeep.migrate"}
_PARAMETER = re.compile(r"%\((\w+)\)[sbt]")


def _list_functions(store: ModuleType) -> set[str]:
    own = inspect.getmembers(store, inspect.isfunction)
    return {
        name
        for name, function in own
        if not name.startswith("_")
        and function.__module__.startswith(store.__name__)
        and (inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function))
    }


@pytest.mark.parametrize("slice_", SLICES)
def test_statement_and_function_have_one_name(slice_: str) -> None:
    functions = _list_functions(importlib.import_module(f"{slice_}.store"))
    assert functions - NOT_STATEMENTS.get(slice_, set()) == set(sql.load(slice_))


def _number_parameters(statement: str) -> str:
    names: dict[str, int] = {}
    return _PARAMETER.sub(
        lambda match: f"${names.setdefault(match[1], len(names) + 1)}", statement
    ).replace("%%", "%")


def test_every_statement_prepares(empty_database: str) -> None:
    asyncio.run(apply_migrations(empty_database, now=clock.read_now()))
    with psycopg.connect(empty_database, autocommit=True) as conn:
        for slice_ in set(SLICES) - COMPOSED:
            for name, statement in sql.load(slice_).items():
                text = _number_parameters(statement).rstrip().rstrip(";")
                conn.execute(f"prepare {name} as {text}".encode())
                conn.execute(f"deallocate {name}".encode())
