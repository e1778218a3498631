"""`make bench`: claims and events a second, each next to the same rows written by plain SQL.

The database is an embedded PostgreSQL with its default durability, made for the run and thrown
away. Nothing else should run on the machine meanwhile.
"""

from __future__ import annotations

import argparse
import os

from benchmarks import claims, events, report, segments
from benchmarks.harness import run_server


def main() -> None:
    """Run what was asked for and print its tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "part", nargs="?", choices=("claims", "segments", "events", "all"), default="all"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="of the work of each line")
    parser.add_argument("--players", type=int, default=1_000_000, help="for claims")
    parser.add_argument("--skip-http", action="store_true", help="for claims")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=events.MEASUREMENTS,
        default=list(events.MEASUREMENTS),
        help="for events",
    )
    asked = parser.parse_args()
    if asked.part in ("claims", "all"):
        _measure_claims(asked)
    if asked.part in ("claims", "segments", "all"):
        _measure_segments(asked)
    if asked.part in ("events", "all"):
        _measure_events(asked)


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


if __name__ == "__main__":
    main()
