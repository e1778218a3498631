"""Settings: environment variables, read once into one frozen value.

Every setting is a field of `Settings`; its variable is `EMBERKEEP_` and the name in capitals. A
secret may also come from a file, named by the variable with `_FILE` at its end. An unknown
`EMBERKEEP_` variable is an error, because a misspelt setting must not pass for a set one.
"""

from __future__ import annotations

import dataclasses
import zoneinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from emberkeep.base import clock
from emberkeep.base.errors import FieldError, Invalid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_PREFIX = "EMBERKEEP_"
_FILE_SUFFIX = "_FILE"
_MIN_KEY_BYTES = 32


class SettingsInvalid(Invalid):
    """One or more environment variables cannot be used."""

    code = "settings.invalid"


@dataclasses.dataclass(frozen=True, slots=True)
class Secret:
    """A value that never prints: its text form is a mask."""

    reveal: str

    def __repr__(self) -> str:
        return "Secret('********')"

    __str__ = __repr__


def _setting(default: Any, parse: Callable[[str], Any], explains: str) -> Any:
    return dataclasses.field(default=default, metadata={"parse": parse, "explains": explains})


def _parse_dsn(text: str) -> Secret:
    try:
        conninfo_to_dict(text)
    except psycopg.ProgrammingError:
        # Without the driver's words: they may repeat the password.
        message = "is no connection string, such as postgresql://role@host/database"
        raise ValueError(message) from None
    return Secret(text)


def _parse_secret_key(text: str) -> Secret:
    if len(text.encode()) < _MIN_KEY_BYTES:
        raise ValueError(f"needs at least {_MIN_KEY_BYTES} bytes")
    return Secret(text)


def _parse_bool(text: str) -> bool:
    known = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    if text.lower() not in known:
        raise ValueError("is not one of true, false, yes, no, 1, 0")
    return known[text.lower()]


def _parse_zone(text: str) -> str:
    try:
        clock.open_zone(text)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError) as e:
        raise ValueError("is not a time zone of the tz database") from e
    return text


def _parse_whole(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise ValueError(f"is not a whole number from {least} to {most}")
        return int(text)

    return parse


def _parse_choice(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"is not one of {', '.join(choices)}")
        return text

    return parse


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings, with their defaults. See docs/reference/settings.md."""

    database_url: Secret | None = _setting(
        None, _parse_dsn, "The service's connection; unset: an embedded PostgreSQL."
    )
    migration_database_url: Secret | None = _setting(
        None,
        _parse_dsn,
        "The connection of the role that may change the schema; unset: `database_url`.",
    )
    data_dir: Path | None = _setting(
        None, Path, "Where the embedded PostgreSQL keeps its data; unset: a per-user directory."
    )
    postgres_bin_dir: Path | None = _setting(
        None, Path, "Where `initdb` and `postgres` are; unset: the pinned wheel, then PATH."
    )
    secret_key: Secret | None = _setting(
        None,
        _parse_secret_key,
        "Signs access tokens, at least 32 bytes; unset: with the embedded PostgreSQL only, one is"
        " made and kept in the data directory.",
    )
    previous_secret_key: Secret | None = _setting(
        None, _parse_secret_key, "Still accepted while keys are rotated; signs nothing."
    )
    host: str = _setting("127.0.0.1", str, "The address to listen on.")
    port: int = _setting(8080, _parse_whole(1, 65535), "The TCP port to listen on.")
    log_format: str = _setting("console", _parse_choice("console", "json"), "How logs are printed.")
    log_level: str = _setting(
        "info",
        _parse_choice("debug", "info", "warning", "error"),
        "The least level that is logged.",
    )
    default_policy_key: str = _setting(
        "daily-login", str, "The policy that a claim without `policy_key` is decided by."
    )
    server_time_zone: str = _setting(
        "UTC", _parse_zone, "The zone of policies whose anchor strategy is `ServerLocal`."
    )
    time_zone_cooldown_days: int = _setting(
        7, _parse_whole(0, 3650), "The days between two changes of a player's reward time zone."
    )
    time_zone_changes_per_season: int | None = _setting(
        None,
        _parse_whole(0, 1000),
        "The changes of a player's reward time zone within one season; unset: no limit, 0: none.",
    )
    max_award_xp: int = _setting(
        5000, _parse_whole(1, 10**9), "The largest single award that a policy may pay."
    )
    max_simulated_claims: int = _setting(
        2_000_000,
        _parse_whole(1, 10**9),
        "The most recorded claims that a simulation over HTTP replays.",
    )
    writer_connections: int = _setting(
        2, _parse_whole(1, 32), "The connections that pay claims; two saturate two cores."
    )
    event_writer_connections: int = _setting(
        2, _parse_whole(1, 32), "The connections that append events for callers of the event store."
    )
    pool_connections: int = _setting(
        4, _parse_whole(1, 256), "The connections for everything else, per process."
    )
    max_batch_claims: int = _setting(
        512, _parse_whole(1, 10_000), "The most claims that are joined in one transaction."
    )
    receipt_cache_size: int = _setting(
        200_000, _parse_whole(0, 10**8), "The receipts of the day that a process remembers."
    )
    catalogue_poll_s: int = _setting(
        1,
        _parse_whole(1, 3600),
        "The seconds after which a process has seen a new policy whose notification was lost.",
    )
    requests_per_minute: int = _setting(
        600, _parse_whole(0, 10**9), "The requests a minute of one player; 0: no limit."
    )
    allow_erasure: bool = _setting(
        default=False,
        parse=_parse_bool,
        explains="Allows an admin to erase the events of a stream for good.",
    )
    allow_destructive: bool = _setting(
        default=False,
        parse=_parse_bool,
        explains="Allows `migrate reset` and `drop`, and those of `events`; for development only.",
    )


def list_settings() -> tuple[tuple[str, str, object], ...]:
    """Return (variable, explanation, default) of every setting, in reading order."""
    return tuple(
        (_PREFIX + f.name.upper(), f.metadata["explains"], f.default)
        for f in dataclasses.fields(Settings)
    )


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Return the settings that `environ` holds.

    :raises SettingsInvalid: with every variable that is unknown or cannot be read, all at once
    """
    errors: list[FieldError] = []
    values: dict[str, object] = {}
    fields = {_PREFIX + f.name.upper(): f for f in dataclasses.fields(Settings)}
    for variable in sorted(v for v in environ if v.startswith(_PREFIX)):
        name = variable.removesuffix(_FILE_SUFFIX) if variable not in fields else variable
        if name not in fields:
            errors.append(FieldError(variable, "is not a setting of Emberkeep"))
            continue
        try:
            text = environ[variable]
            if name != variable:
                text = Path(text).read_text("utf-8").strip()
            if fields[name].name in values:
                raise ValueError(f"is set twice: as {name} and as {name}{_FILE_SUFFIX}")
            values[fields[name].name] = fields[name].metadata["parse"](text)
        except (OSError, UnicodeDecodeError) as e:
            errors.append(FieldError(variable, f"names a file that cannot be read: {e}"))
        except ValueError as e:
            errors.append(FieldError(variable, str(e)))
    if errors:
        raise SettingsInvalid("the environment has settings that cannot be used", errors)
    return Settings(**values)  # type: ignore[arg-type]  # Checked by each field's parser.
