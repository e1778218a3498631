"""A PostgreSQL that a test may kill."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emberkeep.base.postgres import EmbeddedServer, ensure_database, run_embedded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def durable(server_dir: Path) -> Iterator[EmbeddedServer]:
    """A server with the durability of production and a database `kills`, for this test alone."""
    with run_embedded(data_dir=server_dir / "d") as server:
        ensure_database(server.dsn, "kills")
        yield server
