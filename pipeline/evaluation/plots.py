"""Plots of the test report: PNG and SVG that are the same bytes for the same figures.

Colours are those of Okabe and Ito (2008), which colour-blind people tell apart; marks differ in
shape too. In an SVG texts stay texts, so that the reader's own fonts show Chinese. A PNG has only
the fonts of matplotlib: a label that these cannot show is replaced by its number in the list of
labels (``#3``), which the model card holds.
"""

from __future__ import annotations

import contextlib
import io
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.errors import Text, words
from pipeline.evaluation import naming
from pipeline.i18n import LANGUAGES, Message, _
from pipeline.steps.targets import MULTI, REGRESSION

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, RED, GREY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#666666"
FONT = "DejaVu Sans"  # the one that matplotlib carries
STACK = "system-ui, 'PingFang SC', 'Microsoft YaHei', 'Noto Sans CJK SC', sans-serif"
SIZE, POINT = 9.0, 1 / 72  # of letters, in points; inches
ROWS, CELLS, LETTERS = 40, 20, 28  # labels a plot shows, labels of a matrix, letters of a name
SETTINGS: Any = {
    "font.family": [FONT], "font.size": SIZE, "text.parse_math": False, "text.usetex": False,
    "svg.fonttype": "none", "svg.hashsalt": "mofang", "axes.spines.top": False,
    "axes.spines.right": False, "axes.edgecolor": GREY, "axes.axisbelow": True, "axes.grid": True,
    "grid.color": "#dddddd", "grid.linewidth": 0.6, "legend.frameon": False, "savefig.dpi": 144,
    "xtick.color": "#333333", "ytick.color": "#333333", "axes.unicode_minus": False,
}  # fmt: skip
Report = Mapping[str, Any]


class Words:
    """Puts words and labels into one language, shortened, and replaced where nothing shows them."""

    def __init__(
        self, language: str, labels: Sequence[str] = (), shows: Callable[[str], bool] | None = None
    ) -> None:
        self.language, self.shows = language, shows
        self.numbers = {label: at for at, label in enumerate(labels, 1)}

    def __call__(self, text: Text) -> str:
        """Return a text as it stands in the plot."""
        said = words(text, self.language)
        if isinstance(text, str):
            said = " ".join("".join(one if one.isprintable() else " " for one in said).split())
            said = said if len(said) <= LETTERS else said[: LETTERS - 1] + "…"
        if self.shows is None or self.shows(said):
            return said
        if isinstance(text, str) and text in self.numbers:
            return f"#{self.numbers[text]}"
        return "".join(one if self.shows(one) else "?" for one in said)


def names(report: Report) -> list[str]:
    """Return the plots that this report has figures for."""
    return [name for name, (has, _draw) in PLOTS.items() if has(report)]


def every(report: Report) -> dict[str, dict[str, bytes]]:
    """Return each plot that this report has figures for as SVG: plot → language → content."""
    return {
        name: {language: svg(name, report, language) for language in LANGUAGES}
        for name in names(report)
    }


def svg(name: str, report: Report, language: str) -> bytes:
    """Return a plot as SVG, with real texts in ``language``."""
    target = io.BytesIO()
    with drawing():
        figure = PLOTS[name][1](report, Words(language))
        nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
        figure.savefig(target, format="svg", metadata=nothing)
    return target.getvalue().replace(f"'{FONT}'".encode(), STACK.encode())


def png(name: str, report: Report) -> bytes:
    """Return a plot as PNG, in English."""
    target = io.BytesIO()
    with drawing():
        figure = PLOTS[name][1](report, Words("en", report["labels"], shown_by_font()))
        figure.savefig(target, format="png", metadata={"Software": None})
    return target.getvalue()


@contextlib.contextmanager
def drawing() -> Iterator[None]:
    """Draw alike everywhere: nothing of the user's own settings, no formulas in texts."""
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)
        # The width of such a letter is guessed by ``width``; an SVG is shown in another font.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def shown_by_font() -> Callable[[str], bool]:
    """Return whether the font of a PNG has all letters of a text."""
    from matplotlib import font_manager

    has = font_manager.get_font(font_manager.findfont(FONT)).get_charmap()
    return lambda text: all(ord(letter) in has for letter in text)


def width(texts: Sequence[str]) -> float:
    """Return the inches that the longest text takes, roughly: a Chinese letter is twice as wide."""
    wide = [
        sum(1.0 if unicodedata.east_asian_width(one) in "WF" else 0.6 for one in text)
        for text in texts
    ]
    return max(wide, default=0.0) * SIZE * POINT


def canvas(
    rows: int, labels: Sequence[str], *, row: float = 0.26, below: float = 0.75
) -> tuple[Figure, Axes]:
    """Return axes with a line for each row, and room for their labels on the left."""
    from matplotlib.figure import Figure

    left, high = 0.25 + width(labels), max(1, rows) * row
    total = (left + 5.2, high + below + 0.45)
    figure = Figure(figsize=total)
    place = (left / total[0], below / total[1], 5.0 / total[0], high / total[1])
    axes = figure.add_axes(place)
    axes.set_yticks(range(rows), labels)
    axes.set_ylim(rows - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    return figure, axes


def reliability(report: Report, say: Words) -> Figure:
    """Draw the share of right answers over confidence, and how many answers each point stands for.

    Guo et al. 2017, figure 1, with Wilson's (1927) intervals: a point may be of three answers.
    """
    from matplotlib.figure import Figure

    points = report["calibration"]["curve"]
    confidence = [one["confidence"] for one in points]
    low, high = zip(*(wilson(one, report["confidence"]) for one in points), strict=True)
    figure = Figure(figsize=(5.2, 4.6))
    above, below = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    above.plot([0, 1], [0, 1], "--", color=GREY, linewidth=1, label=say(_("as it should be")))
    above.vlines(confidence, low, high, color=BLUE, linewidth=1.6)
    above.plot(confidence, [one["accuracy"] for one in points], "o", color=BLUE, markersize=6,
               label=say(_("the model, with intervals")))  # fmt: skip
    above.set(ylabel=say(_("share of right answers")), xlim=(0, 1.02), ylim=(0, 1.02))
    above.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    below.bar(confidence, [one["records"] for one in points], width=0.03, color=BLUE)
    below.set(xlabel=say(_("confidence")), ylabel=say(_("answers")))
    figure.subplots_adjust(left=0.13, right=0.97, top=0.92, bottom=0.12, hspace=0.12)
    return figure


def wilson(point: Mapping[str, float], confidence: float) -> tuple[float, float]:
    """Return the interval of a point's share of right answers."""
    from scipy.stats import binomtest

    count = int(point["records"])
    found = binomtest(round(point["accuracy"] * count), count).proportion_ci(
        confidence, method="wilson"
    )
    return float(found.low), float(found.high)


def confusion(report: Report, say: Words) -> Figure:
    """Draw what was taken for what; of several labels, what was found, missed, wrongly given."""
    return found_and_missed(report, say) if report["task"] == MULTI else matrix(report, say)


def matrix(report: Report, say: Words) -> Figure:
    """Draw the confusion matrix in shares of each row, for the labels most often confused."""
    import numpy as np
    from matplotlib.figure import Figure

    counts = np.array(report["confusion"]["counts"])
    wrong = counts.sum(axis=0) + counts.sum(axis=1) - 2 * counts.diagonal()
    chosen = np.sort(np.argsort(-wrong, kind="stable")[:CELLS])
    labels = [say(naming.label(report["confusion"]["labels"][at], report["task"])) for at in chosen]
    part = counts[np.ix_(chosen, chosen)]
    share = part / np.maximum(counts.sum(axis=1)[chosen][:, None], 1)
    room, side = 0.35 + width(labels), 0.42 * len(labels)
    total = (room + side + 0.4, room + side + 0.3)
    figure = Figure(figsize=total)
    axes = figure.add_axes((room / total[0], 0.1 / total[1], side / total[0], side / total[1]))
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    axes.set_xticks(range(len(labels)), labels, rotation=90)
    axes.set_yticks(range(len(labels)), labels)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.set(ylabel=say(_("was")))
    axes.set_xlabel(say(_("was taken for")))
    axes.xaxis.set_label_position("top")
    for at, to in zip(*part.nonzero(), strict=True):
        dark = share[at, to] > 0.5
        axes.text(to, at, str(part[at, to]), ha="center", va="center", fontsize=SIZE - 1,
                  color="white" if dark else "#222222")  # fmt: skip
    return figure


def found_and_missed(report: Report, say: Words) -> Figure:
    """Draw for each of several labels how often it was found, missed and wrongly given."""
    table = report["confusion"]
    order = sorted(
        zip(table["labels"], table["each"], strict=True),
        key=lambda one: -(one[1][0][1] + one[1][1][0]),
    )[:ROWS]
    figure, axes = canvas(len(order), [say(label) for label, _each in order])
    start = [0] * len(order)
    kinds = (
        (_("rightly given"), 1, 1, BLUE),
        (_("missed"), 1, 0, ORANGE),
        (_("wrongly given"), 0, 1, RED),
    )
    for name, at, to, colour in kinds:
        counts = [each[at][to] for _label, each in order]
        axes.barh(range(len(order)), counts, left=start, color=colour, label=say(name), height=0.7)
        start = [one + more for one, more in zip(start, counts, strict=True)]
    axes.set(xlabel=say(naming.figure("records")))
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    return figure


def per_label(report: Report, say: Words) -> Figure:
    """Draw precision, recall and F1 of each label, the weakest first; the error of each band."""
    numbers = report["task"] == REGRESSION
    table = report["per_label"]
    order = list(table) if numbers else sorted(table, key=lambda one: table[one]["f1"])
    order = order[:ROWS]
    labels = [say(naming.label(one, report["task"])) for one in order]
    figure, axes = canvas(len(order), labels, below=0.75 if numbers else 0.4)
    rows = range(len(order))
    if numbers:
        axes.barh(rows, [table[one]["mae"] for one in order], color=BLUE, height=0.6)
        axes.set(xlabel=say(naming.figure("mae")))
        return figure
    for key, mark, colour in (("precision", "s", ORANGE), ("recall", "^", BLUE), ("f1", "o", "k")):
        axes.plot([table[one][key] for one in order], rows, mark, color=colour, markersize=5,
                  label=say(naming.figure(key)))  # fmt: skip
    least = min((table[one][key] for one in order for key in ("precision", "recall")), default=0.0)
    axes.set(xlim=(max(-0.02, least - 0.1), 1.02))
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    return figure


def slices(report: Report, say: Words) -> Figure:
    """Draw the figure of each group with its interval, beside that of all records."""
    rows = shown_groups(report)
    labels = [
        f"{say(naming.column(column))}: {say(naming.group(group, column, report['task']))}"
        for column, group, _line in rows
    ]
    figure, axes = canvas(len(rows), labels)
    name = rows[0][2]["figure"]
    if name in report["figures"]:
        axes.axvline(report["figures"][name], color=GREY, linestyle="--", linewidth=1,
                     label=say(_("all records")))  # fmt: skip
    kinds = ((_("group"), False, "o", BLUE), (_("too small for a claim"), True, "x", ORANGE))
    for title, small, mark, colour in kinds:
        some = [(at, line) for at, (*_names, line) in enumerate(rows) if line["small"] == small]
        if some:
            whiskers(axes, some, name, mark=mark, colour=colour, title=say(title))
    axes.set(xlabel=say(naming.figure(name)))
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    return figure


def shown_groups(report: Report) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Return the groups of the first figure that any has, column by column; labels come apart."""
    rows = [
        (column, group, line)
        for column, groups in report["slices"].items()
        if column != "label" and len(groups) > 1  # one group is all records once more
        for group, line in groups.items()
    ]
    return [one for one in rows if one[2]["figure"] == rows[0][2]["figure"]][:ROWS]


def whiskers(
    axes: Axes, rows: Sequence[tuple[int, Mapping[str, Any]]], name: str,
    *, mark: str, colour: str, title: str,
) -> None:  # fmt: skip
    """Draw values with the intervals around them."""
    places = [at for at, _line in rows]
    axes.hlines(places, [line["low"] for _at, line in rows], [line["high"] for _at, line in rows],
                color=colour, linewidth=1.6)  # fmt: skip
    axes.plot([line[name] for _at, line in rows], places, mark, color=colour, markersize=6,
              label=title)  # fmt: skip


def robustness(report: Report, say: Words) -> Figure:
    """Draw how many answers stay the same after each kind of change."""
    kinds = {name: line for name, line in report["robustness"].items() if "skipped" not in line}
    figure, axes = canvas(len(kinds), [say(naming.disturbance(one)) for one in kinds], row=0.36)
    rows = list(enumerate(kinds.values()))
    axes.barh(range(len(kinds)), [line["same_answer"] for line in kinds.values()], height=0.55,
              color=BLUE)  # fmt: skip
    axes.hlines([at for at, _line in rows], [line["low"] for _at, line in rows],
                [line["high"] for _at, line in rows], color="#222222", linewidth=1.6)  # fmt: skip
    axes.set(xlabel=say(_("share of answers that stay the same")), xlim=(0, 1.0))
    return figure


def learning_curve(report: Report, say: Words) -> Figure:
    """Draw what a cheap model reaches with ever more records, and what twice as many promise."""
    from matplotlib.figure import Figure

    curve = report["learning_curve"]
    points = curve["points"]
    records = [one["records"] for one in points]
    mean = [one["mean"] for one in points]
    figure = Figure(figsize=(5.6, 3.6))
    axes = figure.subplots()
    axes.fill_between(records, [one["low"] for one in points], [one["high"] for one in points],
                      color=BLUE, alpha=0.18, linewidth=0)  # fmt: skip
    axes.plot(records, mean, "o-", color=BLUE, markersize=5, label=say(_("measured")))
    if curve["doubled"] is not None:
        axes.plot([records[-1], 2 * records[-1]], [mean[-1], curve["doubled"]], "o--", color=RED,
                  markersize=5, markerfacecolor="white", label=say(_("expected")))  # fmt: skip
    axes.set(xlabel=say(_("training records")), ylabel=say(naming.figure(report["main"])))
    axes.set_xlim(left=0)
    axes.legend(loc="lower right")
    figure.subplots_adjust(left=0.14, right=0.97, top=0.96, bottom=0.14)
    return figure


def tried(report: Report) -> bool:
    """Return whether any change of texts was tried."""
    return any("skipped" not in line for line in report["robustness"].values())


def learnt(report: Report) -> bool:
    """Return whether there is a learning curve."""
    return bool(report["learning_curve"] and report["learning_curve"]["points"])


PLOTS: dict[str, tuple[Callable[[Report], bool], Callable[[Report, Words], Figure]]] = {
    "per_label": (lambda report: bool(report["per_label"]), per_label),
    "confusion": (lambda report: bool(report["confusion"]["labels"]), confusion),
    "slices": (lambda report: bool(shown_groups(report)), slices),
    "robustness": (tried, robustness),
    "reliability": (lambda report: bool(report["calibration"]["curve"]), reliability),
    "learning_curve": (learnt, learning_curve),
}
CAPTIONS: dict[str, Message] = {
    "per_label": _("Each label by itself, the weakest first."),
    "confusion": _("What was taken for what."),
    "slices": _("Groups of records with their intervals; the dashed line is that of all records."),
    "robustness": _("How many answers stay the same when a text is written differently."),
    "reliability": _("Confidence and the share of right answers; on the dashed line they agree."),
    "learning_curve": _("What a cheap model reaches with more training records."),
}
