"""A server that is told to stop does not wait for tails, which never end by themselves."""

from __future__ import annotations

import datetime
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from emberkeep.base import clock
from emberkeep.base.config import Secret
from emberkeep.base.identity import Principal, Role
from emberkeep.web.auth import Keys, make_token

KEY = "a key that is long enough for these tests"
# The server itself waits three times as long for answers that are under way.
_SOON_S = 5


def _find_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _await_ready(running: subprocess.Popen[str], url: str) -> None:
    deadline = time.monotonic() + 60
    while running.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/health/ready"):  # noqa: S310
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(running.communicate()[1])


def _ask_for_tail(url: str) -> urllib.request.Request:
    principal = Principal("game-server", Role.SERVICE)
    hour = datetime.timedelta(hours=1)
    token = make_token(Keys(Secret(KEY)), principal, token_id="t", ttl=hour, now=clock.read_now())
    headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {token}"}
    return urllib.request.Request(f"{url}/v1/events", headers=headers)  # noqa: S310


@pytest.mark.parametrize("processes", [1, 2])
def test_ctrl_c_ends_tails_properly_and_the_server_soon(server_dir: Path, processes: int) -> None:
    port = _find_free_port()
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen(
        [
            Path(sys.executable).with_name("emberkeep"),
            *("serve", "--port", str(port), "--processes", str(processes)),
        ],
        env={
            **os.environ,
            "EMBERKEEP_DATA_DIR": str(server_dir / "data"),
            "EMBERKEEP_SECRET_KEY": KEY,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        try:
            _await_ready(running, url)
            tails = [urllib.request.urlopen(_ask_for_tail(url)) for _ in range(4)]  # noqa: S310
            for tail in tails:
                assert tail.readline() == b": following\n"
            told_at = time.monotonic()
            running.send_signal(signal.SIGINT)
            # An answer that is cut off in its middle would raise here.
            assert [tail.read() for tail in tails] == [b"\n"] * 4
            _, err = running.communicate(timeout=30)
        finally:
            running.kill()
    assert running.returncode == 0, err
    assert time.monotonic() - told_at < _SOON_S
    assert "Traceback" not in err
