"""Guides are typed in as they stand: what a page shows to type prints what the page says."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from emberkeep import cli

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
GUIDES = ROOT / "docs" / "how-to"
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")


class Typist:
    """Types what a guide shows, in a directory and a database that the test has made."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys = capsys
        self._monkeypatch = monkeypatch

    def follow(self, text: str) -> tuple[list[str], list[str]]:
        """Type every line of `text` that begins with `$`; return what is printed, and what is shown.

        Moments are left out of both.
        """
        shown = list(_list_lines(text))
        printed: list[str] = []
        for line in shown:
            if line.startswith("$ "):
                output = self.type(line.removeprefix("$ "))
                printed += [line, *(row.rstrip() for row in output.splitlines())]
        return (
            [_MOMENT.sub("(moment)", line) for line in printed],
            [_MOMENT.sub("(moment)", line.rstrip()) for line in shown],
        )

    def type(self, line: str) -> str:
        """Run one line and return what it prints, whether it is refused or not."""
        command, _, target = line.partition(" > ")
        words = shlex.split(command)
        if words[0] != "emberkeep":
            subprocess.run(["bash", "-ec", line], check=True)
            return ""
        self._monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit):
            cli.main()
        printed: Any = self._capsys.readouterr()
        if target:
            Path(target).write_text(printed.out, "utf-8")
            return ""
        return str(printed.out + printed.err)


def _list_lines(text: str) -> Iterator[str]:
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield from block.splitlines()
