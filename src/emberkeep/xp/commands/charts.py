"""Where the lines and bars of a chart go: geometry in whole pixels, for `report.html`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from emberkeep.xp.model import Noun

WIDTH: Final = 920
HEIGHT: Final = 260
_LEFT: Final = 76
_RIGHT: Final = 8
_TOP: Final = 10
_BOTTOM: Final = 30
_TICKS: Final = 4
_MAX_LABELS: Final = 8
_MAX_BAR_LABELS: Final = 11
_MAX_PLACES: Final = 366
_GAP: Final = 0.25


class Tick(Noun, frozen=True, kw_only=True):
    """A label at a place along an axis."""

    at: int
    text: str


class Line(Noun, frozen=True, kw_only=True):
    """A series as a line: its points, as SVG writes them."""

    series: int
    points: str


class Bar(Noun, frozen=True, kw_only=True):
    """One value as a bar, and the words that show when it is pointed at."""

    series: int
    x: float
    y: float
    width: float
    height: float
    title: str


class Chart(Noun, frozen=True, kw_only=True):
    """Everything that is drawn. Series are numbered in the order of the legend."""

    title: str
    unit: str
    names: tuple[str, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    zero_y: int
    lines: tuple[Line, ...] = ()
    bars: tuple[Bar, ...] = ()
    first_series: int = 0


Values = Sequence[tuple[str, Sequence[int]]]
"""The name of each series and its values, one for each label."""


def draw_lines(title: str, unit: str, labels: Sequence[str], values: Values) -> Chart:
    """Return a line for each series; where there are more days than pixels, of equal groups' means."""
    step = max(1, -(-len(labels) // _MAX_PLACES))
    labels, values = _thin_out(labels, values, step)
    top = _find_top(values)
    lines = tuple(
        Line(
            series=series,
            points=" ".join(
                f"{_place_x(place, len(labels)):.1f},{_place_y(value, top):.1f}"
                for place, value in enumerate(row)
            ),
        )
        for series, (_, row) in enumerate(values)
    )
    return Chart(
        title=title if step == 1 else f"{title}, means of {step} days",
        unit=unit,
        names=tuple(name for name, _ in values),
        x_ticks=_label(labels, centred=False),
        y_ticks=_scale(top),
        zero_y=round(_place_y(0, top)),
        lines=lines,
    )


def draw_bars(
    title: str, unit: str, labels: Sequence[str], values: Values, *, first_series: int = 0
) -> Chart:
    """Return bars side by side for each label.

    :param first_series: the colour of the first series, where it is not the first of the page
    """
    top = _find_top(values)
    slot = (WIDTH - _LEFT - _RIGHT) / max(1, len(labels))
    width = slot * (1 - _GAP) / max(1, len(values))
    bars = tuple(
        Bar(
            series=series + first_series,
            x=round(_LEFT + slot * (place + _GAP / 2) + width * series, 1),
            y=round(_place_y(value, top), 1),
            width=round(max(width, 0.5), 1),
            height=round(_place_y(0, top) - _place_y(value, top), 1),
            title=f"{name}, {labels[place]}: {value:,} {unit}",
        )
        for series, (name, row) in enumerate(values)
        for place, value in enumerate(row)
        if value
    )
    return Chart(
        title=title,
        unit=unit,
        names=tuple(name for name, _ in values),
        x_ticks=_label(labels, centred=True),
        y_ticks=_scale(top),
        zero_y=round(_place_y(0, top)),
        bars=bars,
        first_series=first_series,
    )


def _thin_out(labels: Sequence[str], values: Values, step: int) -> tuple[Sequence[str], Values]:
    # The last group would be too short to be compared with the others.
    whole = len(labels) - len(labels) % step
    return labels[:whole:step], [
        (name, [sum(row[i : i + step]) // step for i in range(0, whole, step)])
        for name, row in values
    ]


def _find_top(values: Values) -> int:
    """Return the end of the axis: at least the largest value, and a round number."""
    largest = max((value for _, row in values for value in row), default=0)
    unit = 10 ** max(0, len(str(largest)) - 2)
    return max(_TICKS, -(-largest // (unit * _TICKS)) * unit * _TICKS)


def _place_x(place: int, count: int) -> float:
    return _LEFT + (WIDTH - _LEFT - _RIGHT) * place / max(1, count - 1)


def _place_y(value: int, top: int) -> float:
    return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * value / top


def _scale(top: int) -> tuple[Tick, ...]:
    return tuple(
        Tick(at=round(_place_y(top * i // _TICKS, top)), text=f"{top * i // _TICKS:,}")
        for i in range(_TICKS + 1)
    )


def _label(labels: Sequence[str], *, centred: bool) -> tuple[Tick, ...]:
    """Return as many of the labels as can be read, evenly spread."""
    most = _MAX_BAR_LABELS if centred else _MAX_LABELS
    step = max(1, -(-len(labels) // most))
    slot = (WIDTH - _LEFT - _RIGHT) / max(1, len(labels))
    return tuple(
        Tick(
            at=round(_LEFT + slot * (place + 0.5) if centred else _place_x(place, len(labels))),
            text=labels[place],
        )
        for place in range(0, len(labels), step)
    )
