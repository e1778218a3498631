"""Whatever a user can set, run or be told is documented, as it is."""

from __future__ import annotations

import pytest

from tests.house.reference import FOLDER, list_errors, render_pages, walk_commands


@pytest.mark.parametrize("page", ["settings.md", "errors.md", "commands.md"])
def test_the_reference_is_what_the_code_says(page: str) -> None:
    written = FOLDER.joinpath(page).read_text("utf-8")
    assert written == render_pages()[page], "run `make reference`"


def test_every_error_says_what_it_means() -> None:
    for cls in list_errors():
        assert cls.__doc__, cls
        assert cls.code.count(".") == 1, cls


def test_codes_are_never_shared() -> None:
    codes = [cls.code for cls in list_errors()]
    assert len(codes) == len(set(codes))


def test_every_command_says_what_it_does_and_speaks_json() -> None:
    for name, command in walk_commands():
        assert command.help, name
        assert any("--json" in parameter.opts for parameter in command.params), name
