"""Runs one file to its end, or leaves nothing of it behind, and says where it failed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from emberkeep.base import db
from emberkeep.migrate import gateway, store
from emberkeep.migrate.model import IndexInvalid, State, StatementBlocked, StatementFailed
from emberkeep.migrate.rules import catalogue, plan, split, text
from emberkeep.migrate.rules.files import assemble_migrations

if TYPE_CHECKING:
    from emberkeep.base.db import Connection
    from emberkeep.base.errors import EmberkeepError
    from emberkeep.migrate.model import Migration, MigrationSet, Script, Statement
    from emberkeep.migrate.service.session import Run

    RunAll = Callable[[Connection, MigrationSet, Script], Awaitable[None]]

_ACTIVE_SQL_TRANSACTION: Final = "25001"

Finish = Callable[[int], Awaitable[None]]
"""Writes to the history how it ended, given the duration in ms."""


def load_migrations(migration_set: MigrationSet) -> tuple[Migration, ...]:
    """Return the versions of a set as they are on disk.

    :raises FileInvalid: for a file that cannot be
    """
    return assemble_migrations(gateway.read_scripts(migration_set))


async def run_file(
    run: Run,
    migration_set: MigrationSet,
    migration: Migration,
    script: Script,
    finish: Finish,
    *,
    is_fresh: bool = False,
) -> int:
    """Run an up or a down file together with `finish`; return how long it took, in ms.

    `is_fresh` says that the schema was empty when the run began: then a file is sent in one
    message, and only one that fails is run again, statement by statement, to learn where.

    :raises StatementFailed: when a statement is refused
    :raises StatementBlocked: when a lock was not to be had within the patience
    :raises IndexInvalid: when a file outside a transaction left an index that is not used
    """
    if not text.is_transactional(script):
        return await _run_outside(run, migration_set, migration, script, finish)
    if is_fresh:
        duration_ms = await _try_at_once(run, migration_set, script, finish)
        if duration_ms is not None:
            return duration_ms
    return await _run_in_transaction(run, migration_set, script, finish)


async def run_script(
    conn: Connection, migration_set: MigrationSet, script: Script, *, in_replay: bool = False
) -> None:
    """Run the statements of a file one by one, so that a failure knows its place.

    `in_replay` takes the word CONCURRENTLY out: inside a transaction the result is the same.
    """
    tokens = text.make_tokens(migration_set)
    for statement in split.list_statements(script.text):
        code = split.drop_concurrently(statement.text) if in_replay else statement.text
        try:
            await store.run_statement(conn, text.render(code, tokens))
        except (StatementFailed, StatementBlocked) as e:
            raise _place(migration_set, script, statement, e) from e


async def run_at_once(conn: Connection, migration_set: MigrationSet, script: Script) -> None:
    """Run the statements of a file in one message: faster, but a failure has no place."""
    await store.run_statement(conn, text.render(script.text, text.make_tokens(migration_set)))


async def write_reading(conn: Connection, migration_set: MigrationSet) -> None:
    """Keep what the catalogue holds now, for `verify`; inside the transaction that changed it."""
    lines = await read_reading(conn, migration_set)
    await store.write_catalogue(conn, migration_set, lines=lines)


async def read_reading(conn: Connection, migration_set: MigrationSet) -> tuple[str, ...]:
    """Return what the catalogue holds now, tokens put back; only inside a transaction."""
    await store.set_search_path(conn, migration_set)
    lines = await store.read_catalogue(conn, migration_set)
    return catalogue.restore_tokens(lines, migration_set.schema)


async def _try_at_once(
    run: Run, migration_set: MigrationSet, script: Script, finish: Finish
) -> int | None:
    """Return how long the file took, in ms; None when it failed and left nothing.

    Twenty files on an empty schema take a fifth less time so. Elsewhere a statement may work for
    an hour before another fails: it is not run twice for the sake of a message.
    """
    try:
        return await _try_transaction(run, migration_set, script, finish, run_at_once)
    except (StatementFailed, StatementBlocked):
        return None


async def _run_in_transaction(
    run: Run, migration_set: MigrationSet, script: Script, finish: Finish
) -> int:
    """Try until every lock is had; between two tries nothing is held and nothing is changed."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + run.patience.tables_s
    attempt = 0
    while True:
        attempt += 1
        try:
            return await _try_transaction(run, migration_set, script, finish, run_script)
        except StatementBlocked:
            if loop.time() > deadline:
                raise
            run.report(f"{script.path}: someone uses what it changes; attempt {attempt} gave way")
        await asyncio.sleep(plan.compute_backoff_s(attempt, random.random()))  # noqa: S311


async def _try_transaction(
    run: Run, migration_set: MigrationSet, script: Script, finish: Finish, run_all: RunAll
) -> int:
    loop = asyncio.get_running_loop()
    started = loop.time()
    # The history and the catalogue can be blocked as well as the file's own statements.
    with store.refusals(run.conn):
        async with db.transaction(run.conn):
            await store.set_lock_timeout(run.conn, timeout_ms=run.patience.lock_timeout_ms)
            await run_all(run.conn, migration_set, script)
            duration_ms = round((loop.time() - started) * 1000)
            await finish(duration_ms)
    return duration_ms


async def _run_outside(
    run: Run, migration_set: MigrationSet, migration: Migration, script: Script, finish: Finish
) -> int:
    """Mark the version dirty, run the file, and let `finish` take the mark away.

    Without a lock_timeout: one that strikes a concurrent index leaves it invalid.
    """
    loop = asyncio.get_running_loop()
    started = loop.time()
    await store.write_entry(
        run.conn, migration_set, migration, state=State.DIRTY, now=run.now, duration_ms=None
    )
    await run_script(run.conn, migration_set, script)
    if invalid := await store.list_invalid_indexes(run.conn, migration_set):
        raise _explain_invalid(migration_set, script, invalid)
    duration_ms = round((loop.time() - started) * 1000)
    async with db.transaction(run.conn):
        await finish(duration_ms)
    return duration_ms


def _place(
    migration_set: MigrationSet,
    script: Script,
    statement: Statement,
    error: StatementFailed | StatementBlocked,
) -> EmberkeepError:
    """Return the error with its place in the file as its author sees it, tokens unrendered."""
    tokens = text.make_tokens(migration_set)
    position = error.facts["position"]
    assert isinstance(position, int)
    offset = statement.offset + text.find_raw_offset(statement.text, tokens, position - 1)
    line, column = text.locate(script.text, offset)
    return type(error)(
        f"{script.path}:{line}:{column}: {error.message}{_advise(migration_set, script, error)}",
        file=script.path,
        line=line,
        column=column,
        statement=text.render(statement.text, tokens),
        cause=error.facts["cause"],
        sqlstate=error.facts["sqlstate"],
    )


def _advise(migration_set: MigrationSet, script: Script, error: EmberkeepError) -> str:
    """Return what to do next, where that is not to mend the statement and start again."""
    if not text.is_transactional(script):
        return (
            ". The file runs outside a transaction, so the statements before may have taken effect:"
            f" mend it, then `emberkeep migrate repair {migration_set.name}`"
        )
    if error.facts["sqlstate"] == _ACTIVE_SQL_TRANSACTION:
        return ". Give it a file of its own that begins with `-- transactional: false`"
    return ""


def _explain_invalid(
    migration_set: MigrationSet, script: Script, invalid: tuple[str, ...]
) -> IndexInvalid:
    return IndexInvalid(
        f"{script.path} ran to its end, but {', '.join(invalid)} in {migration_set.schema} is"
        " invalid: an earlier build of it was cut off, and `if not exists` took it for done."
        f" `emberkeep migrate repair {migration_set.name}` drops it; then migrate again",
        file=script.path,
        indexes=list(invalid),
    )
