"""A small application of its own: the front is tested apart from what the slices put behind it."""

from __future__ import annotations

import asyncio
import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from emberkeep.base.clock import UTC
from emberkeep.base.config import Secret
from emberkeep.base.db import Connection, Database
from emberkeep.base.errors import Conflict, Unavailable
from emberkeep.base.figures import Figure
from emberkeep.base.hot import Answer, HotRoute
from emberkeep.base.identity import Permission, Principal, Role, acting_player
from emberkeep.web.app import Services, make_app
from emberkeep.web.auth import Keys, make_token

if TYPE_CHECKING:
    from emberkeep.web.front import Front

NOW = datetime.datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
KEYS = Keys(Secret("the key of these tests, and of nothing else"))


class Note(msgspec.Struct, forbid_unknown_fields=True):
    """A body with a bit of everything."""

    text: str
    amount: int = 0
    tags: list[str] = []
    extra: dict[str, Any] = {}


class Echo(msgspec.Struct):
    """Which player said what."""

    player_id: str
    text: str
    at: datetime.datetime


class WindowShut(Conflict):
    """The test's own refusal."""

    code = "test.window_shut"


class PartMissing(Unavailable):
    """The test's own missing part."""

    code = "test.part_missing"


@post(
    "/v1/players/{player_id:str}/notes", opt={"permission": Permission.GRANT_XP, "idempotent": True}
)
async def add_note(
    player_id: FromPath[str],
    data: JSONBody[Note],
    conn: NamedDependency[Connection],
    now: NamedDependency[datetime.datetime],
) -> Response[Echo]:
    """Write a note, unless it says `refuse`; with `slow` take your time."""
    await conn.execute("insert into notes values (%s, %s)", (player_id, data.text))
    if data.text == "refuse":
        raise WindowShut("the window is shut", opens_at=now, player_id=player_id)
    if data.text == "slow":
        await asyncio.sleep(0.2)
    headers = {"location": f"/v1/players/{player_id}/notes/1", "x-other": "1"}
    return Response(Echo(player_id, data.text, now), status_code=201, headers=headers)


@get("/v1/players/{player_id:str}/notes", opt={"permission": Permission.READ_PLAYER})
async def count_notes(
    player_id: FromPath[str],
    principal: NamedDependency[Principal],
    conn: NamedDependency[Connection],
    limit: FromQuery[int] = 10,
) -> dict[str, int]:
    """Count the notes of one player."""
    cursor = await conn.execute(
        "select count(*) from notes where player_id = %s", (acting_player(principal, player_id),)
    )
    row = await cursor.fetchone()
    assert row is not None
    return {"notes": row[0], "limit": limit}


@get("/v1/players/{player_id:str}", opt={"permission": Permission.READ_PLAYER})
async def show_player(
    player_id: FromPath[str], principal: NamedDependency[Principal]
) -> dict[str, str]:
    """Answer without a database."""
    return {"player_id": acting_player(principal, player_id)}


@get("/v1/failures/{kind:str}", opt={"permission": Permission.PUBLIC})
async def fail(kind: FromPath[str]) -> None:
    """Fail as asked."""
    match kind:
        case "conflict":
            raise WindowShut("the window is shut", opens_at=NOW, status="not this one")
        case "unavailable":
            raise PartMissing("a part is missing", retry_after_s=7)
        case _:
            raise RuntimeError("a secret of the house")


async def say(principal: Principal, note: Note, now: datetime.datetime) -> Answer:
    """Answer in the hot lane."""
    if note.text == "refuse":
        raise WindowShut("the window is shut", opens_at=now)
    if note.text == "bug":
        raise RuntimeError("a secret of the house")
    echo = Echo(acting_player(principal, note.extra.get("player_id")), note.text, now)
    return Answer(201, msgspec.json.encode(echo), ((b"x-hot", b"1"),))


HOT = HotRoute(
    method="POST",
    path="/v1/hot",
    permission=Permission.CLAIM,
    handler=say,
    request=Note,
    answers={201: Echo},
    summary="Say something fast",
)


class Reply(msgspec.Struct):
    """An answer as a client sees it; of a header that comes twice the last is kept."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Client:
    """Calls an ASGI application without a network between."""

    def __init__(self, app: Front) -> None:
        self.app = app

    async def call(
        self,
        method: str,
        target: str,
        body: object = b"",
        *,
        token: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """Send one request; anything but bytes goes as JSON."""
        path, _, query = target.partition("?")
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        given = {"content-type": "application/json", "content-length": str(len(content))}
        given |= {} if token is None else {"authorization": f"Bearer {token}"}
        given |= headers or {}
        return await self._send(method, path, query, content, given)

    async def _send(
        self, method: str, path: str, query: str, content: bytes, headers: dict[str, str]
    ) -> Reply:
        scope: Any = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(n.encode(), v.encode("latin-1")) for n, v in headers.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "state": {},
        }
        chunks = [content[i : i + 65_536] for i in range(0, len(content), 65_536)] or [b""]
        sent: list[Any] = []

        async def receive() -> Any:
            chunk = chunks.pop(0)
            return {"type": "http.request", "body": chunk, "more_body": bool(chunks)}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        start, *rest = sent
        answered = {n.decode(): v.decode("latin-1") for n, v in start["headers"]}
        return Reply(start["status"], answered, b"".join(m["body"] for m in rest))


def make_test_token(role: Role, subject: str | None = None) -> str:
    """Return a token that holds for an hour from `NOW`."""
    principal = Principal(subject or role.value, role)
    hour = datetime.timedelta(hours=1)
    return make_token(KEYS, principal, token_id="t", ttl=hour, now=NOW)


async def _is_ready() -> None:
    return


async def _measure() -> list[Figure]:
    return [Figure(name="test_notes", explains="Notes.", value=3, labels=(("kind", "all"),))]


def make_test_app(database: Database, **changes: Any) -> Front:
    """Return the test's application, with `changes` to its services."""
    given: dict[str, Any] = {
        "keys": KEYS,
        "database": database,
        "check_ready": _is_ready,
        "measure": _measure,
        "routes": [add_note, count_notes, show_player, fail],
        "hot_routes": [HOT],
        "read_now": lambda: NOW,
    }
    return make_app(Services(**(given | changes)))
