"""Archives as Parquet files: written by month, read back, compared with their manifest.

pyarrow is loaded when it is needed, because it takes longer than a server needs to start.
"""
# pyarrow has no types of its own.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

from __future__ import annotations

import datetime
import hashlib
import io
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import msgspec

from emberkeep.xp.model import (
    ArchiveDamaged,
    ArchivedAward,
    ArchivedEntry,
    Balance,
    Carried,
    CarriedLedger,
    CarriedStreak,
    DailyTotal,
    FileFacts,
    FileKind,
    Manifest,
    StreakState,
    UserId,
)

MANIFEST: Final = "manifest.json"
PART_SUFFIX: Final = ".part"
"""What a folder is called until all of it stands and was read back."""

_FORMAT: Final = 1
_COMPRESSION: Final = "zstd"
_ROWS_PER_GROUP: Final = 20_000
# Over all open files: what waits in memory to be written.
_MOST_ROWS_WAITING: Final = 100_000
_ROWS_PER_READ: Final = 10_000
_BYTES_PER_READ: Final = 1 << 20

_COLUMNS: Final[Mapping[FileKind, Mapping[str, str]]] = {
    FileKind.LEDGER: {
        "user_id": "int64",
        "ledger_id": "int64",
        "amount": "int64",
        "reason": "string",
        "correlation_id": "string",
        "policy_key": "string",
        "policy_version": "int32",
        "season_id": "string",
        "metadata": "string",
        "balance_after": "int64",
        "reverses_ledger_id": "int64",
        "created_at": "timestamp[us, tz=UTC]",
    },
    FileKind.AWARDS: {
        "user_id": "int64",
        "award_id": "int64",
        "reward_day_id": "string",
        "xp_awarded": "int64",
        "streak_day": "int32",
        "policy_key": "string",
        "policy_version": "int32",
        "receipt_id": "string",
        "snapshot": "string",
        "created_at": "timestamp[us, tz=UTC]",
    },
    FileKind.PLAYERS: {
        "user_id": "int64",
        "through_ledger_id": "int64",
        "ledger_rows": "int64",
        "current_balance": "int64",
        "lifetime_xp": "int64",
        "seasonal_xp": "int64",
        "season_id": "string",
        "season_totals": "string",
        "last_reward_day_id": "string",
        "last_claimed_at": "timestamp[us, tz=UTC]",
        "award_rows": "int64",
        "current_streak": "int32",
        "longest_streak": "int32",
        "grace_used": "int32",
        "model_state": "string",
    },
}
# By kind of file: what its rows are called by, and what they pay.
_ID: Final = {FileKind.LEDGER: "ledger_id", FileKind.AWARDS: "award_id"}
_AMOUNT: Final = {FileKind.LEDGER: "amount", FileKind.AWARDS: "xp_awarded"}

_DAILY_COLUMNS: Final = {
    "policy_key": "string",
    "policy_version": "int32",
    "reason": "string",
    "season_id": "string",
    "rows": "int64",
    "players": "int64",
    "credits": "int64",
    "debits": "int64",
    "net": "int64",
}

_encode = msgspec.json.Encoder().encode


class _File:
    """A Parquet file that is being written, and the rows that wait for their row group."""

    def __init__(self, path: Path, kind: FileKind, month: str | None) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.path = path
        self.kind = kind
        self.month = month
        self.waiting: list[tuple[Any, ...]] = []
        self._schema = pa.schema(
            [(name, _to_type(pa, text)) for name, text in _COLUMNS[kind].items()]
        )
        self._writer: Any = pq.ParquetWriter(path, self._schema, compression=_COMPRESSION)

    def flush(self) -> None:
        """Write the rows that wait as a row group."""
        import pyarrow as pa

        if not self.waiting:
            return
        columns = [
            pa.array(values, type=field.type)
            for values, field in zip(zip(*self.waiting, strict=True), self._schema, strict=True)
        ]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))
        self.waiting.clear()

    def close(self) -> None:
        """Write what is left, down to the disk."""
        self.flush()
        self._writer.close()
        _sync(self.path)


def _to_type(pa: Any, text: str) -> Any:
    if text.startswith("timestamp"):
        return pa.timestamp("us", tz="UTC")
    return getattr(pa, text)()


class ArchiveWriter:
    """Writes the rows of an archive into files by kind and month; memory stays bounded."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._files: dict[tuple[FileKind, str | None], _File] = {}
        self._waiting = 0

    def add_entry(self, entry: ArchivedEntry) -> None:
        """Write a ledger row into the file of its month."""
        self._add(FileKind.LEDGER, entry.created_at, msgspec.structs.astuple(entry))

    def add_award(self, award: ArchivedAward) -> None:
        """Write an award into the file of its month."""
        self._add(FileKind.AWARDS, award.created_at, msgspec.structs.astuple(award))

    def add_player(self, carried: Carried) -> None:
        """Write with what a player goes on."""
        self._add(FileKind.PLAYERS, None, _to_row(carried))

    def _add(self, kind: FileKind, at: datetime.datetime | None, row: tuple[Any, ...]) -> None:
        month = None if at is None else f"{at.astimezone(datetime.UTC):%Y-%m}"
        file = self._files.get((kind, month))
        if file is None:
            name = kind.value if month is None else f"{kind.value}-{month}"
            path = self._folder / f"{name}.parquet"
            file = self._files[kind, month] = _File(path, kind, month)
        file.waiting.append(row)
        self._waiting += 1
        if len(file.waiting) == _ROWS_PER_GROUP:
            self._waiting -= len(file.waiting)
            file.flush()
        elif self._waiting == _MOST_ROWS_WAITING:
            for each in self._files.values():
                each.flush()
            self._waiting = 0

    def close(self) -> tuple[FileFacts, ...]:
        """Finish the files; return what reading them finds, in order of name."""
        for file in self._files.values():
            file.close()
        ordered = sorted(self._files.values(), key=lambda file: file.path.name)
        return tuple(read_facts(file.path, file.kind, file.month) for file in ordered)


def make_manifest(
    *,
    archive_id: str,
    before: datetime.datetime,
    written_at: datetime.datetime,
    files: Sequence[FileFacts],
) -> Manifest:
    """Return the table of contents of files that were written."""

    def count(kind: FileKind) -> int:
        return sum(file.rows for file in files if file.kind is kind)

    return Manifest(
        format=_FORMAT,
        tool=f"emberkeep {metadata.version('emberkeep')}",
        archive_id=archive_id,
        archived_before=before,
        written_at=written_at,
        players=count(FileKind.PLAYERS),
        ledger_rows=count(FileKind.LEDGER),
        award_rows=count(FileKind.AWARDS),
        net_xp=sum(f.credits - f.debits for f in files if f.kind is FileKind.LEDGER),
        columns={kind.value: columns for kind, columns in _COLUMNS.items()},
        files=tuple(files),
    )


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Put the table of contents beside the files, down to the disk."""
    path = folder / MANIFEST
    path.write_bytes(msgspec.json.format(_encode(manifest), indent=1) + b"\n")
    _sync(path)
    _sync(folder)


def read_manifest(folder: Path) -> tuple[Manifest, str]:
    """Return the table of contents of an archive, and its own SHA-256.

    :raises ArchiveDamaged: when there is none, or none that can be read
    """
    try:
        text = (folder / MANIFEST).read_bytes()
        manifest = msgspec.json.decode(text, type=Manifest)
    except (OSError, msgspec.MsgspecError) as e:
        raise ArchiveDamaged("there is no manifest here that can be read") from e
    if manifest.format != _FORMAT:
        raise ArchiveDamaged(f"the archive is of format {manifest.format}, not {_FORMAT}")
    return manifest, hashlib.sha256(text).hexdigest()


def check_files(folder: Path, manifest: Manifest) -> None:
    """Read every file back and let the archive pass if all is as its manifest says.

    :raises ArchiveDamaged: with everything that is not
    """
    differences: list[str] = []
    for said in manifest.files:
        try:
            found = read_facts(folder / said.path, said.kind, said.month)
        except (OSError, ValueError) as e:
            differences.append(f"{said.path}: cannot be read: {str(e).partition(chr(10))[0]}")
            continue
        differences += [
            f"{said.path}: {name} is {getattr(found, name)}, not {getattr(said, name)}"
            for name in FileFacts.__struct_fields__
            if getattr(found, name) != getattr(said, name)
        ]
    listed = {file.path for file in manifest.files}
    strange = sorted(path.name for path in folder.glob("*.parquet") if path.name not in listed)
    differences += [f"{name}: is not in the manifest" for name in strange]
    if differences:
        raise ArchiveDamaged("the files are not what their manifest says", differences=differences)


def read_facts(path: Path, kind: FileKind, month: str | None) -> FileFacts:
    """Read a whole file; return what is in it."""
    import pyarrow.compute
    import pyarrow.parquet as pq

    pc: Any = pyarrow.compute  # Its functions are made when it is loaded: no type knows them.
    rows = credits = debits = 0
    ids: list[int] = []
    instants: list[datetime.datetime] = []
    with pq.ParquetFile(path) as file:
        if file.schema_arrow.names != list(_COLUMNS[kind]):
            raise ValueError(f"has the columns {file.schema_arrow.names}")
        for batch in file.iter_batches(batch_size=_ROWS_PER_READ):
            rows += batch.num_rows
            if kind is FileKind.PLAYERS:
                continue
            ids += pc.min_max(batch[_ID[kind]]).as_py().values()
            instants += pc.min_max(batch["created_at"]).as_py().values()
            amounts = batch[_AMOUNT[kind]]
            gained = pc.sum(pc.if_else(pc.greater(amounts, 0), amounts, 0)).as_py()
            credits += gained
            debits += gained - pc.sum(amounts).as_py()
    return FileFacts(
        path=path.name,
        kind=kind,
        month=month,
        rows=rows,
        bytes=path.stat().st_size,
        sha256=_hash(path),
        first_id=min(ids, default=None),
        last_id=max(ids, default=None),
        first_at=min(instants, default=None),
        last_at=max(instants, default=None),
        credits=credits,
        debits=debits,
    )


def read_players(folder: Path, manifest: Manifest) -> Iterator[Carried]:
    """Yield with what each player of an archive goes on."""
    import pyarrow.parquet as pq

    for said in manifest.files:
        if said.kind is not FileKind.PLAYERS:
            continue
        with pq.ParquetFile(folder / said.path) as file:
            for batch in file.iter_batches(batch_size=_ROWS_PER_READ):
                for row in batch.to_pylist():
                    yield _from_row(row)


def make_daily_file(totals: Sequence[DailyTotal]) -> bytes:
    """Return daily totals as a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [
            ("day", pa.date32()),
            *((name, _to_type(pa, text)) for name, text in _DAILY_COLUMNS.items()),
        ]
    )
    rows = [msgspec.structs.asdict(total) for total in totals]
    buffer = io.BytesIO()
    table: Any = pa.Table
    pq.write_table(table.from_pylist(rows, schema=schema), buffer, compression=_COMPRESSION)
    return buffer.getvalue()


def is_there(folder: Path) -> bool:
    """Say whether a finished archive is in this folder."""
    return (folder / MANIFEST).is_file()


def remove_part(folder: Path) -> None:
    """Remove what a run that was broken off has left of this folder."""
    shutil.rmtree(part_of(folder), ignore_errors=True)


def part_of(folder: Path) -> Path:
    """Return where the folder is written until it is complete."""
    return folder.with_name(folder.name + PART_SUFFIX)


def publish_folder(folder: Path) -> None:
    """Give a complete folder its name, at once and down to the disk."""
    part_of(folder).rename(folder)
    _sync(folder.parent)


def _to_row(carried: Carried) -> tuple[Any, ...]:
    ledger, streak = carried.ledger, carried.streak
    balance = ledger.balance
    row: tuple[Any, ...] = (
        carried.user_id,
        ledger.through_ledger_id,
        ledger.rows,
        balance.current,
        balance.lifetime,
        balance.seasonal,
        balance.season_id,
        _encode(ledger.season_totals).decode(),
    )
    if streak is None:
        return (*row, None, None, None, None, None, None, None)
    state = streak.state
    assert state.last_reward_day is not None, "there was an award"
    return (
        *row,
        state.last_reward_day.isoformat(),
        streak.claimed_at,
        streak.rows,
        state.current_streak,
        state.longest_streak,
        state.grace_used,
        _encode(state.model_state).decode(),
    )


def _from_row(row: Mapping[str, Any]) -> Carried:
    return Carried(
        user_id=UserId(row["user_id"]),
        ledger=CarriedLedger(
            through_ledger_id=row["through_ledger_id"],
            rows=row["ledger_rows"],
            balance=Balance(
                current=row["current_balance"],
                lifetime=row["lifetime_xp"],
                seasonal=row["seasonal_xp"],
                season_id=row["season_id"],
            ),
            season_totals=msgspec.json.decode(row["season_totals"]),
        ),
        streak=(
            None
            if row["last_reward_day_id"] is None
            else CarriedStreak(
                claimed_at=row["last_claimed_at"],
                rows=row["award_rows"],
                state=StreakState(
                    current_streak=row["current_streak"],
                    longest_streak=row["longest_streak"],
                    grace_used=row["grace_used"],
                    last_reward_day=datetime.date.fromisoformat(row["last_reward_day_id"]),
                    model_state=msgspec.json.decode(row["model_state"]),
                ),
            )
        ),
    )


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_BYTES_PER_READ):
            digest.update(chunk)
    return digest.hexdigest()


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
