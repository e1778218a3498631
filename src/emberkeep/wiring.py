"""The composition root: settings become a database, services and an application, and end in order."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

import structlog

from emberkeep import worker
from emberkeep.base import clock, log, tasks
from emberkeep.base.check import Check
from emberkeep.base.config import Secret, Settings, load_settings
from emberkeep.base.db import Connection, Database, connect, open_database
from emberkeep.base.doctor import service as doctor
from emberkeep.base.doctor.model import Finding, Level
from emberkeep.base.errors import Invalid
from emberkeep.base.figures import Figure
from emberkeep.base.place import Place, open_place
from emberkeep.base.postgres.home import open_home
from emberkeep.events.routes import ROUTES as EVENT_ROUTES
from emberkeep.events.service import SubscriptionHub, measure_events, verify_events
from emberkeep.events.service.services import EventServices
from emberkeep.events.service.services import make_services as make_event_services
from emberkeep.migrate import service as migrations
from emberkeep.migrate.model import DEFAULT_SETS
from emberkeep.web import idempotency
from emberkeep.web.app import Services, make_app
from emberkeep.web.auth import Keys
from emberkeep.web.front import Front
from emberkeep.xp.model import Summary
from emberkeep.xp.routes import ROUTES as XP_ROUTES
from emberkeep.xp.routes import make_hot_routes as make_xp_hot_routes
from emberkeep.xp.service.desk import ClaimDesk
from emberkeep.xp.service.services import XpServices
from emberkeep.xp.service.services import make_services as make_xp_services
from emberkeep.xp.service.summary import list_zones_in_use
from emberkeep.xp.service.summary import summarize as summarize_xp
from emberkeep.xp.service.verify import verify_xp

_log = structlog.get_logger(__name__)

_KEY_FILE: Final = "secret_key"
_KEY_BYTES: Final = 48
# Whether the schema is current changes only when somebody migrates: not asked at every probe.
_SCHEMA_CHECK_S: Final = 5.0
# Anybody may ask for the metrics; the database is not asked each time.
_MEASURE_S: Final = 5.0
# The connections of a process on which it hears that events were appended, or policies changed.
_LISTENERS: Final = 2


class SecretKeyMissing(Invalid):
    """A database of one's own needs `EMBERKEEP_SECRET_KEY`: every process must sign with the same."""

    code = "settings.secret_key_missing"


class ModuleUnknown(Invalid):
    """No module of this name has invariants."""

    code = "service.module_unknown"


# Each slice checks itself, the lower ones first: what is above rests on them.
_VERIFIERS: Final[Mapping[str, Callable[[Connection], Awaitable[list[Check]]]]] = {
    "events": verify_events,
    "xp": verify_xp,
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """Everything that runs in one process."""

    settings: Settings
    place: Place
    keys: Keys
    database: Database
    events: EventServices
    desk: ClaimDesk
    app: Front


@contextlib.asynccontextmanager
async def open_system(
    settings: Settings,
    *,
    may_migrate: bool = True,
    must_be_sound: bool = True,
    does_work: bool = False,
) -> AsyncGenerator[System]:
    """Bring up everything: database, schema, services, application. All of it ends with the block.

    `does_work`: the worker's loops run in this process, too. `must_be_sound=False` serves from a
    database that may lose what it confirmed: for tests only.

    :raises SystemUnsound: when the database cannot keep our promises
    :raises SecretKeyMissing: when tokens could not be signed
    """
    keys = read_keys(settings)
    async with contextlib.AsyncExitStack() as stack:
        place, database = await _open_ground(
            stack, settings, may_migrate=may_migrate, must_be_sound=must_be_sound
        )
        async with database.connection() as conn:
            await idempotency.sweep_keys(conn, now=clock.read_now())
        events = await _open_events(stack, settings, database)
        xp = await _open_xp(stack, settings, database)
        if does_work:
            await _start_loops(stack, events.hub, database)
        app = make_app(
            Services(
                keys=keys,
                database=database,
                check_ready=_make_ready_check(database, place),
                measure=_make_measure(database),
                collectors=(xp.desk.rule_failures.counter,),
                # Each slice brings its routes; what their handlers ask for by name is `provided`.
                routes=(*EVENT_ROUTES, *XP_ROUTES),
                hot_routes=make_xp_hot_routes(xp),
                provided={"events": events, "xp": xp},
                requests_per_minute=settings.requests_per_minute,
            )
        )
        yield System(
            settings=settings,
            place=place,
            keys=keys,
            database=database,
            events=events,
            desk=xp.desk,
            app=app,
        )


@contextlib.asynccontextmanager
async def open_worker(
    settings: Settings, *, must_be_sound: bool = True
) -> AsyncGenerator[tuple[Place, tuple[str, ...]]]:
    """Migrate, then run the worker's loops for the length of the block; lend where, and which.

    :raises SystemUnsound: when the database cannot keep our promises
    """
    async with contextlib.AsyncExitStack() as stack:
        place, database = await _open_ground(
            stack, settings, may_migrate=True, must_be_sound=must_be_sound
        )
        hub = SubscriptionHub(database)
        await hub.start()
        stack.push_async_callback(hub.stop)
        yield place, await _start_loops(stack, hub, database)


async def _open_ground(
    stack: contextlib.AsyncExitStack,
    settings: Settings,
    *,
    may_migrate: bool,
    must_be_sound: bool,
) -> tuple[Place, Database]:
    place = stack.enter_context(open_place(settings))
    findings = await examine(settings, place)
    warn_of(findings)
    if must_be_sound:
        doctor.refuse_unsound(findings)
    if may_migrate:
        await migrations.apply_migrations(place.owner_dsn, now=clock.read_now())
    database = await stack.enter_async_context(
        open_database(place.dsn, connections=settings.pool_connections)
    )
    return place, database


async def _start_loops(
    stack: contextlib.AsyncExitStack, hub: SubscriptionHub, database: Database
) -> tuple[str, ...]:
    loops = worker.make_loops(hub, database)
    running = asyncio.create_task(worker.run_loops(loops))
    stack.push_async_callback(tasks.end_tasks, running)
    return tuple(loops)


async def _open_events(
    stack: contextlib.AsyncExitStack, settings: Settings, database: Database
) -> EventServices:
    events = make_event_services(database, settings)
    await events.start()
    stack.push_async_callback(events.stop)
    return events


async def _open_xp(
    stack: contextlib.AsyncExitStack, settings: Settings, database: Database
) -> XpServices:
    xp = make_xp_services(database, settings)
    await xp.desk.start()
    stack.push_async_callback(xp.desk.stop)
    return xp


async def examine(settings: Settings, place: Place) -> tuple[Finding, ...]:
    """Return what the doctor finds at `place`.

    :raises DatabaseUnavailable: when it cannot be reached
    """
    async with await connect(place.dsn, application="emberkeep doctor") as conn:
        return await doctor.examine(
            conn,
            schemas=[migration_set.schema for migration_set in DEFAULT_SETS],
            zones=sorted({"UTC", settings.server_time_zone, *await list_zones_in_use(conn)}),
            needed_connections=settings.pool_connections
            + settings.writer_connections
            + settings.event_writer_connections
            + _LISTENERS,
            data_dir=place.data_dir,
            now=clock.read_now(),
        )


async def summarize(place: Place) -> tuple[Summary, list[Check]]:
    """Return what happened so far at `place`, and whether every invariant holds."""
    async with await connect(place.dsn) as conn:
        summary = await summarize_xp(conn)
    return summary, await verify(place)


async def verify(place: Place, *, module: str | None = None) -> list[Check]:
    """Return every invariant of `module`, or of all modules, checked; writes and locks nothing.

    :raises ModuleUnknown: when there is no such module
    :raises SchemaBehind: when the schema is not the one that this version knows
    :raises DatabaseUnavailable: when the database cannot be reached
    """
    if module is not None and module not in _VERIFIERS:
        known = ", ".join(_VERIFIERS)
        raise ModuleUnknown(f"there is no module {module!r} to verify; there are: {known}")
    await migrations.require_current(place.owner_dsn)
    verifiers = [check for name, check in _VERIFIERS.items() if module in (None, name)]
    async with await connect(place.dsn, application="emberkeep verify") as conn:
        return [check for verifier in verifiers for check in await verifier(conn)]


def warn_of(findings: tuple[Finding, ...]) -> None:
    """Write a log line for each finding that is not well."""
    for finding in findings:
        if finding.level is not Level.OK:
            _log.warning("doctor", what=finding.what, fact=finding.fact, remedy=finding.remedy)


def read_keys(settings: Settings) -> Keys:
    """Return the keys of the settings; with the embedded server one is made and kept beside it.

    :raises SecretKeyMissing: when a database is named, and no key
    """
    if settings.secret_key is not None:
        return Keys(settings.secret_key, settings.previous_secret_key)
    if settings.database_url is not None:
        raise SecretKeyMissing(
            "EMBERKEEP_DATABASE_URL is set, so EMBERKEEP_SECRET_KEY must be, too: at least 32 bytes,"
            " the same in every process"
        )
    return Keys(_keep_key(open_home(settings.data_dir).data_dir / _KEY_FILE))


def _keep_key(path: Path) -> Secret:
    if not path.exists():
        # Written whole, then linked into place: of two processes that start at once, one wins,
        # and neither ever reads half a key.
        draft = path.with_name(f"{_KEY_FILE}.{secrets.token_hex(8)}")
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(_KEY_BYTES))
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()
    return Secret(path.read_text("ascii"))


def _make_ready_check(database: Database, place: Place) -> Callable[[], Awaitable[None]]:
    """Return a check that raises while the database is away, or its schema is behind."""
    current_until_s = 0.0

    async def check_ready() -> None:
        nonlocal current_until_s
        async with database.connection() as conn:
            await conn.execute("select 1")
        at_s = clock.read_now().timestamp()
        if at_s < current_until_s:
            return
        await migrations.require_current(place.owner_dsn)
        current_until_s = at_s + _SCHEMA_CHECK_S

    return check_ready


def _make_measure(database: Database) -> Callable[[], Awaitable[list[Figure]]]:
    """Return what tells how the event store is doing; asked at most every few seconds."""
    figures: list[Figure] = []
    fresh_until_s = 0.0

    async def measure() -> list[Figure]:
        nonlocal figures, fresh_until_s
        now = clock.read_now()
        if now.timestamp() < fresh_until_s:
            return figures
        fresh_until_s = now.timestamp() + _MEASURE_S
        try:
            async with database.connection() as conn:
                figures = await measure_events(conn, now=now)
        except Exception as e:  # noqa: BLE001 -- What the process knows of itself is told all the same.
            _log.warning("not_measured", error=type(e).__name__)
            figures = []
        return figures

    return measure


class ProcessApp:
    """The application of one of several processes.

    The system is opened when the server starts the application, and closed when it stops it.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stack = contextlib.AsyncExitStack()
        self._front: Front | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request, or start and stop."""
        if scope["type"] != "lifespan":
            assert self._front is not None
            await self._front(scope, receive, send)
            return
        await receive()
        # The parent has migrated already.
        system = await self._stack.enter_async_context(
            open_system(self._settings, may_migrate=False)
        )
        self._front = system.app
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._stack.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    def begin_stop(self) -> None:
        """End the answers that would go on for ever."""
        assert self._front is not None
        self._front.begin_stop()


def make_process_app() -> ProcessApp:
    """Return the application of one of several processes; uvicorn calls it by name in each."""
    settings = load_settings(os.environ)
    log.configure(log_format=settings.log_format, log_level=settings.log_level)
    return ProcessApp(settings)
