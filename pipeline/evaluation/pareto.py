"""Which variants no other one beats: quality over size and over time, as a plot.

A variant on the front is one that is not at once worse and larger, or worse and slower, than
another (Pareto). Points bear the numbers of the list beside them, so that no name hides a point.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import artifacts
from pipeline.evaluation import naming, plots
from pipeline.evaluation.plots import BLUE, GREEN, GREY, RED, Words
from pipeline.i18n import LANGUAGES, _

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAME = "pareto"
Line = Mapping[str, Any]


def write(folder: Path, table: Mapping[str, Line], told: Mapping[str, Any]) -> None:
    """Write the plot: as PNG and SVG in English, and as SVG in Chinese.

    :param table: as ``comparison.as_json`` gives it; what was not measured is left out.
    :param told: ``main``, the figure on the upright axis, and ``shipped``.
    """
    known = {name: line for name, line in table.items() if line.get("unavailable") is None}
    artifacts.write_bytes(folder / f"{NAME}.png", drawn(known, told, "png", "en"))
    for language in LANGUAGES:
        ending = "svg" if language == "en" else f"{language}.svg"
        artifacts.write_bytes(folder / f"{NAME}.{ending}", drawn(known, told, "svg", language))


def drawn(table: Mapping[str, Line], told: Mapping[str, Any], form: str, language: str) -> bytes:
    """Return the plot; the same figures give the same bytes.

    :param form: ``png`` or ``svg``.
    """
    target = io.BytesIO()
    nothing: dict[str, Any] = {"Date": None, "Creator": None, "Format": None, "Type": None}
    with plots.drawing():
        figure = figure_of(table, told, Words(language))
        figure.savefig(
            target, format=form, metadata={"Software": None} if form == "png" else nothing
        )
    return target.getvalue().replace(f"'{plots.FONT}'".encode(), plots.STACK.encode())


def figure_of(table: Mapping[str, Line], told: Mapping[str, Any], say: Words) -> Figure:
    """Draw the main figure on the test part over megabytes and over milliseconds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 3.8))
    left, right = figure.subplots(1, 2, sharey=True)
    main = told["main"]
    ways = ((left, "size_mb", _("size on disk, MB")), (right, "latency_ms_p50", _("one text, ms")))
    for axes, key, title in ways:
        panel(axes, table, key, told)
        axes.set(xlabel=say(title), xscale="log")
        plain_ticks(axes)
    title = _("{figure}, test part", figure=naming.figure(main))
    left.set(ylabel=say(title))
    listed = [f"{at}  {name}" for at, name in enumerate(table, 1)]
    figure.text(0.77, 0.94, "\n".join(listed), va="top", linespacing=1.5)
    signs = (
        (GREEN, "o", GREEN, _("ships")),
        (BLUE, "o", BLUE, _("keeps parity and all gates")),
        (RED, "o", "white", _("refused")),
        (GREY, "D", GREY, _("the trained model")),
    )
    for colour, mark, inner, meaning in signs:
        left.plot([], [], mark, color=colour, markerfacecolor=inner, label=say(meaning))
    figure.legend(*left.get_legend_handles_labels(), loc="lower left", bbox_to_anchor=(0.76, 0.08))
    figure.subplots_adjust(left=0.08, right=0.75, top=0.95, bottom=0.15, wspace=0.08)
    return figure


def panel(axes: Axes, table: Mapping[str, Line], key: str, told: Mapping[str, Any]) -> None:
    """Draw each variant with the interval of its figure, and the front."""
    main = told["main"]
    points = [(float(line[key]), float(line["test"][main])) for line in table.values()]
    order = front(points)
    axes.step([points[at][0] for at in order], [points[at][1] for at in order], where="post",
              color=GREY, linewidth=1, linestyle="--")  # fmt: skip
    for at, (name, line) in enumerate(table.items()):
        across, up = points[at]
        low, high = line["intervals"]["test"][main]
        if name == told["original"]:
            colour, mark, inner = GREY, "D", GREY
        elif name == told["shipped"]:
            colour, mark, inner = GREEN, "o", GREEN
        else:
            colour, mark = (BLUE if line["keeps"] else RED), "o"
            inner = colour if line["keeps"] else "white"
        axes.vlines(across, low, high, color=colour, linewidth=1, alpha=0.6)
        axes.plot(across, up, mark, color=colour, markerfacecolor=inner, markersize=6)
        axes.annotate(str(at + 1), (across, up), xytext=(5, 4), textcoords="offset points")


def plain_ticks(axes: Axes) -> None:
    """Write numbers out along a logarithmic axis, three digits at most."""
    from matplotlib.ticker import FuncFormatter, LogLocator

    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _at: f"{value:.3g}"))
    axes.xaxis.set_minor_formatter(FuncFormatter(lambda _value, _at: ""))


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the points that no other beats, from the cheapest to the best.

    :param points: price, of which less is better, and quality, of which more is.
    """
    found: list[int] = []
    for at in sorted(range(len(points)), key=lambda at: (points[at][0], -points[at][1])):
        if not found or points[at][1] > points[found[-1]][1]:
            found.append(at)
    return found
