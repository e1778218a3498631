"""Where the data are: the database that the settings name, or an embedded one of one's own."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Generator
from pathlib import Path
from typing import Final

from emberkeep.base.config import Settings
from emberkeep.base.postgres import APP_USER, ensure_database, ensure_service_user, run_embedded

_DATABASE: Final = "emberkeep"


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """The service's connection, the owner's, and the embedded server's version and folder."""

    dsn: str
    owner_dsn: str
    embedded_version: str | None
    data_dir: Path | None = None


@contextlib.contextmanager
def open_place(settings: Settings) -> Generator[Place]:
    """Lend the database that the settings name, or an embedded one for as long as the block.

    On an embedded server the service is a user who cannot change the schema, as it should be in
    production. It blocks while such a server starts.

    :raises PostgresUnavailable: when there can be no embedded server
    """
    if settings.database_url is not None:
        owner = settings.migration_database_url or settings.database_url
        yield Place(settings.database_url.reveal, owner.reveal, None)
        return
    with run_embedded(data_dir=settings.data_dir, bin_dir=settings.postgres_bin_dir) as server:
        ensure_database(server.dsn, _DATABASE)
        ensure_service_user(server.dsn)
        yield Place(
            dsn=server.dsn_for(_DATABASE, user=APP_USER),
            owner_dsn=server.dsn_for(_DATABASE),
            embedded_version=server.version,
            data_dir=server.data_dir,
        )
