"""The file system and squawk: the two other systems that the engine talks to."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from emberkeep.migrate.model import FileInvalid, LinterMissing, LintWarning, Script

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.resources.abc import Traversable

    from emberkeep.migrate.model import MigrationSet


def read_scripts(migration_set: MigrationSet) -> tuple[Script, ...]:
    """Return every `.sql` file of the set, by name.

    :raises FileInvalid: when the folder or a file cannot be read
    """
    folder = _open_folder(migration_set)
    try:
        found = sorted(
            (f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name
        )
        return tuple(Script(str(f), f.read_text("utf-8")) for f in found)
    except (OSError, UnicodeDecodeError) as e:
        raise FileInvalid(f"the files of {migration_set.name} cannot be read: {e}") from e


def write_scripts(migration_set: MigrationSet, scripts: Sequence[Script]) -> tuple[Path, ...]:
    """Create the files, whose paths are bare names, and return where they are.

    :raises FileInvalid: when one exists already, or the folder is not to be written to
    """
    folder = Path(str(_open_folder(migration_set)))
    paths: list[Path] = []
    try:
        for script in scripts:
            path = folder / script.path
            with path.open("x", encoding="utf-8", newline="\n") as file:
                file.write(script.text)
            paths.append(path)
    except OSError as e:
        raise FileInvalid(f"the file cannot be created: {e}") from e
    return tuple(paths)


async def run_squawk(
    script: Script, *, excluded: Sequence[str], in_transaction: bool
) -> tuple[LintWarning, ...]:
    """Return what squawk says of a file whose tokens are replaced already.

    :raises LinterMissing: when the binary is missing or fails
    """
    process = await asyncio.create_subprocess_exec(
        _find_squawk(),
        "--reporter=json",
        "--include=require-table-schema",
        *(f"--exclude={rule}" for rule in excluded),
        *(["--assume-in-transaction"] if in_transaction else []),
        f"--stdin-filepath={script.path}",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(script.text.encode())
    try:
        found = json.loads(out)
    except ValueError as e:
        raise LinterMissing(f"squawk gave no answer: {err.decode(errors='replace')}") from e
    # squawk counts lines from 0.
    return tuple(
        LintWarning(script.path, w["line"] + 1, w["rule_name"], w["message"]) for w in found
    )


def _open_folder(migration_set: MigrationSet) -> Traversable:
    if isinstance(migration_set.source, Path):
        return migration_set.source
    try:
        return resources.files(migration_set.source)
    except ModuleNotFoundError as e:
        raise FileInvalid(f"the package {migration_set.source} is not installed") from e


def _find_squawk() -> str:
    beside = Path(sys.executable).with_name("squawk")
    found = str(beside) if beside.exists() else shutil.which("squawk")
    if found is None:
        raise LinterMissing("squawk is not installed; it comes with `pip install squawk-cli`")
    return found
