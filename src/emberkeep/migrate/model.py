"""The nouns of migrations: sets, files, history, findings, and the slice's errors."""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING, Final

from emberkeep.base.errors import (
    Conflict,
    EmberkeepError,
    Forbidden,
    Invalid,
    NotFound,
    Unavailable,
)

if TYPE_CHECKING:
    import datetime
    from pathlib import Path


@dataclasses.dataclass(frozen=True, slots=True)
class MigrationSet:
    """The migrations of one module, and the schema they own.

    `source` is a Python package, or a folder for sets outside the code. `requires` names other
    sets, each with the version it must have reached before this set may change anything.
    """

    name: str
    source: str | Path
    schema: str
    requires: tuple[tuple[str, int], ...] = ()


DEFAULT_SETS: Final = (
    MigrationSet("event_store", "emberkeep.events.migrations", "event_store"),
    MigrationSet("xp", "emberkeep.xp.migrations", "xp", requires=(("event_store", 5),)),
    MigrationSet("web", "emberkeep.web.migrations", "web"),
)
"""Every set that ships with the code; a new slice adds its line here."""


@dataclasses.dataclass(frozen=True, slots=True)
class Script:
    """The text of one file as it lies on disk, tokens not yet substituted."""

    path: str
    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class Statement:
    """One SQL statement: from its first character of code up to, without, its semicolon.

    `offset` counts the characters of the script before it.
    """

    text: str
    offset: int


@dataclasses.dataclass(frozen=True, slots=True)
class Migration:
    """One version of a set: how to get there and, unless `down` is None, how to get back."""

    version: int
    name: str
    up: Script
    down: Script | None
    checksum: str


class State(enum.StrEnum):
    """What the history says of a version: done, or begun outside a transaction and not ended."""

    CLEAN = "clean"
    DIRTY = "dirty"


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """A row of the history: one version that was applied, or is half applied."""

    version: int
    name: str
    checksum: str
    state: State
    applied_at: datetime.datetime
    applied_by: str
    duration_ms: int | None


class FindingKind(enum.StrEnum):
    """Everything that can be wrong between files, history and the live schema."""

    DIRTY = "dirty"
    EDITED = "edited"
    MISSING = "missing"
    OUT_OF_ORDER = "out_of_order"
    GAP = "gap"
    INVALID_INDEX = "invalid_index"
    DRIFT = "drift"


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, in a sentence that also says what to do."""

    kind: FindingKind
    set_name: str
    version: int | None
    message: str


@dataclasses.dataclass(frozen=True, slots=True)
class Applied:
    """One file that this run applied or took back."""

    set_name: str
    schema: str
    version: int
    name: str
    duration_ms: int


@dataclasses.dataclass(frozen=True, slots=True)
class TenantResult:
    """What became of one tenant's sets: what was applied, and the error that ended it, if any."""

    schemas: tuple[str, ...]
    applied: tuple[Applied, ...]
    error: EmberkeepError | None


@dataclasses.dataclass(frozen=True, slots=True)
class VersionStatus:
    """One version of a set: `state` is pending, clean, dirty, or the kind of finding it has."""

    set_name: str
    version: int
    name: str
    state: str
    applied_at: datetime.datetime | None
    applied_by: str | None
    duration_ms: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class TableLock:
    """A lock that a file takes on something that others use already."""

    relation: str
    mode: str


@dataclasses.dataclass(frozen=True, slots=True)
class PlannedFile:
    """A pending file as it would run. `locks` is None where they cannot be known; `note` says why."""

    set_name: str
    version: int
    path: str
    sql: str
    locks: tuple[TableLock, ...] | None
    note: str


class Comparison(enum.StrEnum):
    """What `verify` held the live catalogue against: the files, replayed; or the last run's reading."""

    FILES = "files"
    LAST_UP = "last_up"
    NOTHING = "nothing"


@dataclasses.dataclass(frozen=True, slots=True)
class Verification:
    """What `verify` found for one set; it is clean when `findings` is empty.

    `note` says why the files themselves could not be replayed, where they could not.
    """

    set_name: str
    schema: str
    findings: tuple[Finding, ...]
    compared_with: Comparison
    note: str


@dataclasses.dataclass(frozen=True, slots=True)
class Repair:
    """What `repair` did to one set."""

    set_name: str
    dropped_indexes: tuple[str, ...]
    cleared_versions: tuple[int, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class LintWarning:
    """One thing in a file that a linter would have otherwise; `line` counts from 1."""

    path: str
    line: int
    rule: str
    message: str


@dataclasses.dataclass(frozen=True, slots=True)
class Patience:
    """How long a run waits for others.

    `lock_timeout_ms` is the worst stall that readers of a table feel, each time it is tried:
    whoever comes after a queued migration queues behind it.
    """

    lock_timeout_ms: int = 100
    tables_s: float = 60.0
    migrator_s: float = 600.0


DEFAULT_PATIENCE: Final = Patience()


class FileInvalid(Invalid):
    """A file cannot be read as a migration: name, header, token, quote, or transaction control."""

    code = "migrate.file_invalid"


class SetUnknown(NotFound):
    """No set has that name."""

    code = "migrate.set_unknown"


class SetsCircular(Invalid):
    """Sets require each other in a circle."""

    code = "migrate.sets_circular"


class VersionUnknown(NotFound):
    """No file of the set has that version."""

    code = "migrate.version_unknown"


class ModuleNeeded(Invalid):
    """A version says nothing until it is said whose."""

    code = "migrate.module_needed"


class RequirementUnmet(Conflict):
    """A set requires a version of another set that is not applied, or is about to be taken back."""

    code = "migrate.requirement_unmet"


class HistoryRefused(Conflict):
    """Files and history disagree: edited, missing, out of order, or dirty. Nothing was run."""

    code = "migrate.history_refused"

    def __init__(self, finding: Finding) -> None:
        facts = dataclasses.asdict(finding)
        super().__init__(facts.pop("message"), **facts)


class NoWayBack(Conflict):
    """A version that should be taken back has no down file."""

    code = "migrate.no_way_back"


class StatementFailed(Conflict):
    """The database refused a statement; facts: file, line, column, statement, cause, sqlstate."""

    code = "migrate.statement_failed"


class StatementBlocked(Unavailable):
    """A lock was not to be had within the patience; the file left nothing behind."""

    code = "migrate.statement_blocked"


class RightsMissing(Forbidden):
    """The role that is connected may not read the history or change the schema."""

    code = "migrate.rights_missing"


class MigratorBusy(Unavailable):
    """Another migrator held the schema for longer than the patience."""

    code = "migrate.migrator_busy"


class ConnectionPooled(Invalid):
    """A pooler sits in between: sessions are not ours to keep, so a lock would protect nothing."""

    code = "migrate.connection_pooled"


class IndexInvalid(Conflict):
    """A file ran to its end, but left an index that PostgreSQL will not use."""

    code = "migrate.index_invalid"


class DestructionForbidden(Forbidden):
    """Dropping data is for development; the configuration does not allow it."""

    code = "migrate.destruction_forbidden"


class LinterMissing(Unavailable):
    """The squawk binary is not installed beside this Python, or does not work."""

    code = "migrate.linter_missing"


class SchemaBehind(Unavailable):
    """The database's schema is not the one that this version needs; run `emberkeep migrate up`."""

    code = "service.schema_behind"
