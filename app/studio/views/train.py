"""Train: the curves, live and afterwards; what it was worth and took; the search for knobs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import streamlit as st

from app.studio import (
    charts,
    layout,
    model_curves,
    model_reading,
    model_search,
    reading,
    run_words,
)
from app.studio import model_drawing as drawing
from app.studio.model_drawing import Column
from app.studio.project_files import Project
from app.studio.runs import following
from app.studio.search_running import is_search
from app.studio.speech import duration, money, number, percent, plain, say, size
from pipeline.errors import Text
from pipeline.evaluation import naming
from pipeline.i18n import _

STAGE = "train"


def draw(project: Project) -> None:
    """Draw the page."""
    drawing.head(STAGE, _("How the model learns: curves, costs, and the search for better knobs."))
    drawing.standing(project, STAGE)
    drawing.panels(
        [
            (_("Curves"), partial(curves, project)),
            (_("Worth and costs"), partial(worth, project)),
            (_("Search"), partial(model_search.draw, project)),
            drawing.settings(STAGE, project),
        ],
        key="train_tabs",
    )


def curves(project: Project) -> None:
    """Draw the curves: of the run that trains now, else of the model that is there."""
    at_work = trains(project)
    layout.live(draw_curves, drawing.EVERY if at_work else None, project, at_work)


def trains(project: Project) -> bool:
    """Return whether a run works on this stage now."""
    run = following.current(project)
    if run is None or is_search(run):
        return False
    return following.stages(run).get(STAGE) == "running"


def draw_curves(project: Project, at_work: bool) -> None:
    """Draw losses and one figure of the validation part; live, or as they ended."""
    run = following.current(project) if at_work else None
    if run is not None:
        report = None
        found: Mapping[str, Any] = following.curves(run)
        if not found:
            text = _("Training has begun; the first points come after some steps.")
            st.info(say(text), icon=":material/hourglass_top:")
            return
        now(found)
    else:
        found = model_curves.finished(project.stage(STAGE))
        report = reading.report(project, STAGE)
        if not found or report is None:
            drawing.nothing_yet(STAGE)
            return
        ended(report)
    drawn(found, report)


def now(found: Mapping[str, Any]) -> None:
    """Draw the newest values of a run that works."""
    names: tuple[tuple[str, Text], ...] = (
        ("train/loss", _("loss")),
        ("train/learning_rate", _("learning rate")),
        ("train/examples_per_second", _("texts a second")),
        ("train/gradient_norm", _("length of the gradient")),
    )
    known = [(name, title) for name, title in names if found.get(name)]
    for place, (name, title) in zip(st.columns(len(names)), known, strict=False):
        place.metric(say(title), number(found[name][-1][1]), border=True)


def ended(report: Mapping[str, Any]) -> None:
    """Draw in short how training went."""
    figure = str(report["figure"])
    facts = (
        (_("best {figure}", figure=naming.figure(figure)), number(report["model"])),
        (_("kept after step"), f"{number(report['best_step'], 0)} / {number(report['steps'], 0)}"),
        (_("training records"), number(report["records"], 0)),
        (_("training took"), about(report["actual"]["seconds"])),
    )
    for place, (name, value) in zip(st.columns(len(facts)), facts, strict=True):
        place.metric(say(name), value, border=True)
    notes = []
    if report.get("stopped_early"):
        notes.append(_("It stopped early: no epoch was better any more."))
    if report.get("resumed_from_step"):
        notes.append(_("It was resumed from step {step}.", step=report["resumed_from_step"]))
    if report.get("halvings"):
        notes.append(_("Memory ran out {times} times: batches were halved.",
                       times=len(report["halvings"])))  # fmt: skip
    for note in notes:
        st.caption(say(note))


def about(seconds: float) -> str:
    """Return a time in its largest unit, which fits into a small place."""
    unit = next((one for one in (3_600, 60) if seconds >= 2 * one), 1)
    return duration(round(seconds / unit) * unit)


def drawn(found: Mapping[str, Any], report: Mapping[str, Any] | None) -> None:
    """Draw both charts beside each other."""
    best = model_curves.best_step(report or {})
    mark = () if best is None else (best,)
    left, right = st.columns(2, gap="medium")
    with left:
        title = _("Loss: how wrong, less is better")
        st.markdown(f"**{say(title)}**")
        losses = model_curves.losses(found)
        named = {plain(run_words.CURVES[name]): points for name, points in losses.items()}
        chart = charts.curves(named, _("step"), _("loss"), marks=mark)
        charts.show(chart, title, key="train_loss")
    with right:
        figures = model_curves.figures(found)
        if not figures:
            st.caption(say(_("Figures of the validation part come at the end of each epoch.")))
            return
        chosen = choose(sorted(figures), report)
        named = {plain(_("validation part")): figures[chosen]}
        chart = charts.curves(named, _("step"), naming.figure(chosen), marks=mark)
        text = _("{figure} of the validation part, epoch by epoch", figure=naming.figure(chosen))
        charts.show(chart, text, key="train_figure")
    if best is not None:
        st.caption(say(_("The thin line marks the step whose weights were kept.")))


def choose(names: list[str], report: Mapping[str, Any] | None) -> str:
    """Let the reader choose the figure that is drawn; at first the one that decides."""
    wanted = str(report["figure"]) if report else "macro_f1"
    first = names.index(wanted) if wanted in names else 0
    titles = {name: plain(naming.figure(name)) for name in names}
    chosen: str = st.selectbox(
        say(_("Figure of the validation part")),
        names,
        index=first,
        key="train_figure_name",
        format_func=titles.__getitem__,
    )
    return chosen


def worth(project: Project) -> None:
    """Draw the model beside the cheap ones, and what was foreseen beside what it took."""
    report = reading.report(project, STAGE)
    if report is None:
        drawing.nothing_yet(STAGE)
        return
    figure = str(report["figure"])
    values = {
        "model": number(report["model"]),
        "baseline": number(report["baseline"]),
        "kind": naming.baseline(report["strongest_baseline"]),
        "figure": naming.figure(figure),
    }
    if report["worth_it"]:
        text = _("Worth training: {figure} {model}, where the best cheap model ({kind}) has "
                 "{baseline}.", **values)  # fmt: skip
        st.success(say(text), icon=":material/check_circle:")
    else:
        text = _("Not worth training: {figure} {model}, and the best cheap model ({kind}) has "
                 "{baseline}.", **values)  # fmt: skip
        st.warning(say(text), icon=":material/warning:")
    cheap = report["baselines"]
    rows = model_reading.baseline_rows(cheap["figures"], figure, report["model"])
    title = naming.figure(figure)
    alternative = _("{figure} of the model beside models that cost next to nothing", figure=title)
    chart = charts.bars({plain(row["kind"]): row["value"] for row in rows}, title)
    charts.show(chart, alternative, key="train_baselines")
    costs(report)


COSTS: tuple[tuple[str, Text], ...] = (
    ("seconds", _("time")),
    ("peak_memory_bytes", _("memory at the peak")),
    ("kwh", _("energy")),
    ("co2_kg", _("CO₂")),
    ("money", _("money")),
)


def costs(report: Mapping[str, Any]) -> None:
    """Draw what training was expected to take, and what it took."""
    st.subheader(say(_("Foreseen and real")), anchor=False)
    currency = str(report.get("currency", "CNY"))
    rows = []
    for name, title in COSTS:
        off = report["error"].get(name)
        rows.append(
            {
                "name": title,
                "before": written(name, report["estimate"].get(name), currency),
                "after": written(name, report["actual"].get(name), currency),
                "off": "–" if off is None else f"{'+' if off > 0 else ''}{percent(off, 0)}",
            }
        )
    columns = (
        Column("name", _("What")),
        Column("before", _("foreseen")),
        Column("after", _("real")),
        Column("off", _("foreseen too much by")),
    )
    drawing.table(rows, columns, key="train_costs", title=_("Foreseen and real"))


def written(name: str, value: float | None, currency: str) -> str:
    """Return an amount with its unit."""
    if value is None:
        return "–"
    forms = {
        "seconds": lambda: duration(value),
        "peak_memory_bytes": lambda: size(value),
        "kwh": lambda: f"{number(1_000 * value, 2)} Wh",
        "co2_kg": lambda: f"{number(1_000 * value, 2)} g",
        "money": lambda: money(value, currency),
    }
    return forms[name]()
