"""What is to be done: the order of sets, and which versions are pending. Pure."""

from __future__ import annotations

import graphlib
import hashlib
from typing import TYPE_CHECKING

from emberkeep.migrate.model import (
    Finding,
    FindingKind,
    HistoryRefused,
    NoWayBack,
    RequirementUnmet,
    SetsCircular,
    SetUnknown,
    State,
    VersionStatus,
    VersionUnknown,
)
from emberkeep.migrate.rules.files import find_gaps

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from emberkeep.migrate.model import Entry, Migration, MigrationSet


def order_sets(sets: Sequence[MigrationSet]) -> tuple[MigrationSet, ...]:
    """Return the sets, each after those it requires.

    :raises SetUnknown: when one requires a set that is not among them
    :raises SetsCircular: when they require each other
    """
    by_name = {s.name: s for s in sets}
    graph = {s.name: [name for name, _ in s.requires] for s in sets}
    try:
        names = tuple(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as e:
        raise SetsCircular("sets require each other: " + " → ".join(e.args[1])) from e
    return tuple(find_set(by_name, name) for name in names)


def select_sets(sets: Sequence[MigrationSet], module: str | None) -> tuple[MigrationSet, ...]:
    """Return, in order, every set; or `module` and what it requires.

    :raises SetUnknown: when no set is called `module`
    """
    ordered = order_sets(sets)
    if module is None:
        return ordered
    by_name = {s.name: s for s in sets}
    wanted: set[str] = set()
    waiting = [find_set(by_name, module).name]
    while waiting:
        name = waiting.pop()
        wanted.add(name)
        waiting += [required for required, _ in by_name[name].requires]
    return tuple(s for s in ordered if s.name in wanted)


def find_set(by_name: Mapping[str, MigrationSet], name: str) -> MigrationSet:
    """Return the set called `name`.

    :raises SetUnknown: when there is none
    """
    if name not in by_name:
        raise SetUnknown(
            f"there is no set {name!r}; there are: {', '.join(sorted(by_name))}", set_name=name
        )
    return by_name[name]


def check_requirements(migration_set: MigrationSet, versions: Mapping[str, int]) -> None:
    """Refuse to change a set before those it requires; `versions` are the versions reached.

    :raises RequirementUnmet: naming the set that is behind
    """
    for name, least in migration_set.requires:
        reached = versions.get(name, 0)
        if reached < least:
            raise RequirementUnmet(
                f"{migration_set.name} requires {name} at V{least:03d}, which is at V{reached:03d}",
                set_name=migration_set.name,
                requires=name,
                at_least=least,
                reached=reached,
            )


def compute_lock_key(schema: str) -> int:
    """Return the advisory lock of a schema's migrator.

    The key space is the database's own, so that neither two databases nor two tenants meet.
    """
    digest = hashlib.sha256(f"emberkeep.migrate:{schema}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def compute_backoff_s(attempt: int, spread: float) -> float:
    """Return how long to wait after the `attempt`-th failure, from 1: twice as long each time.

    `spread`, from 0 to 1, keeps migrators that failed together from trying again together.
    """
    return min(2.0, 0.1 * 2 ** (attempt - 1)) * (0.5 + spread)


def is_settled(
    set_name: str, migrations: Sequence[Migration], history: Sequence[Entry], *, to: int | None
) -> bool:
    """Say whether there is nothing to do and nothing to refuse, so that no lock is needed."""
    if any(compare_history(set_name, migrations, history)):
        return False
    return not decide_pending(set_name, migrations, history, to=to)


def check_version(set_name: str, migrations: Sequence[Migration], to: int | None) -> None:
    """Refuse a target that is neither a file of the set nor 0, which is before all of them.

    :raises VersionUnknown: naming the versions that there are
    """
    known = [0, *(m.version for m in migrations)]
    if to is not None and to not in known:
        raise VersionUnknown(
            f"{set_name} has no V{to:03d}; its newest is V{known[-1]:03d}",
            set_name=set_name,
            version=to,
        )


def decide_pending(
    set_name: str,
    migrations: Sequence[Migration],
    history: Sequence[Entry],
    *,
    to: int | None = None,
) -> tuple[Migration, ...]:
    """Return the versions to apply, in order, none beyond `to`.

    :raises HistoryRefused: with the first thing in which files and history disagree
    """
    for finding in compare_history(set_name, migrations, history):
        raise HistoryRefused(finding)
    done = {e.version for e in history}
    return tuple(m for m in migrations if m.version not in done and (to is None or m.version <= to))


def decide_undo(
    set_name: str,
    migrations: Sequence[Migration],
    history: Sequence[Entry],
    *,
    to: int | None,
) -> tuple[Migration, ...]:
    """Return the versions to take back, newest first: all above `to`, or the newest alone.

    :raises HistoryRefused: when files and history disagree
    :raises NoWayBack: when one of them has no down file; then none may be taken back
    """
    for finding in compare_history(set_name, migrations, history):
        raise HistoryRefused(finding)
    done = sorted((e.version for e in history), reverse=True)
    wanted = done[:1] if to is None else [v for v in done if v > to]
    by_version = {m.version: m for m in migrations}
    for version in wanted:
        if by_version[version].down is None:
            raise NoWayBack(
                f"{set_name} V{version:03d} has no down file: it cannot be taken back",
                set_name=set_name,
                version=version,
            )
    return tuple(by_version[v] for v in wanted)


def refuse_orphans(
    sets: Sequence[MigrationSet], name: str, to: int, versions: Mapping[str, int]
) -> None:
    """Refuse to take back what another set stands on; `versions` are the versions reached.

    :raises RequirementUnmet: naming the set that would lose its ground
    """
    for other in sets:
        needed = dict(other.requires).get(name, 0)
        if needed > to and versions.get(other.name, 0) > 0:
            raise RequirementUnmet(
                f"{other.name} is applied and requires {name} at V{needed:03d}:"
                f" take {other.name} back first",
                set_name=other.name,
                requires=name,
                at_least=needed,
                reached=to,
            )


def compare_history(
    set_name: str, migrations: Sequence[Migration], history: Sequence[Entry]
) -> Iterator[Finding]:
    """Yield everything that forbids a next step, the gravest kind of a version first."""
    by_version = {m.version: m for m in migrations}
    for entry in history:
        if finding := _judge_entry(set_name, entry, by_version.get(entry.version)):
            yield finding
    applied = {e.version for e in history}
    newest = max(applied, default=0)
    for migration in migrations:
        if migration.version not in applied and migration.version < newest:
            yield Finding(
                FindingKind.OUT_OF_ORDER,
                set_name,
                migration.version,
                f"{migration.up.path} is out of order: V{newest:03d} is applied already, perhaps"
                " against a schema without it; give the file the next free number",
            )


def list_gaps(set_name: str, migrations: Sequence[Migration]) -> Iterator[Finding]:
    """Yield the versions that no file has: whatever comes there later would be out of order."""
    for version in find_gaps(migrations):
        yield Finding(
            FindingKind.GAP, set_name, version, f"{set_name} has no V{version:03d} among its files"
        )


def list_status(
    set_name: str, migrations: Sequence[Migration], history: Sequence[Entry]
) -> tuple[VersionStatus, ...]:
    """Return every version that is on disk or in the history, in order, with where it stands."""
    wrong = {f.version: f.kind.value for f in compare_history(set_name, migrations, history)}
    names = {e.version: e.name for e in history} | {m.version: m.name for m in migrations}
    entries = {e.version: e for e in history}
    return tuple(
        _describe_version(set_name, version, names[version], entries.get(version), wrong)
        for version in sorted(names)
    )


def _judge_entry(set_name: str, entry: Entry, migration: Migration | None) -> Finding | None:
    version = f"{set_name} V{entry.version:03d}__{entry.name}"
    if entry.state is State.DIRTY:
        return Finding(
            FindingKind.DIRTY,
            set_name,
            entry.version,
            f"{version} is dirty: it runs outside a transaction and was cut off half-way, so some"
            " of its statements may have taken effect. `emberkeep migrate repair"
            f" {set_name}` drops the indexes it left invalid and makes it pending again",
        )
    if migration is None:
        return Finding(
            FindingKind.MISSING,
            set_name,
            entry.version,
            f"{version} is applied, but its file is gone: this code is older than the schema, or"
            " the file was deleted. Put it back",
        )
    if migration.checksum != entry.checksum:
        return Finding(
            FindingKind.EDITED,
            set_name,
            entry.version,
            f"{migration.up.path} was edited after it was applied on {entry.applied_at:%Y-%m-%d}:"
            " put the old text back, and write the change as a new version",
        )
    return None


def _describe_version(
    set_name: str, version: int, name: str, entry: Entry | None, wrong: Mapping[int | None, str]
) -> VersionStatus:
    if entry is None:
        state = wrong.get(version, "pending")
        return VersionStatus(set_name, version, name, state, None, None, None)
    state = wrong.get(version, entry.state.value)
    return VersionStatus(
        set_name, version, name, state, entry.applied_at, entry.applied_by, entry.duration_ms
    )
