"""The archive: awards and ledger rows that have left the tables for files."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Mapping

import msgspec

from emberkeep.base.errors import Conflict, Invalid
from emberkeep.xp.model.ledger import Balance
from emberkeep.xp.model.noun import Noun, PolicyKey, SeasonId, UserId
from emberkeep.xp.model.streak import StreakState


class ArchivedEntry(Noun, frozen=True, kw_only=True):
    """A ledger row as the archive has it. The player is known by a number that erasing forgets."""

    user_id: UserId
    ledger_id: int
    amount: int
    reason: str
    correlation_id: str
    policy_key: PolicyKey
    policy_version: int
    season_id: SeasonId | None
    metadata: str
    balance_after: int
    reverses_ledger_id: int | None
    created_at: datetime.datetime


class ArchivedAward(Noun, frozen=True, kw_only=True):
    """An award as the archive has it; `snapshot` is the rest of its receipt, a JSON document."""

    user_id: UserId
    award_id: int
    reward_day_id: str
    xp_awarded: int
    streak_day: int
    policy_key: PolicyKey
    policy_version: int
    receipt_id: str
    snapshot: str
    created_at: datetime.datetime


class CarriedLedger(Noun, frozen=True, kw_only=True):
    """What a player's archived ledger rows add up to, and which were the last and how many."""

    through_ledger_id: int = 0
    rows: int = 0
    balance: Balance = Balance()
    season_totals: Mapping[str, int] = msgspec.field(default_factory=dict[str, int])


class CarriedStreak(Noun, frozen=True, kw_only=True):
    """The streak right behind a player's last archived award, when that was, and how many."""

    claimed_at: datetime.datetime
    rows: int
    state: StreakState


class Carried(Noun, frozen=True, kw_only=True):
    """With what a player's ledger and history go on behind the rows that were archived."""

    user_id: UserId
    ledger: CarriedLedger
    streak: CarriedStreak | None


class FileKind(enum.StrEnum):
    """What is in a file of an archive."""

    LEDGER = "ledger"
    AWARDS = "awards"
    PLAYERS = "players"


class FileFacts(Noun, frozen=True, kw_only=True):
    """What a file holds, as its manifest says and as reading it finds."""

    path: str
    kind: FileKind
    month: str | None
    rows: int
    bytes: int
    sha256: str
    first_id: int | None
    last_id: int | None
    first_at: datetime.datetime | None
    last_at: datetime.datetime | None
    credits: int
    debits: int


class Manifest(Noun, frozen=True, kw_only=True):
    """The table of contents of an archive."""

    format: int
    tool: str
    archive_id: str
    archived_before: datetime.datetime
    written_at: datetime.datetime
    players: int
    ledger_rows: int
    award_rows: int
    net_xp: int
    columns: Mapping[str, Mapping[str, str]]
    files: tuple[FileFacts, ...]


class ArchiveState(enum.StrEnum):
    """How far an archive has come."""

    WRITING = "writing"
    WRITTEN = "written"
    DELETED = "deleted"


class Archive(Noun, frozen=True, kw_only=True):
    """An archive as the database knows it."""

    archive_id: str
    archived_before: datetime.datetime
    location: str
    state: ArchiveState
    manifest_sha256: str | None


class ArchiveReport(Noun, frozen=True, kw_only=True):
    """What a run archived; `resumed` says that it first finished an earlier one."""

    archived_before: datetime.datetime
    location: str | None
    players: int
    ledger_rows: int
    award_rows: int
    net_xp: int
    months: tuple[str, ...]
    resumed: str | None = None


class ArchiveInvalid(Invalid):
    """Nothing can be archived like this: too young, or a folder that cannot be written."""

    code = "xp.archive_invalid"


class ArchiveDamaged(Conflict):
    """The files are not what their manifest says: `differences` names all of them."""

    code = "xp.archive_damaged"


class ArchiveMissing(Conflict):
    """The files of an archive that is not finished are not where they were written, `location`."""

    code = "xp.archive_missing"


class ArchiveRunning(Conflict):
    """Somebody else archives at this moment."""

    code = "xp.archive_running"
