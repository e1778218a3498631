"""The sets that ship with the code, on every PostgreSQL that this machine has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from emberkeep.base.postgres import ensure_database, find_binaries, run_embedded
from emberkeep.migrate import service
from emberkeep.migrate.model import DEFAULT_SETS

if TYPE_CHECKING:
    import datetime

_LEAST_MAJOR = 15
BIN_DIRS = (
    find_binaries().bin_dir,
    *(
        path
        for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"))
        if path.parent.name.isdecimal() and int(path.parent.name) >= _LEAST_MAJOR
    ),
)


@pytest.mark.parametrize("bin_dir", BIN_DIRS, ids=str)
async def test_every_set_goes_up_and_down_and_up(
    server_dir: Path, now: datetime.datetime, bin_dir: Path
):
    with run_embedded(data_dir=server_dir / "data", bin_dir=bin_dir) as server:
        ensure_database(server.dsn, "emberkeep")
        dsn = server.dsn_for("emberkeep")
        files = len(await service.apply_migrations(dsn, now=now))
        prints = [await service.read_fingerprint(dsn, s) for s in DEFAULT_SETS]
        assert [v.findings for v in await service.verify_schemas(dsn)] == [()] * len(DEFAULT_SETS)
        assert len(await service.roll_back(dsn, to=0, now=now)) == files
        assert len(await service.apply_migrations(dsn, now=now)) == files
        assert [await service.read_fingerprint(dsn, s) for s in DEFAULT_SETS] == prints
