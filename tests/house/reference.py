"""The reference pages, drawn from the code. `make reference` writes them; a test says when to."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING

import click
import typer

import emberkeep
from emberkeep.base.config import list_settings
from emberkeep.cli import app
from emberkeep.web import errors
from emberkeep.web.docs import list_error_types

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emberkeep.base.errors import EmberkeepError

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
_NOTE = "<!-- Drawn from the code by `make reference`: change it there. -->\n"


def render_pages() -> dict[str, str]:
    """Return the text of every page, by file name."""
    return {
        "settings.md": _render_settings(),
        "errors.md": _render_errors(),
        "commands.md": _render_commands(),
    }


def import_everything() -> None:
    """Import every module of the package, so that every error and command is known."""
    for module in pkgutil.walk_packages(emberkeep.__path__, "emberkeep."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def list_errors() -> list[type[EmberkeepError]]:
    """Return the house's own errors; tests may have made others."""
    import_everything()
    return [cls for cls in list_error_types() if cls.__module__.startswith("emberkeep.")]


def walk_commands() -> Iterator[tuple[str, click.Command]]:
    """Yield every command with its full name, groups left out."""
    yield from _walk(typer.main.get_command(app), "emberkeep")


def _walk(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield name, command
        return
    for child_name, child in children.items():
        yield from _walk(child, f"{name} {child_name}")


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |\n"


def _render_settings() -> str:
    rows = "".join(
        _row(f"`{variable}`", _show_default(default), explanation)
        for variable, explanation, default in list_settings()
    )
    return (
        f"# Settings\n\n{_NOTE}\n"
        "Environment variables, read once at the start. Any of them may come from a file instead,"
        " named by the\nvariable with `_FILE` at its end. A variable that starts with `EMBERKEEP_`"
        " and is not listed stops the start.\n`emberkeep doctor` shows what is in force.\n\n"
        f"{_row('Variable', 'Default', 'Meaning')}{_row('---', '---', '---')}{rows}"
    )


def _show_default(default: object) -> str:
    if default is None:
        return ""
    return "`no`" if default is False else f"`{default}`"


def _render_errors() -> str:
    rows = "".join(
        _row(f'<a id="{cls.code}"></a>`{cls.code}`', _show_status(cls), _first_paragraph(cls))
        for cls in list_errors()
    )
    return (
        f"# Errors\n\n{_NOTE}\n"
        "Over HTTP every failure is an `application/problem+json` document (RFC 9457) with a stable"
        " `code`; on the\ncommand line it is a message with the same code, and exit code 1. Programs"
        " read the code; the text may change.\nThe status is what HTTP answers; a code without one"
        " occurs on the command line only.\n\n"
        f"{_row('Code', 'Status', 'Meaning')}{_row('---', '---', '---')}{rows}"
        f"{_row(f'`{errors.BUG_CODE}`', '500', 'Our mistake; it was logged under the request id.')}"
    )


def _show_status(cls: type[EmberkeepError]) -> str:
    is_answered = any(kind in errors.STATUS_OF for kind in cls.__mro__)
    return str(int(errors.find_status(cls))) if is_answered else ""


def _first_paragraph(cls: type[EmberkeepError]) -> str:
    return " ".join((cls.__doc__ or "").split("\n\n")[0].split())


def _render_commands() -> str:
    parts = [_render_command(name, command) for name, command in walk_commands()]
    return (
        f"# Commands\n\n{_NOTE}\n"
        "Exit codes: 0 done, 1 refused, failed or not clean, 2 misuse. With `--json` both answers"
        " and errors are JSON.\n\n" + "\n".join(parts)
    )


def _render_command(name: str, command: click.Command) -> str:
    context = click.Context(command, info_name=name)
    usage = " ".join(command.collect_usage_pieces(context))
    records = [p.get_help_record(context) for p in command.params]
    rows = "".join(_row(f"`{r[0]}`", r[1]) for r in records if r is not None)
    table = f"\n{_row('Option', 'Meaning')}{_row('---', '---')}{rows}" if rows else ""
    return f"## `{name} {usage}`\n\n{command.help or ''}\n{table}"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for file, text in render_pages().items():
        FOLDER.joinpath(file).write_text(text, "utf-8")
