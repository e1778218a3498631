"""`make bench`: claims and events a second, each next to the same rows written by plain SQL; and
player-days a second of a simulation, next to a plain pass over the same arrays; and
what a leaderboard's page and rank take next to one row by key.

The database is an embedded PostgreSQL with its default durability, made for the run and thrown
away. Nothing else should run on the machine meanwhile.
"""

from __future__ import annotations

import argparse
import os

from benchmarks import claims, events, leaderboards, report, segments, simulation
from benchmarks.harness import run_server


def main() -> None:
    """Run what was asked for and print its tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("part", nargs="?", choices=(*PARTS, "all"), default="all")
    parser.add_argument("--scale", type=float, default=1.0, help="of the work of each line")
    parser.add_argument("--players", type=int, default=1_000_000, help="not for events")
    parser.add_argument("--skip-http", action="store_true", help="for claims")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=events.MEASUREMENTS,
        default=list(events.MEASUREMENTS),
        help="for events",
    )
    asked = parser.parse_args()
    for name, measure in PARTS.items():
        if asked.part in (name, "all"):
            measure(asked)


def _measure_claims(asked: argparse.Namespace) -> None:
    with run_server() as (server, dsn):
        figures = claims.measure(
            dsn, players=asked.players, scale=asked.scale, with_http=not asked.skip_http
        )
        report.print_figures(
            list(figures),
            title=f"{asked.players:,} players, PostgreSQL {server.version}, {os.cpu_count()} cores;"
            " ratio to the bulk load over one connection above it",
            unit="claims",
        )


def _measure_segments(asked: argparse.Namespace) -> None:
    with run_server() as (server, dsn):
        figures = segments.measure(dsn, players=min(asked.players, 200_000), scale=asked.scale)
        report.print_figures(
            list(figures),
            title=f"Rules of segments, PostgreSQL {server.version}, {os.cpu_count()} cores;"
            " ratio to claims without rules, in turns with them",
            unit="claims",
        )


def _measure_events(asked: argparse.Namespace) -> None:
    with run_server() as (server, dsn):
        figures = events.measure(server, dsn, names=asked.only, scale=asked.scale)
        report.print_figures(
            list(figures),
            title=f"Event store, PostgreSQL {server.version}, {os.cpu_count()} cores;"
            " ratio to the first line of the group",
            unit="events",
        )


def _measure_simulation(asked: argparse.Namespace) -> None:
    figures = list(simulation.measure(scale=asked.scale))
    streamed, peak_mb = simulation.measure_memory(players=asked.players)
    report.print_figures(
        figures,
        title="Simulation on one core; a player-day is a claim; ratio to the plain pass above",
        unit="player-days",
    )
    print(simulation.compare_with_engine(figures))
    print(
        f"{streamed.name}, streamed: {streamed.count:,} player-days,"
        f" {streamed.per_second:,.0f} a second, {peak_mb:,} MB of memory at its peak"
    )


def _measure_leaderboards(asked: argparse.Namespace) -> None:
    with run_server() as (server, dsn):
        figures = leaderboards.measure(dsn, players=asked.players, scale=asked.scale)
        report.print_figures(
            list(figures),
            title=f"{asked.players:,} players, PostgreSQL {server.version}, {os.cpu_count()} cores;"
            " ratio to the look by key above it",
            unit="calls",
        )


PARTS = {
    "claims": _measure_claims,
    "segments": _measure_segments,
    "events": _measure_events,
    "simulation": _measure_simulation,
    "leaderboards": _measure_leaderboards,
}

if __name__ == "__main__":
    main()
