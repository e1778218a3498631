"""How files on disk become the versions of a set. Pure: the gateway reads, this judges."""

from __future__ import annotations

import functools
import re
from pathlib import PurePath
from typing import TYPE_CHECKING

from emberkeep.migrate.model import FileInvalid, Migration
from emberkeep.migrate.rules import split, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emberkeep.migrate.model import Script

_FILE_NAME = re.compile(
    r"V(?P<version>\d{3,9})__(?P<name>[a-z0-9]+(?:_[a-z0-9]+)*)(?P<down>\.down)?\.sql"
)
_TOKEN_NAMES = frozenset({"schema"})


@functools.lru_cache(maxsize=64)
def assemble_migrations(scripts: tuple[Script, ...]) -> tuple[Migration, ...]:
    """Return the versions that the files make up, in order.

    Every `.sql` file must be one of ours: a misspelt name would otherwise never be applied, and
    nobody would be told. Remembered, so that a start with nothing to do judges no text twice.

    :raises FileInvalid: for a name, version, header, token, quote or statement that cannot be
    """
    ups: dict[int, tuple[str, Script]] = {}
    downs: dict[int, tuple[str, Script]] = {}
    for script in scripts:
        version, name, is_down = parse_file_name(script.path)
        found = downs if is_down else ups
        if version in found:
            raise FileInvalid(
                f"{script.path} and {found[version][1].path} are both version {version}",
                file=script.path,
            )
        check_script(script)
        found[version] = (name, script)
    _refuse_strays(ups, downs)
    return tuple(
        _make_migration(version, *ups[version], downs.get(version)) for version in sorted(ups)
    )


def parse_file_name(path: str) -> tuple[int, str, bool]:
    """Return (version, name, is it a down file?) of `V001__name.sql` or `V001__name.down.sql`.

    :raises FileInvalid: when the file is called anything else
    """
    match = _FILE_NAME.fullmatch(PurePath(path).name)
    if match is None or int(match["version"]) == 0:
        raise FileInvalid(
            f"{path} is not called V###__lower_case_name.sql or V###__lower_case_name.down.sql,"
            " with ### from 001",
            file=path,
        )
    return int(match["version"]), match["name"], match["down"] is not None


def format_file_names(version: int, name: str) -> tuple[str, str]:
    """Return what the up and the down file of a version are called.

    :raises FileInvalid: when `name` is not lower-case words joined by `_`
    """
    names = f"V{version:03d}__{name}.sql", f"V{version:03d}__{name}.down.sql"
    for file_name in names:
        parse_file_name(file_name)
    return names


def check_script(script: Script) -> None:
    """Refuse what can be known to be wrong without a server.

    :raises FileInvalid: for an unknown token or header, an open quote, or transaction control
    """
    text.check_tokens(script, _TOKEN_NAMES)
    text.is_transactional(script)
    try:
        statements = split.list_statements(script.text)
    except FileInvalid as e:
        raise FileInvalid(f"{script.path}: {e.message}", (), file=script.path, **e.facts) from e
    for statement in statements:
        if split.is_transaction_control(statement.text):
            line, column = text.locate(script.text, statement.offset)
            raise FileInvalid(
                f"{script.path}:{line}:{column}: `{statement.text}` would break the transaction"
                " that the file runs in; leave it out",
                file=script.path,
                line=line,
                column=column,
            )


def find_gaps(migrations: Sequence[Migration]) -> tuple[int, ...]:
    """Return the versions that are skipped between 1 and the last."""
    present = {m.version for m in migrations}
    return tuple(v for v in range(1, max(present, default=0)) if v not in present)


def _refuse_strays(
    ups: dict[int, tuple[str, Script]], downs: dict[int, tuple[str, Script]]
) -> None:
    for version, (name, script) in downs.items():
        if version not in ups or ups[version][0] != name:
            raise FileInvalid(
                f"{script.path} takes back a file that is not there", file=script.path
            )


def _make_migration(
    version: int, name: str, up: Script, down: tuple[str, Script] | None
) -> Migration:
    return Migration(
        version=version,
        name=name,
        up=up,
        down=None if down is None else down[1],
        checksum=text.compute_checksum(up.text),
    )
