"""What `emberkeep.testing` gives to those who use the store, as their own test runs see it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

if TYPE_CHECKING:
    from emberkeep.base.postgres import EmbeddedServer

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "test-with-a-store.md"
_EXAMPLE = re.compile(r"^```python\n# (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# No runner of async tests, so that what passes needs none.
_BARE = ("-p", "no:asyncio", "-p", "no:anyio")
_PLUGIN = 'pytest_plugins = ["emberkeep.testing"]\n'
# The server of this run instead of one more: it only takes time to start.
_LENT = _PLUGIN + textwrap.dedent("""
        import os, pytest

        @pytest.fixture(scope="session")
        def emberkeep_server():
            return os.environ["TEST_DATABASE_URL"]
    """)


def run_pytest(
    folder: Path, files: dict[str, str], *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run pytest on `files` as a project of somebody else."""
    for name, text in files.items():
        (folder / name).write_text(textwrap.dedent(text))
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--rootdir", folder, *arguments, folder],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.fixture
def server_dsn(postgres_server: EmbeddedServer) -> str:
    """How the tests of a run within this one connect."""
    return postgres_server.dsn


@pytest.fixture(scope="module")
def examples() -> dict[str, str]:
    """The files of the documentation, by name."""
    return dict(_EXAMPLE.findall(PAGE.read_text("utf-8")))


def test_the_plain_tests_of_the_documentation_pass_without_a_plugin_for_async(
    tmp_path: Path, examples: dict[str, str]
) -> None:
    plain = {name: text for name, text in examples.items() if name != "test_shop_async.py"}
    assert set(plain) == {"conftest.py", "shop.py", "test_shop.py"}
    ran = run_pytest(tmp_path, plain, *_BARE)
    assert "3 passed" in ran.stdout, ran.stdout + ran.stderr


def test_every_test_of_the_documentation_passes_under_pytest_asyncio(
    tmp_path: Path, examples: dict[str, str], server_dsn: str
) -> None:
    ran = run_pytest(
        tmp_path,
        {**examples, "conftest.py": _LENT},
        *("-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function"),
        *("-W", "error"),
        TEST_DATABASE_URL=server_dsn,
    )
    assert "6 passed" in ran.stdout, ran.stdout + ran.stderr


def test_every_test_begins_with_an_empty_store_whatever_those_before_did(
    tmp_path: Path, server_dsn: str
) -> None:
    spoil = """
        import psycopg, pytest
        from emberkeep.testing import create_test_event

        SPOILS = [
            "select 1",
            "create table mine (n int)",
            "create schema theirs",
            "drop function event_store.read_horizon",
            "alter table event_store.events add column mine int",
            "alter table event_store.events disable trigger all",
            "grant delete on event_store.events to public",
            "alter database {} set timezone = 'Asia/Tokyo'",
            "create temporary table mine (n int)",
            "select lo_create(0)",
            "insert into event_store.snapshots select 's-' || n, 1, 'S', '{{}}', null, now()"
            " from generate_series(1, 30000) as g (n)",
        ]
        shapes, names, left_open = set(), set(), []

        def read_shape(conn):
            return conn.execute(
                "select (select count(*) from pg_class), (select count(*) from pg_proc),"
                " (select count(*) from pg_attribute where not attisdropped),"
                " (select count(*) from pg_namespace where nspname !~ '^pg_(toast_)?temp_'),"
                " (select string_agg(tgname || tgenabled::text, ' ' order by tgname) from pg_trigger),"
                " (select string_agg(relacl::text, ' ' order by relname) from pg_class),"
                " (select count(*) from pg_largeobject_metadata),"
                " (select count(*) from event_store.snapshots),"
                " current_setting('timezone')"
            ).fetchone()

        # Twice, so that each comes after a database that was emptied and after one that was copied.
        @pytest.mark.parametrize("spoil", SPOILS * 2)
        def test_spoils_the_database(blocking_event_store, spoil):
            store = blocking_event_store
            assert store.read_facts() == []
            appended = store.create_test_stream("s-1", [create_test_event("A", 1)])
            assert (appended.first_version, appended.first_event_id) == (1, 1)
            conn = psycopg.connect(store.dsn, autocommit=True)
            left_open.append(conn)
            shapes.add(read_shape(conn))
            names.add(conn.info.dbname)
            conn.execute(spoil.format(conn.info.dbname))

        def test_says_what_was_seen():
            print("shapes:", len(shapes), "names:", len(names))
            for conn in left_open:
                with pytest.raises(psycopg.OperationalError):
                    conn.execute("select 1")
                with pytest.raises(psycopg.OperationalError, match="does not exist"):
                    psycopg.connect(conn.info.dsn)
    """
    ran = run_pytest(
        tmp_path,
        {"conftest.py": _LENT, "test_spoil.py": spoil},
        *(*_BARE, "-s"),
        TEST_DATABASE_URL=server_dsn,
    )
    assert "23 passed" in ran.stdout, ran.stdout + ran.stderr
    assert "shapes: 1 names: 22" in ran.stdout


def test_a_store_is_emptied_while_somebody_appends_to_it(tmp_path: Path, server_dsn: str) -> None:
    haste = """
        import psycopg, pytest, threading
        from emberkeep.testing import create_test_event

        def append(dsn):
            with pytest.raises(psycopg.OperationalError):
                with psycopg.connect(dsn, autocommit=True) as conn:
                    while True:
                        conn.execute(
                            "select event_store.append_to_streams(array['s-9'], array['A'],"
                            " array[1], array['{}'], array[null], now())"
                        )

        @pytest.mark.parametrize("turn", range(5))
        def test_leaves_a_writer_behind(blocking_event_store, turn):
            assert blocking_event_store.read_facts() == []
            threading.Thread(target=append, args=[blocking_event_store.dsn]).start()
            blocking_event_store.wait_for_event("A")
    """
    ran = run_pytest(
        tmp_path,
        {"conftest.py": _LENT, "test_haste.py": haste},
        *(*_BARE, "-W", "error"),
        TEST_DATABASE_URL=server_dsn,
    )
    assert "5 passed" in ran.stdout, ran.stdout + ran.stderr


def test_both_stores_of_a_test_are_one(tmp_path: Path, server_dsn: str) -> None:
    both = """
        import asyncio
        from emberkeep.testing import create_test_event

        def test_both(blocking_event_store, event_store, event_database):
            asyncio.run(event_store.create_test_stream("s-1", [create_test_event("A", 1)]))
            assert blocking_event_store.read_facts("s-1") == [("A", 1)]
            assert event_store.dsn == blocking_event_store.dsn == event_database

        async def use(blocking_event_store):
            blocking_event_store.create_test_stream("s-1", [create_test_event("A", 1)])
            return blocking_event_store.read_facts("s-1")

        def test_a_blocking_store_works_where_a_loop_runs(blocking_event_store):
            assert asyncio.run(use(blocking_event_store)) == [("A", 1)]
    """
    ran = run_pytest(
        tmp_path, {"conftest.py": _LENT, "test_both.py": both}, *_BARE, TEST_DATABASE_URL=server_dsn
    )
    assert "2 passed" in ran.stdout, ran.stdout + ran.stderr


def test_a_run_leaves_no_server_and_no_files(tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    # As root the server is another user, who must be able to get to its data.
    for directory in (temporary, *temporary.parents):
        if directory.name.startswith("pytest-of-") or "pytest-of-" in str(directory.parent):
            directory.chmod(0o711)
    where = """
        def test_where(blocking_event_store):
            import psycopg

            with psycopg.connect(blocking_event_store.dsn) as conn:
                print("at", conn.execute("show data_directory").fetchone()[0])
    """
    ran = run_pytest(
        tmp_path, {"conftest.py": _PLUGIN, "test_where.py": where}, "-s", TMPDIR=str(temporary)
    )
    assert "1 passed" in ran.stdout, ran.stdout + ran.stderr
    assert f"at {temporary}" in ran.stdout
    assert list(temporary.iterdir()) == []
    assert not [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(str(temporary) in word for word in process.info["cmdline"] or ())
    ]


def test_a_run_without_a_test_that_asks_starts_no_server(tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    look = """
        import os, pathlib, tempfile

        def test_nothing():
            assert not list(pathlib.Path(tempfile.gettempdir()).glob("emberkeep*"))
    """
    ran = run_pytest(
        tmp_path, {"conftest.py": _PLUGIN, "test_nothing.py": look}, TMPDIR=str(temporary)
    )
    assert "1 passed" in ran.stdout, ran.stdout + ran.stderr


def test_without_pytest_it_says_what_is_missing() -> None:
    ran = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; sys.modules['pytest'] = None; import emberkeep.testing",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1] == (
        "ModuleNotFoundError: emberkeep.testing is for pytest,"
        " which is not installed here: pip install pytest"
    )


def test_the_package_itself_never_loads_pytest() -> None:
    loads = "import sys, emberkeep.cli, emberkeep.wiring; sys.exit('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loads], check=False).returncode == 0


def test_a_clean_store_takes_a_fraction_of_a_second(tmp_path: Path, server_dsn: str) -> None:
    """It takes 20 ms; the bound leaves room for a machine that has other work."""
    tests = """
        import pytest
        from emberkeep.testing import create_test_event

        @pytest.mark.parametrize("turn", range(30))
        def test_append_and_read(blocking_event_store, turn):
            blocking_event_store.create_test_stream("s-1", [create_test_event("A", turn)])
            assert blocking_event_store.read_facts("s-1") == [("A", turn)]
    """
    ran = run_pytest(
        tmp_path, {"conftest.py": _LENT, "test_many.py": tests}, TEST_DATABASE_URL=server_dsn
    )
    took = re.search(r"30 passed in (\d+\.\d+)s", ran.stdout)
    assert took is not None, ran.stdout + ran.stderr
    assert float(took[1]) / 30 < 0.15
