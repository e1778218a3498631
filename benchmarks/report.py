"""What was measured, and the table of it. Each ratio is to the limit above, taken just before."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the table: how many a second, and how long each waited.

    `waiting` is the number of callers, or of connections; 0 where there is but one. A limit begins
    a group: the ratios of the lines below it are to it.
    """

    name: str
    waiting: int = 0
    count: int
    seconds: float
    latencies_s: tuple[float, ...] = ()
    is_limit: bool = False

    @property
    def per_second(self) -> float:
        return self.count / self.seconds

    def __add__(self, other: Figure) -> Figure:
        return dataclasses.replace(
            self,
            count=self.count + other.count,
            seconds=self.seconds + other.seconds,
            latencies_s=self.latencies_s + other.latencies_s,
        )

    def percentile_ms(self, percent: int) -> str:
        if not self.latencies_s:
            return ""
        ordered = sorted(self.latencies_s)
        return f"{ordered[(len(ordered) - 1) * percent // 100] * 1000:.1f}"


def say(text: str) -> None:
    """Tell whoever waits how far the run has come."""
    Console(stderr=True).print(f"[dim]{text}[/dim]", highlight=False)


def said(figure: Figure, unit: str) -> Figure:
    """Return the figure, having told it."""
    waiting = f", {figure.waiting} waiting" if figure.waiting else ""
    say(f"{figure.name}{waiting}: {figure.per_second:,.0f} {unit}/s")
    return figure


def print_figures(figures: Sequence[Figure], *, title: str, unit: str) -> None:
    """Print the table to standard output."""
    table = Table(title=title)
    for column in ("", "waiting", f"{unit}/s", "ratio", "p50 ms", "p95 ms", "p99 ms"):
        table.add_column(column, justify="left" if column == "" else "right")
    limit = 0.0
    for figure in figures:
        if figure.is_limit:
            limit = figure.per_second
            table.add_section()
        table.add_row(
            figure.name,
            str(figure.waiting or ""),
            f"{figure.per_second:,.0f}",
            f"{figure.per_second / limit:.2f}" if limit else "",
            *(figure.percentile_ms(percent) for percent in (50, 95, 99)),
        )
    Console(width=110).print(table)
