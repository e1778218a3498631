"""Helps who writes a migration: makes the files, and reads them with a linter's eye."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from emberkeep.migrate import gateway
from emberkeep.migrate.model import DEFAULT_SETS, LintWarning, Script
from emberkeep.migrate.rules import lint, plan, text
from emberkeep.migrate.rules.files import format_file_names
from emberkeep.migrate.service.files import load_migrations

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from emberkeep.migrate.model import Migration, MigrationSet

_SEPARATOR: Final = "-" * 79


def create_files(
    *, module: str, name: str, sets: Sequence[MigrationSet] = DEFAULT_SETS
) -> tuple[Path, ...]:
    """Create the next up and down file of `module` and return where they are.

    `name` may be words with spaces or hyphens; the file has them in lower case, joined by `_`.

    :raises FileInvalid: when no file can be called so
    :raises SetUnknown: when no set is called `module`
    """
    migration_set = plan.find_set({s.name: s for s in sets}, module)
    newest = max((m.version for m in load_migrations(migration_set)), default=0)
    words = re.sub(r"[\s_-]+", "_", name.strip().lower())
    up, down = format_file_names(newest + 1, words)
    titles = (name.strip(), f"Takes back V{newest + 1:03d}")
    return gateway.write_scripts(
        migration_set,
        [
            Script(path, f"{_SEPARATOR}\n-- {title}\n{_SEPARATOR}\n\n")
            for path, title in zip((up, down), titles, strict=True)
        ],
    )


async def lint_files(
    *, sets: Sequence[MigrationSet] = DEFAULT_SETS, module: str | None = None
) -> tuple[LintWarning, ...]:
    """Return what squawk and our own rules say of the files; no database is needed.

    :raises LinterMissing: when squawk is not installed
    """
    warnings: list[LintWarning] = []
    for migration_set in plan.select_sets(sets, module):
        migrations = load_migrations(migration_set)
        warnings += [
            LintWarning(str(migration_set.source), 1, "gap", finding.message)
            for finding in plan.list_gaps(migration_set.name, migrations)
        ]
        for migration in migrations:
            warnings += await _lint_migration(migration_set, migration)
    return tuple(warnings)


async def _lint_migration(migration_set: MigrationSet, migration: Migration) -> list[LintWarning]:
    warnings = [
        *lint.lint_script(migration.up),
        *await _run_squawk(migration_set, migration.up, lint.SQUAWK_LEFT_OUT),
    ]
    if migration.down is not None:
        excluded = (*lint.SQUAWK_LEFT_OUT, *lint.SQUAWK_LEFT_OUT_DOWN)
        warnings += await _run_squawk(migration_set, migration.down, excluded)
    return warnings


async def _run_squawk(
    migration_set: MigrationSet, script: Script, excluded: Sequence[str]
) -> tuple[LintWarning, ...]:
    """Lint what would reach the server: squawk does not know our tokens."""
    rendered = Script(script.path, text.render(script.text, text.make_tokens(migration_set)))
    return await gateway.run_squawk(
        rendered, excluded=excluded, in_transaction=text.is_transactional(script)
    )
