"""Old awards and ledger rows into files, and out of the tables: nothing lost, nothing twice.

    announced ─▶ written under another name ─▶ read back ─▶ named ─▶ told to stand ─▶ rows deleted

A run that is killed leaves one of these, and the next one goes on from there. Rows are deleted only
when the files stand, in chunks of whole players, each together with what the rows added up to.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from emberkeep.base import db
from emberkeep.base.db import Connection
from emberkeep.base.errors import FieldError
from emberkeep.xp import gateway, store
from emberkeep.xp.model import (
    Archive,
    ArchiveInvalid,
    ArchiveMissing,
    ArchiveReport,
    ArchiveRunning,
    ArchiveState,
    Carried,
    FileKind,
    Manifest,
)
from emberkeep.xp.rules import archive as rules

# Each chunk is a transaction; a player's rows are never divided.
_ROWS_PER_CHUNK: Final = 5_000
_PLAYERS_PER_CHUNK: Final = 500

OnProgress = Callable[[str, int], None]
"""Takes what is being done, and how many rows it has come to."""


async def archive_rows(
    conn: Connection,
    *,
    before: datetime.datetime,
    out: Path,
    archive_id: str,
    actor: str,
    reason: str,
    now: datetime.datetime,
    on_progress: OnProgress,
) -> ArchiveReport:
    """Write what is older than `before` below `out`, then delete it; return what that was.

    First finishes what an earlier run has left. Balances, streaks and what `verify` says stay.

    :param conn: in autocommit mode
    :raises ArchiveInvalid: when rows would be too young, or `out` cannot be written
    :raises ArchiveMissing: when the files of an earlier run are gone; nothing was done
    :raises ArchiveDamaged: when files are not what was written; their rows are in the tables still
    :raises ArchiveRunning: when somebody else archives
    """
    rules.check_age(before, now=now)
    async with _alone(conn):
        resumed = await _finish_earlier(conn, now, on_progress)
        archive = Archive(
            archive_id=archive_id,
            archived_before=before,
            location=str(_make_folder(out) / f"xp-{before:%Y-%m-%d}-{archive_id}"),
            state=ArchiveState.WRITING,
            manifest_sha256=None,
        )
        await store.insert_archive(conn, archive=archive, actor=actor, reason=reason, now=now)
        manifest = await _write(conn, archive, now, on_progress)
        if manifest is None:
            await store.forget_archive(conn, archive_id=archive_id)
            return _report(before, None, manifest, resumed)
        await _confirm(conn, archive)
        await _delete(conn, archive, manifest, now, on_progress)
    return _report(before, archive.location, manifest, resumed)


async def preview_archive(
    conn: Connection, *, before: datetime.datetime, now: datetime.datetime
) -> ArchiveReport:
    """Return what `archive_rows` would write and delete; does neither.

    :param conn: in autocommit mode
    :raises ArchiveInvalid: when rows would be too young
    """
    rules.check_age(before, now=now)
    entries = awards = net = 0
    players: set[int] = set()
    months: set[str] = set()
    async with db.snapshot(conn):
        async for row in store.stream_archive_rows(conn, before=before):
            entries += 1
            awards += row.award is not None
            net += row.entry.amount
            players.add(row.entry.user_id)
            months.add(f"{row.entry.created_at:%Y-%m}")
    return ArchiveReport(
        archived_before=before,
        location=None,
        players=len(players),
        ledger_rows=entries,
        award_rows=awards,
        net_xp=net,
        months=tuple(sorted(months)),
    )


def verify_archive(folder: Path) -> Manifest:
    """Read an archive's files again; return its manifest if they are what that says.

    :raises ArchiveDamaged: with everything that is not
    """
    manifest, _ = gateway.read_manifest(folder)
    gateway.check_files(folder, manifest)
    return manifest


@contextlib.asynccontextmanager
async def _alone(conn: Connection) -> AsyncGenerator[None]:
    if not await store.lock_archives(conn):
        raise ArchiveRunning("somebody else archives at this moment")
    try:
        yield
    finally:
        if not conn.closed:
            await store.unlock_archives(conn)


def _make_folder(out: Path) -> Path:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        error = FieldError("out", f"cannot be a folder: {e.strerror}")
        raise ArchiveInvalid("there is nowhere to write to", (error,)) from e
    return out.resolve()


async def _finish_earlier(
    conn: Connection, now: datetime.datetime, on_progress: OnProgress
) -> str | None:
    """Go on with an archive that is not finished; return where it is, if there was one."""
    archive = await store.read_unfinished_archive(conn)
    if archive is None:
        return None
    folder = Path(archive.location)
    if archive.state is ArchiveState.WRITING and not gateway.is_there(folder):
        # Its files were never finished, so no row was deleted for it: begin anew.
        gateway.remove_part(folder)
        await store.forget_archive(conn, archive_id=archive.archive_id)
        return None
    if not gateway.is_there(folder):
        raise ArchiveMissing(
            "the files of an archive that is not finished are gone: put them back",
            location=archive.location,
        )
    manifest = verify_archive(folder)
    if archive.state is ArchiveState.WRITING:
        await _confirm(conn, archive)
    await _delete(conn, archive, manifest, now, on_progress)
    return archive.location


async def _write(
    conn: Connection, archive: Archive, now: datetime.datetime, on_progress: OnProgress
) -> Manifest | None:
    """Write the files and give them their name; None when there is nothing to archive."""
    folder = Path(archive.location)
    part = gateway.part_of(folder)
    try:
        writer = gateway.ArchiveWriter(part)
    except OSError as e:
        await store.forget_archive(conn, archive_id=archive.archive_id)
        error = FieldError("out", f"cannot be written: {e.strerror}")
        raise ArchiveInvalid("there is nowhere to write to", (error,)) from e
    async with db.snapshot(conn):
        await _write_rows(conn, writer, archive.archived_before, on_progress)
    files = writer.close()
    if not files:
        gateway.remove_part(folder)
        return None
    manifest = gateway.make_manifest(
        archive_id=archive.archive_id,
        before=archive.archived_before,
        written_at=now,
        files=files,
    )
    gateway.write_manifest(part, manifest)
    verify_archive(part)
    gateway.publish_folder(folder)
    return manifest


async def _write_rows(
    conn: Connection,
    writer: gateway.ArchiveWriter,
    before: datetime.datetime,
    on_progress: OnProgress,
) -> None:
    folding: rules.Folding | None = None
    user_id: int | None = None
    rows = 0
    async for row in store.stream_archive_rows(conn, before=before):
        if folding is None or row.entry.user_id != user_id:
            if folding is not None:
                writer.add_player(folding.conclude())
            folding = rules.Folding(row.ledger_before, row.awards_before)
            user_id = row.entry.user_id
        folding.add(row.entry, row.award)
        writer.add_entry(row.entry)
        if row.award is not None:
            writer.add_award(row.award)
        rows += 1
        if rows % _ROWS_PER_CHUNK == 0:
            on_progress("writing", rows)
    if folding is not None:
        writer.add_player(folding.conclude())


async def _confirm(conn: Connection, archive: Archive) -> None:
    manifest, sha256 = gateway.read_manifest(Path(archive.location))
    await store.mark_archive_written(conn, manifest=manifest, manifest_sha256=sha256)


async def _delete(
    conn: Connection,
    archive: Archive,
    manifest: Manifest,
    now: datetime.datetime,
    on_progress: OnProgress,
) -> None:
    deleted = 0
    for chunk in _divide(gateway.read_players(Path(archive.location), manifest)):
        deleted += await store.archive_rows(conn, archive_id=archive.archive_id, states=chunk)
        on_progress("deleting", deleted)
    await store.mark_archive_deleted(conn, archive_id=archive.archive_id, now=now)


def _divide(players: Iterator[Carried]) -> Iterator[list[Carried]]:
    chunk: list[Carried] = []
    rows = 0
    for carried in players:
        chunk.append(carried)
        rows += carried.ledger.rows
        if rows >= _ROWS_PER_CHUNK or len(chunk) == _PLAYERS_PER_CHUNK:
            yield chunk
            chunk, rows = [], 0
    if chunk:
        yield chunk


def _report(
    before: datetime.datetime, location: str | None, manifest: Manifest | None, resumed: str | None
) -> ArchiveReport:
    report = ArchiveReport(
        archived_before=before,
        location=location,
        players=0,
        ledger_rows=0,
        award_rows=0,
        net_xp=0,
        months=(),
        resumed=resumed,
    )
    if manifest is None:
        return report
    months = {f.month for f in manifest.files if f.kind is FileKind.LEDGER and f.month}
    return msgspec.structs.replace(
        report,
        players=manifest.players,
        ledger_rows=manifest.ledger_rows,
        award_rows=manifest.award_rows,
        net_xp=manifest.net_xp,
        months=tuple(sorted(months)),
    )
