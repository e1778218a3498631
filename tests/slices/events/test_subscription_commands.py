"""`emberkeep events subscribe` and the commands of operators: what is printed, and the exit codes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from typer.testing import CliRunner

from emberkeep.base.db import connect
from emberkeep.events.commands import app
from emberkeep.events.model import (
    EVERYTHING,
    DuplicateLink,
    ErasureForbidden,
    EventUnknown,
    OnFailure,
    ProjectionUnknown,
    ReadInvalid,
    SnapshotUnknown,
    StreamDeleted,
    SubscriptionChanged,
    SubscriptionId,
    SubscriptionInvalid,
    SubscriptionUnknown,
)
from emberkeep.events.service import find_subscription
from emberkeep.events.service.stores import StoreUnknown
from tests.following import Consumer, make_plan, open_hub, running, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from click.testing import Result

    from emberkeep.events.model import RecordedEvent, Source

PLACED = ("--type", "Placed", "--data")

_EMBERKEEP = Path(sys.executable).with_name("emberkeep")

runner = CliRunner()


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch, database: str) -> str:
    """Where the commands find an empty store."""
    monkeypatch.setenv("EMBERKEEP_DATABASE_URL", database)
    # Logging is set up once a process and keeps the stream it found, here one that is closed.
    monkeypatch.setattr("emberkeep.base.log.configure", lambda **_: None)
    return database


def _run(*arguments: str) -> Result:
    return runner.invoke(app, arguments)


def _print(*arguments: str) -> str:
    """Return what a command prints that ends with 0."""
    result = _run(*arguments)
    assert result.exit_code == 0, result.output or result.exception
    return result.stdout


def _ask(*arguments: str) -> Any:
    """Return the document that a command prints with --json."""
    return json.loads(_print(*arguments, "--json"))


def _read(*arguments: str) -> str:
    """Return the words that a command prints, however they were broken into lines."""
    return " ".join(_print(*arguments).split())


def _append(*numbers: int, to: str = "order-1", event_type: str = "Placed") -> None:
    lines = [{"event_type": event_type, "data": {"n": n}} for n in numbers]
    given = "\n".join(map(json.dumps, lines))
    assert runner.invoke(app, ["append", to, "--file", "-"], input=given).exit_code == 0


def _follow(*arguments: str) -> list[Any]:
    """Return what `subscribe --json` prints until it ends by itself."""
    return [json.loads(line) for line in _print("subscribe", *arguments, "--json").splitlines()]


def _list_numbers(events: list[Any]) -> list[int]:
    return [event["data"]["n"] for event in events]


def _work(dsn: str, *, source: Source = EVERYTHING, **plan: Any) -> None:
    """Work as `mailer` until nothing is behind, or it stops; odd events cannot be handled."""

    def refuse_odd(event: RecordedEvent) -> Exception | None:
        data: Any = event.data
        return ValueError(f"{data['n']} is odd") if data["n"] % 2 else None

    async def work() -> None:
        consumer = Consumer()
        consumer.find_failure = refuse_odd
        wanted = make_plan("mailer", source, **plan)
        async with (
            open_hub(dsn) as hub,
            await connect(dsn) as conn,
            running(hub.run(wanted, consumer.handle)),
        ):
            await until(lambda: _is_done(conn, wanted.subscription_id))

    asyncio.run(work())


async def _is_done(conn: Any, subscription_id: SubscriptionId) -> bool:
    with contextlib.suppress(SubscriptionUnknown):
        state = await find_subscription(conn, subscription_id=subscription_id)
        return state.lag == 0 or state.stopped > 0
    return False


# --- subscribe ------------------------------------------------------------------------------------


def test_events_are_printed_from_where_one_says() -> None:
    _append(0, 1)
    _append(2, to="player-1")
    _append(3)
    for arguments, expected in (
        (("--from", "origin", "--count", "4"), [0, 1, 2, 3]),
        (("$all", "--from", "2", "--count", "2"), [2, 3]),
        (("order-1", "--from", "2", "--count", "2"), [1, 3]),
        (("order-1", "--from", "0", "--count", "1"), [0]),
        (("category:player", "--from", "origin", "--count", "1"), [2]),
        (("$category-player", "--from", "origin", "--count", "1"), [2]),
    ):
        assert _list_numbers(_follow(*arguments)) == expected, arguments


def test_only_events_of_the_named_types_are_printed() -> None:
    for n, event_type in enumerate(("Placed", "Paid", "Packed", "Paid")):
        _append(n, event_type=event_type)
    found = _follow("--from", "origin", "--types", "Paid,Packed", "--count", "3")
    assert _list_numbers(found) == [1, 2, 3]


def test_an_event_is_a_line_with_its_place_type_and_data() -> None:
    _append(7)
    result = _run("subscribe", "--from", "origin", "--count", "1")
    assert result.exit_code == 0
    assert result.stdout.split("  ")[1:] == ["1", "order-1 1", "Placed", '{"n": 7}\n']
    assert result.stderr == "following $all from the beginning; Ctrl-C ends it\n"


def test_an_event_stays_on_its_line_whatever_it_holds() -> None:
    _print("append", "a\nb", "--type", "\x1b[31mred", "--data", f'"{"x" * 300}"')
    (line,) = _print("subscribe", "--from", "origin", "--count", "1").splitlines()
    assert "a\\nb 1" in line
    assert "\\x1b[31mred" in line
    assert line.endswith("… (--json shows all)")


def test_json_is_the_event_as_read_shows_it() -> None:
    _append(7)
    (event,) = _follow("--from", "origin", "--count", "1")
    assert [event] == _ask("read", "$all")["items"]


def test_a_name_goes_on_after_what_it_has_printed() -> None:
    _append(0, 1, 2, 3)
    assert _list_numbers(_follow("--name", "me", "--from", "origin", "--count", "2")) == [0, 1]
    again = _run("subscribe", "--name", "me", "--from", "origin", "--count", "1", "--json")
    assert _list_numbers([json.loads(again.stdout)]) == [2]
    assert again.stderr == "following $all as me again, after 2; Ctrl-C ends it\n"
    assert _ask("subscriptions", "me")["subscription"]["last_seen_event_id"] == 3


def test_a_name_begins_where_one_says() -> None:
    _append(0, 1, 2)
    arguments = ("order-1", "--name", "me", "--from", "2", "--count", "2")
    assert _list_numbers(_follow(*arguments)) == [1, 2]
    assert _ask("subscriptions", "me")["subscription"]["last_seen_stream_version"] == 3


def test_a_name_that_others_divided_is_left_to_them(store: str) -> None:
    _append(0)
    _work(store, concurrency_limit=2)
    result = _run("subscribe", "--name", "mailer", "--count", "1")
    assert isinstance(result.exception, SubscriptionChanged)


def test_a_name_cannot_begin_in_the_future() -> None:
    _append(0)
    result = _run("subscribe", "--name", "me", "--from", "2", "--count", "1")
    assert isinstance(result.exception, SubscriptionInvalid)
    assert _ask("subscriptions")["items"] == []


def test_a_stream_that_was_deleted_is_not_followed() -> None:
    _append(0)
    _print("delete", "order-1", "--yes")
    assert isinstance(_run("subscribe", "order-1").exception, StreamDeleted)


class _Tail:
    """`emberkeep events subscribe` in a process of its own."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [_EMBERKEEP, "events", "subscribe", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def read_line(self) -> str:
        """Return the next event."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def read_hint(self) -> str:
        """Return the next line that is for people."""
        assert self.process.stderr is not None
        return self.process.stderr.readline()

    def end(self, number: signal.Signals) -> int:
        """Have it end, and return its exit code."""
        self.process.send_signal(number)
        code = self.process.wait(20)
        assert self.process.stderr is not None
        assert self.process.stderr.read() == ""
        return code


@pytest.fixture
def tails() -> Iterator[list[_Tail]]:
    """Processes that are gone after the test, whatever happens."""
    tails: list[_Tail] = []
    yield tails
    for tail in tails:
        tail.process.kill()
        tail.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_being_told_to_stop_is_a_clean_end(
    store: str, tails: list[_Tail], number: signal.Signals
) -> None:
    tails.append(_Tail("--name", "me", "--json"))
    assert tails[0].read_hint() == "following $all as me from now on; Ctrl-C ends it\n"
    _await_consumer(store, "me")
    _append(0, 1)
    events = [json.loads(tails[0].read_line()) for _ in range(2)]
    assert _list_numbers(events) == [0, 1]
    assert tails[0].end(number) == 0
    report = _ask("subscriptions", "me")
    assert report["subscription"]["last_seen_event_id"] == 2
    assert report["consumers"] == []


def _await_consumer(dsn: str, name: str) -> None:
    """Wait until somebody works on the subscription, so that it is past where it begins."""

    async def is_leased() -> bool:
        async with await connect(dsn) as conn:
            with contextlib.suppress(SubscriptionUnknown):
                return (
                    await find_subscription(conn, subscription_id=SubscriptionId(name))
                ).leased > 0
        return False

    asyncio.run(until(is_leased))


def test_a_reader_that_leaves_ends_it_without_a_traceback(tails: list[_Tail]) -> None:
    _append(*range(5_000))
    tails.append(_Tail("--from", "origin"))
    tails[0].read_hint()
    tails[0].read_line()
    assert tails[0].process.stdout is not None
    tails[0].process.stdout.close()
    assert tails[0].process.wait(20) == 1
    assert tails[0].process.stderr is not None
    assert tails[0].process.stderr.read() == ""


def test_the_second_of_a_name_is_told_that_it_waits(store: str, tails: list[_Tail]) -> None:
    tails.append(_Tail("--name", "me"))
    _await_consumer(store, "me")
    tails.append(_Tail("--name", "me"))
    assert "as me again" in tails[1].read_hint()
    assert tails[1].read_hint().startswith("somebody else works on it")
    assert tails[0].process.poll() is None


# --- subscriptions --------------------------------------------------------------------------------


def test_subscriptions_are_seen_at_a_glance(store: str) -> None:
    assert _print("subscriptions") == "no subscriptions\n"
    _append(0, 1, 2)
    _work(store)
    _append(4)
    assert _read("subscriptions") == (
        "name follows after behind leased consumers parked mailer $all 3 1 0/1 0 1"
    )


def test_one_subscription_is_shown_with_who_works_on_it(store: str, tails: list[_Tail]) -> None:
    tails.append(_Tail("category:order", "--name", "me"))
    assert "category:order as me" in tails[0].read_hint()
    _await_consumer(store, "me")
    shown = _read("subscriptions", "me")
    assert "category:order" in shown
    assert "1, of which 1 leased" in shown
    (consumer,) = _ask("subscriptions", "me")["consumers"]
    assert consumer["partitions"] == [0]
    assert consumer["consumer_name"] in shown
    assert tails[0].end(signal.SIGINT) == 0
    assert "nobody works on it" in _read("subscriptions", "me")


def test_one_that_stopped_says_why_and_what_to_do(store: str) -> None:
    _append(0, 1, 2)
    _work(store, on_failure=OnFailure.STOP)
    assert "stopped: ValueError: 1 is odd" in _read("subscriptions")
    result = _run("subscriptions", "mailer")
    assert "1 of 1: ValueError: 1 is odd" in " ".join(result.stdout.split())
    assert "emberkeep events resume mailer" in result.stderr
    assert _print("resume", "mailer") == "mailer: 1 of 1 partitions go on\n"
    assert _print("resume", "mailer") == "mailer: nothing had stopped\n"
    assert _ask("resume", "mailer")["partitions"] == 0
    assert _list_numbers(_follow("--name", "mailer", "--count", "2")) == [1, 2]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--after", "origin"), "goes on after 0, in one partition, 3 behind"),
        (("--after", "current"), "goes on after 3, in one partition, 0 behind"),
        (("--after", "2"), "goes on after 2, in one partition, 1 behind"),
        (("--partitions", "4"), "goes on after 3, in 4 partitions, 0 behind"),
        (("--after", "1", "--partitions", "2"), "goes on after 1, in 2 partitions, 2 behind"),
    ],
)
def test_a_subscription_is_reset(store: str, arguments: tuple[str, ...], said: str) -> None:
    _append(0, 2, 4)
    _work(store)
    assert _print("reset-subscription", "mailer", *arguments) == f"mailer: {said}\n"


def test_a_subscription_cannot_go_on_in_the_future(store: str) -> None:
    _append(0)
    _work(store)
    result = _run("reset-subscription", "mailer", "--after", "2")
    assert isinstance(result.exception, SubscriptionInvalid)


def test_a_subscription_is_forgotten_by_who_is_sure(store: str) -> None:
    _append(0)
    _work(store)
    assert _run("delete-subscription", "mailer").exit_code == 2
    assert len(_ask("subscriptions")["items"]) == 1
    said = _print("delete-subscription", "mailer", "--yes")
    assert said == "mailer: deleted; it was after 1 of $all\n"
    assert _ask("subscriptions")["items"] == []


# --- parked events --------------------------------------------------------------------------------


def test_parked_events_are_listed_replayed_and_skipped(store: str) -> None:
    _append(0, 1, 3, 5)
    _work(store)
    shown = _read("parked", "mailer")
    assert shown.startswith("event state by attempts parked at (UTC) error 2 parked 1 ")
    assert "ValueError: 1 is odd 3 parked 1" in shown

    result = _run("replay", "mailer", "2")
    assert result.exit_code == 0
    assert result.stdout == "mailer: 1 parked events will be handled once more\n"
    assert "nobody works on it" in result.stderr
    assert _print("skip", "mailer", "3") == "mailer: 1 parked events given up\n"
    assert [i["state"] for i in _ask("parked", "mailer", "--all")["items"]] == [
        "replaying",
        "skipped",
        "parked",
    ]
    assert _list_numbers(_follow("--name", "mailer", "--count", "1")) == [1]
    assert [i["event_id"] for i in _ask("parked", "mailer")["items"]] == [4]
    assert _ask("replay", "mailer", "--all") == {
        "subscription_id": "mailer",
        "stream_id": "$all",
        "events": 1,
    }
    assert _ask("skip", "mailer", "--all")["events"] == 1
    assert _print("skip", "mailer", "--all") == "mailer: nothing is parked\n"
    assert _print("parked", "mailer") == "nothing is parked\n"
    assert "4 skipped command-line 1" in _read("parked", "mailer", "--all")


@pytest.mark.parametrize("command", ["replay", "skip"])
def test_an_event_that_is_not_parked_is_not_clean(store: str, command: str) -> None:
    _append(0, 1)
    _work(store)
    result = _run(command, "mailer", "2", "1", "1")
    assert result.exit_code == 1
    assert result.stdout.startswith("mailer: 1 of 2 parked events")
    assert "the others are not parked" in result.stderr


def test_a_list_that_is_not_all_says_how_to_go_on(store: str) -> None:
    _append(1, 3, 5)
    _work(store)
    result = _run("parked", "mailer", "--limit", "2")
    cursor = result.stderr.removeprefix("there are more: --after ").strip()
    rest = _ask("parked", "mailer", "--after", cursor)
    assert ([i["event_id"] for i in rest["items"]], rest["next"]) == ([3], None)


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ("subscriptions", "nobody"),
        ("resume", "nobody"),
        ("reset-subscription", "nobody", "--after", "origin"),
        ("delete-subscription", "nobody", "--yes"),
        ("parked", "nobody"),
        ("replay", "nobody", "--all"),
        ("skip", "nobody", "1"),
    ],
)
def test_a_name_that_nobody_has_is_unknown(arguments: tuple[str, ...]) -> None:
    assert isinstance(_run(*arguments).exception, SubscriptionUnknown)


def test_a_name_that_several_have_needs_the_source() -> None:
    _append(0)
    for source in ("$all", "category:order", "order-1"):
        _follow(source, "--name", "me", "--from", "origin", "--count", "1")
    error = _run("subscriptions", "me").exception
    assert isinstance(error, SubscriptionUnknown)
    assert error.facts["sources"] == ["$all", "$category-order", "order-1"]
    for source, stream_id in (
        ("$all", "$all"),
        ("category:order", "$category-order"),
        ("$category-order", "$category-order"),
        ("order-1", "order-1"),
    ):
        report = _ask("subscriptions", "me", "--source", source)
        assert report["subscription"]["stream_id"] == stream_id
    _print("delete-subscription", "me", "--source", "category:order", "--yes")
    assert [s["stream_id"] for s in _ask("subscriptions")["items"]] == ["$all", "order-1"]
    wrong = _run("parked", "me", "--source", "order-2")
    assert isinstance(wrong.exception, SubscriptionUnknown)


def test_another_store_has_subscriptions_of_its_own() -> None:
    _print("init", "--schema", "shop")
    _print("append", "order-1", *PLACED, '{"n": 1}', "--schema", "shop")
    arguments = ("--from", "origin", "--name", "me", "--count", "1", "--schema", "shop")
    assert _list_numbers(_follow(*arguments)) == [1]
    assert len(_ask("subscriptions", "--schema", "shop")["items"]) == 1
    assert _ask("subscriptions")["items"] == []
    assert _ask("rebuild", "event-type-counts", "--schema", "shop")["generation"] == 2
    assert len(_ask("types", "--schema", "shop")["items"]) == 1
    assert isinstance(_run("subscribe", "--schema", "nowhere").exception, StoreUnknown)
    assert isinstance(_run("subscriptions", "--schema", "xp").exception, ReadInvalid)


@pytest.mark.parametrize(
    "arguments",
    [
        ("subscribe", "$some"),
        ("subscribe", ""),
        ("subscribe", "category:a-b"),
        ("subscribe", "category:"),
        ("subscribe", "x" * 600),
        ("subscribe", "order-\udcff"),
        ("subscribe", "--from", "now"),
        ("subscribe", "--from", "-1"),
        ("subscribe", "--from", str(2**63)),
        ("subscribe", "--count", "0"),
        ("subscribe", "--types", ","),
        ("subscribe", "--types", "\udcff"),
        ("subscribe", "--name", "\udcff"),
        ("subscriptions", "--source", "$all"),
        ("subscriptions", "mailer", "--source", "$some"),
        ("subscriptions", "\udcff"),
        ("reset-subscription", "mailer"),
        ("reset-subscription", "mailer", "--after", "1.5"),
        ("reset-subscription", "mailer", "--partitions", "257"),
        ("delete-subscription", "mailer"),
        ("parked",),
        ("parked", "mailer", "--limit", "0"),
        ("replay", "mailer"),
        ("replay", "mailer", "1", "--all"),
        ("replay", "mailer", "x"),
        ("skip", "mailer"),
        ("skip", "mailer", "0"),
        ("rebuild",),
        ("link", "best"),
        ("delete", "order-1"),
    ],
)
def test_misuse_exits_with_2(arguments: tuple[str, ...]) -> None:
    assert _run(*arguments).exit_code == 2


@pytest.mark.parametrize("name", ["", "x" * 256])
@pytest.mark.parametrize("command", ["subscribe", "subscriptions"])
def test_a_name_that_cannot_be_is_refused(command: str, name: str) -> None:
    arguments = ("--name", name) if command == "subscribe" else (name,)
    assert isinstance(_run(command, *arguments).exception, SubscriptionInvalid)


# --- projections ----------------------------------------------------------------------------------


def test_types_are_counted_by_a_rebuild_when_no_worker_has() -> None:
    nothing = _run("types")
    assert nothing.stdout == "nothing is counted yet\n"
    assert "emberkeep events rebuild event-type-counts" in nothing.stderr
    _append(0, 1)
    _append(2, event_type="Paid")
    result = _run("rebuild", "event-type-counts")
    assert result.exit_code == 0
    assert result.stdout.startswith("event-type-counts: generation 2 is live, after ")
    assert "3/3 positions" in result.stderr
    counts = _ask("types")
    assert [(i["event_type"], i["events"]) for i in counts["items"]] == [("Paid", 1), ("Placed", 2)]
    assert counts["lag"] == 0
    _append(3)
    behind = _run("types")
    assert " ".join(behind.stdout.split()).startswith(
        "type form events last event at (UTC) Paid 1 1 "
    )
    assert behind.stderr.startswith("1 positions are still to be counted")
    again = _ask("rebuild", "event-type-counts")
    assert (again["projection"], again["generation"]) == ("event-type-counts", 3)


def test_an_empty_store_is_counted_too() -> None:
    assert _ask("rebuild", "event-type-counts")["generation"] == 2
    assert _print("types") == "no events\n"


def test_a_projection_that_is_not_known_is_refused_with_those_that_are() -> None:
    error = _run("rebuild", "balances").exception
    assert isinstance(error, ProjectionUnknown)
    assert error.facts["known"] == ["event-type-counts"]


# --- streams --------------------------------------------------------------------------------------


def test_events_are_linked_into_a_further_stream() -> None:
    _append(0, 1)
    assert _print("link", "best", "2", "1") == "best: linked: at version 2 now\n"
    assert [i["event_id"] for i in _ask("read", "best")["items"]] == [2, 1]
    assert isinstance(_run("link", "best", "1").exception, DuplicateLink)
    assert isinstance(_run("link", "best", "9").exception, EventUnknown)
    moved = _run("link", "other", "1", "--expected-version", "3")
    assert moved.exception is not None
    assert _ask("link", "other", "1") == {"stream_id": "other", "stream_version": 1}


def test_a_stream_is_deleted_and_erased_where_that_is_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _append(0, 1)
    assert _print("delete", "order-1", "--yes") == "order-1: deleted at version 2\n"
    assert isinstance(_run("read", "order-1").exception, StreamDeleted)
    assert len(_ask("read", "$all")["items"]) == 2
    assert isinstance(_run("delete", "order-1", "--erase", "--yes").exception, ErasureForbidden)
    monkeypatch.setenv("EMBERKEEP_ALLOW_ERASURE", "yes")
    assert _ask("delete", "order-1", "--erase", "--yes")["erased_at"]
    assert _ask("read", "$all")["items"] == []


def test_a_snapshot_is_shown_and_forgotten(store: str) -> None:
    assert isinstance(_run("snapshot", "order-1").exception, SnapshotUnknown)
    with psycopg.connect(store) as conn:
        conn.execute(
            "select event_store.record_snapshot('order-1', 2, 'Order', '{\"paid\": true}', null,"
            " now())"
        )
    assert _ask("snapshot", "order-1")["data"] == {"paid": True}
    assert _read("snapshot", "order-1", "--delete").endswith('data {"paid":true} deleted')
    assert isinstance(_run("snapshot", "order-1").exception, SnapshotUnknown)


def test_a_projection_keeps_its_own_place() -> None:
    refused = _run("reset-subscription", "projection:event-type-counts:1", "--after", "origin")
    assert isinstance(refused.exception, SubscriptionInvalid)
    assert "rebuild" in refused.exception.errors[0].message
