"""Whom the server runs as. PostgreSQL refuses to be root, so root lends it a lesser user."""

from __future__ import annotations

import dataclasses
import os
import pwd
import stat
from typing import TYPE_CHECKING

from emberkeep.base.postgres.model import PostgresUnavailable

if TYPE_CHECKING:
    from pathlib import Path

    from emberkeep.base.postgres.home import Home

_LESSER_USERS = ("postgres", "nobody")
_ROOT = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Account:
    """A user, and whether root has to switch to it."""

    name: str
    uid: int
    gid: int
    is_lent: bool

    def can_enter(self, directory: Path) -> bool:
        """Say whether the mode of `directory` lets this user pass through it."""
        return not self.is_lent or bool(directory.stat().st_mode & self._passing_bit(directory))

    def _passing_bit(self, directory: Path) -> int:
        about = directory.stat()
        if about.st_uid == self.uid:
            return stat.S_IXUSR
        return stat.S_IXGRP if about.st_gid == self.gid else stat.S_IXOTH

    def find_barrier(self, directory: Path) -> Path | None:
        """Return the highest directory on the way to `directory` that is closed to this user."""
        way = (*reversed(directory.parents), directory)
        return next((step for step in way if not self.can_enter(step)), None)


def choose_account(home: Home) -> Account:
    """Return the user to run the server as; for root, whoever owns the data already comes first.

    :raises PostgresUnavailable: when root cannot lend a user, or the directory is a stranger's
    """
    if os.geteuid() != _ROOT:
        return Account(_name_user(os.geteuid()), os.geteuid(), os.getegid(), is_lent=False)
    account = _find_owner(home.cluster_dir) or _find_lesser_user()
    _check_trusted(home.data_dir, account)
    barrier = account.find_barrier(home.data_dir)
    if barrier is not None:
        raise PostgresUnavailable(
            f"the data directory {home.data_dir} cannot be reached by {account.name}, the user that"
            f" PostgreSQL runs as when root starts it, because {barrier} is closed to others (mode"
            f" {stat.S_IMODE(barrier.stat().st_mode):o}); name a directory elsewhere in"
            " EMBERKEEP_DATA_DIR, such as one below /var/lib, or do not run as root"
        )
    return account


def _find_owner(cluster_dir: Path) -> Account | None:
    try:
        about = cluster_dir.stat()
    except FileNotFoundError:
        return None
    if about.st_uid == _ROOT:
        return None
    return Account(_name_user(about.st_uid), about.st_uid, about.st_gid, is_lent=True)


def _find_lesser_user() -> Account:
    for name in _LESSER_USERS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid, is_lent=True)
    raise PostgresUnavailable(
        "PostgreSQL does not run as root, and this machine has none of the users"
        f" {', '.join(_LESSER_USERS)} that it could run as; start Emberkeep as another user"
    )


def _check_trusted(data_dir: Path, account: Account) -> None:
    # Root must not work in a directory that another user can rearrange under its hands, such as
    # one that was waiting in the temporary directory.
    owner = data_dir.stat().st_uid
    if owner not in (_ROOT, account.uid):
        raise PostgresUnavailable(
            f"the data directory {data_dir} belongs to {_name_user(owner)}, not to root; start"
            " Emberkeep as that user, or name another directory in EMBERKEEP_DATA_DIR"
        )


def _name_user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
