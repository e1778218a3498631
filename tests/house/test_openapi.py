"""The whole service, as it is put together: it starts, and its document explains every call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from emberkeep.base.config import Secret, Settings
from emberkeep.base.doctor.model import SystemUnsound
from emberkeep.wiring import SecretKeyMissing, open_system, read_keys
from tests.http.notes_app import Client

if TYPE_CHECKING:
    from pathlib import Path


def _make_settings(dsn: str) -> Settings:
    return Settings(database_url=Secret(dsn), secret_key=Secret("x" * 32))


async def test_every_call_is_explained(empty_database: str) -> None:
    async with open_system(_make_settings(empty_database), must_be_sound=False) as system:
        client = Client(system.app)
        assert (await client.call("GET", "/health/ready")).status == 200
        document: dict[str, Any] = (await client.call("GET", "/openapi.json")).json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for part in ("summary", "description", "tags"):
                assert operation.get(part), f"{method} {path} lacks {part}"


async def test_a_database_that_may_lose_claims_is_refused(
    empty_database: str, pytestconfig: pytest.Config
) -> None:
    if pytestconfig.getoption("--durable"):
        return
    with pytest.raises(SystemUnsound, match="fsync is off"):
        async with open_system(_make_settings(empty_database)):
            pass


def test_a_database_of_ones_own_needs_a_key() -> None:
    with pytest.raises(SecretKeyMissing):
        read_keys(Settings(database_url=Secret("postgresql://localhost/x")))


def test_the_embedded_servers_key_is_made_once_and_closed_to_others(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    assert read_keys(settings).signing.as_dict() == read_keys(settings).signing.as_dict()
    (kept,) = tmp_path.iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert len(kept.read_text("ascii")) == 64
