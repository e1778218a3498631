"""A simulation as one page that needs nothing else: no script, no font, no network."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from importlib import resources
from typing import Final

import jinja2

from emberkeep.xp.commands import charts
from emberkeep.xp.commands.charts import Chart
from emberkeep.xp.model import ShareCount, Simulation, VersionFigures

_MAX_BARS: Final = 31
_ONE_DAY: Final = datetime.timedelta(days=1)


def render_report(found: Simulation) -> str:
    """Return the page, as HTML."""
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    template = environment.from_string(
        resources.files("emberkeep.xp.commands").joinpath("report.html").read_text("utf-8")
    )
    return template.render(
        found=found,
        sign=_sign,
        changes=sorted({change for version in found.versions for change in version.changes}),
        charts=[*_draw_versions(found), *_draw_comparisons(found)],
        width=charts.WIDTH,
        height=charts.HEIGHT,
    )


def _sign(percent: str) -> str:
    return f"{percent} %" if percent.startswith("-") else f"+{percent} %"


def _draw_versions(found: Simulation) -> list[Chart]:
    days, labels = _list_days(found.versions)
    return [
        charts.draw_lines(
            "XP by reward day",
            "XP a day",
            labels,
            [
                (version.name, _look_up({day.day: day.xp for day in version.days}, days))
                for version in found.versions
            ],
        ),
        _draw_counts(
            "Length of the streak at a claim",
            found.versions,
            lambda version: {count.effective_day: count.claims for count in version.streaks},
            "day ",
        ),
        _draw_counts(
            "Size of an award",
            found.versions,
            lambda version: {count.xp_awarded: count.claims for count in version.awards},
            "",
        ),
    ]


def _list_days(versions: Sequence[VersionFigures]) -> tuple[list[datetime.date], list[str]]:
    """Return every day from the first to the last, claimed or not."""
    claimed = [day.day for version in versions for day in version.days]
    if not claimed:
        return [], []
    first, last = min(claimed), max(claimed)
    days = [first + i * _ONE_DAY for i in range((last - first).days + 1)]
    return days, [day.isoformat() for day in days]


def _look_up(values: dict[datetime.date, int], days: Sequence[datetime.date]) -> list[int]:
    return [values.get(day, 0) for day in days]


def _draw_counts(
    title: str,
    versions: Sequence[VersionFigures],
    count: Callable[[VersionFigures], dict[int, int]],
    prefix: str,
) -> Chart:
    counts = [count(version) for version in versions]
    groups = _group(sorted({value for found in counts for value in found}))
    return charts.draw_bars(
        title,
        "claims",
        [f"{prefix}{low}" if low == high else f"{prefix}{low}–{high}" for low, high in groups],  # noqa: RUF001 - a range is written so.
        [
            (
                version.name,
                [
                    sum(claims for value, claims in found.items() if low <= value <= high)
                    for low, high in groups
                ],
            )
            for version, found in zip(versions, counts, strict=True)
        ],
    )


def _group(values: Sequence[int]) -> list[tuple[int, int]]:
    """Return the values as they are, or in ranges where they are too many for bars of their own."""
    if len(values) <= _MAX_BARS:
        return [(value, value) for value in values]
    low, high = values[0], values[-1]
    width = -(-(high - low + 1) // _MAX_BARS)
    return [(start, start + width - 1) for start in range(low, high + 1, width)]


def _draw_comparisons(found: Simulation) -> list[Chart]:
    if not found.comparisons:
        return []
    shares = found.comparisons[0].shares
    return [
        charts.draw_bars(
            f"Change of a player's XP against {found.versions[0].name}, in percent",
            "players",
            [_name_share(share) for share in shares],
            [
                (comparison.name, [share.players for share in comparison.shares])
                for comparison in found.comparisons
            ],
            first_series=1,
        )
    ]


def _name_share(share: ShareCount) -> str:
    if share.from_percent is None:
        return f"below {share.to_percent}"
    if share.to_percent is None:
        return f"{share.from_percent:+} and up"
    return f"{share.from_percent:+} to {share.to_percent:+}".replace("+0", "0")
