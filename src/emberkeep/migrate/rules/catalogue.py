"""What two readings of a schema's catalogue have apart. Pure: lines in, findings out."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from emberkeep.migrate.model import Finding, FindingKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# A function's own search_path, as pg_get_functiondef() prints it: names as literals.
_SEARCH_PATH = re.compile(r"^ SET search_path TO .*$", re.MULTILINE)


def restore_tokens(lines: Iterable[str], schema: str) -> tuple[str, ...]:
    """Return the lines, sorted, with `${schema}` where the schema's own name qualifies something.

    Two schemas of one set then read the same. A name in quotes inside a function's text cannot
    be told from data, and is left alone: both readings of one schema have it alike.
    """
    plain, quoted = re.escape(schema), re.escape('"' + schema.replace('"', '""') + '"')
    qualifier = re.compile(rf"""(?<![\w$"'.])(?:{quoted}|{plain})\.""")
    literal = "'" + schema.replace("'", "''") + "'"
    return tuple(
        sorted(
            _SEARCH_PATH.sub(
                lambda m: m[0].replace(literal, "'${schema}'"),
                qualifier.sub("${schema}.", line),
            )
            for line in lines
        )
    )


def compute_fingerprint(lines: Sequence[str]) -> str:
    """Return the SHA-256 of a reading, in hex."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def compare_catalogues(
    set_name: str, expected: Sequence[str], live: Sequence[str]
) -> tuple[Finding, ...]:
    """Return a finding for each line that only one of the two readings has.

    `-` is what the files say and the schema lacks; `+` is what the schema has besides.
    """
    lacking = [(line, "-") for line in set(expected).difference(live)]
    besides = [(line, "+") for line in set(live).difference(expected)]
    return tuple(
        Finding(FindingKind.DRIFT, set_name, None, f"{sign} {line}")
        for line, sign in sorted(lacking + besides)
    )
